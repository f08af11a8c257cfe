# %% [markdown]
# # Your own images: from a folder to verdicts
#
# **The question.** You have about twenty images of good parts and no image of a defect. What can be said about the
# next part, how sure is it, and what can nobody promise?
#
# Everything below works on a folder of files. Name yours in `OWN`, and a copy of it is used; left alone, the folder is
# filled with drawn cloth, so that this notebook runs without any. Exercise 3 and the cells on spoilt images, on less
# light and on what is missed speak of the drawn cloth alone.

# %%
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from show import code, heat, row, table

import lab
from lab import Detector, calibration, data, image_files
from lab.checks import data_check
from lab.plots import BLUE, INK, ORANGE

OWN = ""  # a folder of yours, by its whole path, that holds good/ with sound parts and new/ with parts to judge
os.chdir(tempfile.mkdtemp())  # what is written here goes with the session
FOLDER = Path("parts")

cloth = data.load("samples", "cloth")
if OWN:
    shutil.copytree(OWN, FOLDER)
else:
    for where, items in (("good", cloth.train[:20]), ("new", cloth.test[:4] + cloth.test[20::6])):
        (FOLDER / where).mkdir(parents=True)
        for number, item in enumerate(items):
            image_files.write_png(FOLDER / where / f"{number:02d}_{item.defect}.png", item.image())

# %% [markdown]
# Three things happen to every real collection: an image is copied, the lamp is turned down for one of them, and a
# defective piece slips in among the good ones. They are added on purpose.

# %%
spoilt = (
    {}
    if OWN
    else {
        "20_copy.png": cloth.train[3].image(),
        "21_dark.png": (cloth.train[20].image() * 0.7).astype(np.uint8),
        "22_slipped_in.png": next(item for item in cloth.test if item.defect == "hole").image(),
    }
)
for name, image in spoilt.items():
    image_files.write_png(FOLDER / "good" / name, image)

# %% [markdown]
# ## Reading
#
# Files come in through one door, `lab.images.read`, which looks at a file's size and kind before it decodes it, turns
# what the camera noted as turned, and gives colours as 8-bit RGB whatever they were. A file it cannot trust is an error
# with the file's name and the reason, never a crash.

# %%
good = {path.name: image_files.read(path) for path in sorted((FOLDER / "good").iterdir())}
new = {path.name: image_files.read(path) for path in sorted((FOLDER / "new").iterdir())}
print(len(good), "good images,", len(new), "to judge, of", next(iter(good.values())).shape)
row(dict(list(good.items())[-4:]))

# %% [markdown]
# ## Looking before learning
#
# `lab.check` says what is odd about images that are supposed to be good. Nothing in it is a verdict: each hint says
# what is so and what to do, and you decide.


# %%
def hints(images):
    looks = [data_check.summarize(name, image) for name, image in images.items()]
    others = [data_check.summarize(name, image) for name, image in new.items()]
    return data_check.check_images(looks, others)


found = hints(good)
for hint in found:
    print(f"[{hint.code}] {hint.message}\n")

# %% [markdown]
# Look at what it names, agree or not, and leave out what does not belong. What it misses your eye has to find.

# %%
names = list(good)
out = {names[i] for hint in found for i in hint.images}
added = set(spoilt)
print("found by the check:", ", ".join(sorted(out & added)) or "none")
print("left to the eye:", ", ".join(sorted(added - out)) or "none")
good = {name: image for name, image in good.items() if name not in out | added}
print("left:", len(good), "good images; hints now:", ", ".join(hint.code for hint in hints(good)) or "none")

# %% [markdown]
# ## Verdicts
#
# PatchCore needs no training: it stores features of good patches. Heat is in robust σ of sound surface, on one scale
# for every image of this detector. It is never stretched per image: that would paint every sound part as defective.

# %%
detector = Detector("patchcore").fit(good.values())
judged = {name: detector.detect(image) for name, image in new.items()}
rows = [[n, f.verdict, f"{f.score:.1f}", f"{f.mask.mean():.2%}"] for n, f in judged.items()]
table(["image", "verdict", "score, σ", "surface marked"], rows)

# %%
shown = list(new)[:1] + list(new)[4:8]
row({name.removesuffix(".png"): heat(detector, new[name]) for name in shown})

# %% [markdown]
# ## What the thresholds mean
#
# Both thresholds come from good images alone, each scored as if it had not been learned from. With $n$ such scores
# $s_{(1)} \le \dots \le s_{(n)}$ the split-conformal threshold for a false-alarm rate $\alpha$ is
#
# $$t_\alpha = s_{(k)}, \qquad k = \lceil (n + 1)(1 - \alpha) \rceil.$$
#
# If the next good image is like the others (*exchangeable* with them), its score is equally likely to fall into any
# of the $n + 1$ gaps between them, so it lies above $s_{(k)}$ with probability at most
# $(n + 1 - k)/(n + 1) \le \alpha$, whatever the distribution. For $\alpha < 1/(n + 1)$ there is no such $k \le n$:
# nothing can be promised.

# %%
code(calibration.conformal_threshold)

# %%
c = detector.calibration
print(c.statement(), "\n")
print(
    "by hand: scores 1, 2, 3, 4 and alpha 0.2 give k = 5 * 0.8 = 4:", calibration.conformal_threshold([1, 2, 3, 4], 0.2)
)
print("         and alpha 0.1 would need k = 5, a fifth score:", calibration.conformal_threshold([1, 2, 3, 4], 0.1))

figure, axis = plt.subplots(figsize=(8, 2.2))
axis.plot(c.scores, np.zeros(len(c.scores)), "o", color=BLUE, alpha=0.6, label="good, left out in turn")
axis.plot([f.score for f in judged.values()], np.full(len(judged), 0.6), "^", color=ORANGE, label="to judge")
for word, value in (("look", c.look), ("bad", c.bad)):
    axis.axvline(value, color=INK, linestyle="--", linewidth=1)
    axis.text(value, 1.0, f" {word}", color=INK)
axis.set(xlabel="score, σ", yticks=[], ylim=(-0.3, 1.3))
axis.legend(loc="upper right")
plt.show()

# %% [markdown]
# ## What cannot be promised
#
# **A smaller rate than $1/(n + 1)$.** It takes 99 images to promise 1 %.
#
# **The rate of this very threshold.** The promise holds on average over calibrations. One of them, on $n$ images, may
# be luckier or less lucky. For any continuous score the true rate of "above the largest of $n$" is spread as
# $\mathrm{Beta}(1, n)$, with the mean $1/(n + 1)$:

# %%
n = len(c.scores)
rates = np.random.default_rng(0).beta(1, n, 100_000)  # the rate at which good images exceed the largest of n
print(f"mean {rates.mean():.3f} = 1/{n + 1}; one calibration in ten has a rate above {np.quantile(rates, 0.9):.3f}")
figure, axis = plt.subplots(figsize=(8, 2))
axis.hist(rates, 80, range=(0, 0.3), color=BLUE, alpha=0.5)
axis.axvline(1 / (n + 1), color=INK, linestyle="--")
axis.set(xlabel="true false-alarm rate of one calibration", yticks=[])
plt.show()

# %% [markdown]
# **Anything about images that are not like those.** Another lamp, another lens, another supplier's surface: the next
# good image is then no longer exchangeable with the others, and the promise says nothing. The same four good pieces,
# in less and less light:

# %%
sound = [name for name in new if "good" in name]
for light in (1.0, 0.9, 0.8, 0.7, 0.6):
    verdicts = [detector.detect((new[name] * light).astype(np.uint8)).verdict for name in sound]
    print(f"{light:.0%} of the light: {', '.join(verdicts)}")

# %% [markdown]
# **That a defect is found.** Good images say nothing of defects. What of the drawn ones is missed:

# %%
kinds = {}
for item in cloth.test:
    if item.bad:
        kinds.setdefault(item.defect, []).append(detector.detect(item.image()).verdict)
for kind, verdicts in kinds.items():
    print(f"{kind:<8} called bad: {verdicts.count('bad')} of {len(verdicts)}")

# %% [markdown]
# A mispick is a thread that goes over where it should go under: each patch of it is a patch of good cloth. How large a
# mark of some kind must be before it is called bad can be tried, and must be, on marks like yours: `lab.trial.sizes`
# paints growing ones, and so does the page's tab for one's own images.
#
# ## Keeping it
#
# A detector is one safetensors file: numbers and JSON, nothing that could run code. Equal fits give equal bytes.

# %%
detector.save("cloth.safetensors")
again = Detector.load("cloth.safetensors")
name, image = next(iter(new.items()))
print(Path("cloth.safetensors").stat().st_size // 1024, "KB;", again.detect(image).score == judged[name].score)

# %% [markdown]
# ## The same from the command line


# %%
def shell(command):
    """Runs `python -m lab ...` as a terminal would, with this notebook's Python."""
    print("$", command)
    root = str(Path(lab.__file__).parents[1])
    found = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"},
    )
    print(found.stdout)


shell("python -m lab detect cloth.safetensors parts/new -o out")
print(sorted(path.name for path in Path("out").iterdir())[:4], "...")

# %% [markdown]
# `python -m lab fit --method patchcore --data parts -o cloth.safetensors` makes the file from the folder as well; it
# learns from all of `good/`, so what does not belong there has to be taken out first.
#
# ## Exercises
#
# ### Exercise 1
#
# How many good images does it take to promise a false-alarm rate of 5 %, of 1 % and of 0.1 %? Work it out from
# $\alpha \ge 1/(n + 1)$, then ask `calibrate.fewest`.

# %%
# your turn

# %% tags=["solution"]
# n >= 1/alpha - 1
for alpha, images in ((0.05, 19), (0.01, 99), (0.001, 999)):
    assert calibration.images_needed(alpha) == images
    assert calibration.conformal_threshold(range(images), alpha) is not None
    assert calibration.conformal_threshold(range(images - 1), alpha) is None

# %% [markdown]
# ### Exercise 2
#
# Check the conformal promise by chance: draw 19 scores and one more, all from one distribution of your choice, many
# thousand times. How often does the one exceed the threshold for 10 %? Does it matter which distribution you took?

# %%
# your turn

# %% tags=["solution"]
rng = np.random.default_rng(0)
for draw in (rng.standard_normal, rng.standard_cauchy, rng.standard_exponential):
    scores = draw((20_000, 20))
    thresholds = np.sort(scores[:, :19], 1)[:, 17]  # k = 20 * 0.9 = 18
    assert thresholds[0] == calibration.conformal_threshold(scores[0, :19], 0.1)
    assert abs((scores[:, 19] > thresholds).mean() - 0.1) < 0.01  # 2 of 20 gaps, whatever the distribution

# %% [markdown]
# ### Exercise 3
#
# A detector is only as good as the images it learned from. Fit one on good images *with* the part that slipped in
# (`22_slipped_in.png`) and compare the score it gives to that part with the one of the clean detector.

# %%
# your turn

# %% tags=["solution"]
slipped = image_files.read(FOLDER / "good" / "22_slipped_in.png")
fooled = Detector("patchcore").fit([*good.values(), slipped])
print(
    f"score of the defective part: {detector.detect(slipped).score:.1f} σ, learned as good: "
    f"{fooled.detect(slipped).score:.1f} σ"
)
assert fooled.detect(slipped).score < detector.detect(slipped).score
