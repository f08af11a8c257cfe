# %% [markdown]
# # Your own images: from a folder to verdicts
#
# **The question.** You have about twenty images of good parts and no image of a defect. What can you say about the
# next part, how sure is it, and what can nobody promise?
#
# Everything below works on a folder of files. Name your folder in `USER_FOLDER`, and the notebook uses a copy of it. If
# you name none, it fills a folder with drawn cloth. Exercise 3 and the cells on odd images, on less light and on missed
# defects are about the drawn cloth alone.

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
from show import code, overlay, row, table

import lab
from lab import Detector, data, image_files, promise
from lab.checks import data_check
from lab.plots import BLUE, INK, ORANGE

USER_FOLDER = ""  # full path of your folder, with good parts in good/ and parts to judge in new/
os.chdir(tempfile.mkdtemp())  # a temporary folder for the files that this notebook writes
FOLDER = Path("parts")

cloth = data.load("samples", "cloth")
if USER_FOLDER:
    shutil.copytree(USER_FOLDER, FOLDER)
else:
    for where, items in (("good", cloth.train[:20]), ("new", cloth.test[:4] + cloth.test[20::6])):
        (FOLDER / where).mkdir(parents=True)
        for number, item in enumerate(items):
            image_files.write_png(FOLDER / where / f"{number:02d}_{item.defect}.png", item.image())

# %% [markdown]
# Three things happen to every real collection: an image is copied, the light is lower for one image, and a defective
# part slips in among the good ones. Here these odd images are added on purpose.

# %%
odd = {
    "20_copy.png": cloth.train[3].image(),
    "21_dark.png": (cloth.train[20].image() * 0.7).astype(np.uint8),
    "22_slipped_in.png": next(item for item in cloth.test if item.defect == "hole").image(),
}
odd = {} if USER_FOLDER else odd
for name, image in odd.items():
    image_files.write_png(FOLDER / "good" / name, image)

# %% [markdown]
# ## Reading
#
# One function reads every file, `lab.image_files.read`. It checks a file's size and format before it decodes it,
# applies the rotation that the camera recorded, and returns 8-bit RGB whatever the format was. A file that it cannot
# trust is an error with the file's name and the reason, never a crash.

# %%
good = {path.name: image_files.read(path) for path in sorted((FOLDER / "good").iterdir())}
new = {path.name: image_files.read(path) for path in sorted((FOLDER / "new").iterdir())}
print(len(good), "good images,", len(new), "to judge, of", next(iter(good.values())).shape)
row(dict(list(good.items())[-4:]))

# %% [markdown]
# ## Looking before learning
#
# `lab.checks.data_check` says what is odd about images that are supposed to be good. It gives hints, not verdicts: each
# hint says what was observed and what to do, and you decide.


# %%
def summaries(images):
    return [data_check.summarize(name, image) for name, image in images.items()]


hints = data_check.check_images(summaries(good), summaries(new))
for hint in hints:
    print(f"[{hint.code}] {hint.message}\n")

# %% [markdown]
# Look at what it names, agree or not, and leave out what does not belong. Your eye has to find what it misses.

# %%
names = list(good)
named, added = {names[i] for hint in hints for i in hint.images}, set(odd)
print("found by the check:", ", ".join(sorted(named & added)) or "none")
print("left to the eye:", ", ".join(sorted(added - named)) or "none")
good = {name: image for name, image in good.items() if name not in named | added}
hints = data_check.check_images(summaries(good), summaries(new))
print("left:", len(good), "good images; hints now:", ", ".join(hint.code for hint in hints) or "none")

# %% [markdown]
# ## Verdicts
#
# PatchCore needs no training: it stores features of good patches. Its anomaly map is in robust σ of normal surface, on
# one scale for every image of this detector. The scale is never stretched per image: that would paint every good part
# as defective.

# %%
detector = Detector("patchcore").fit(good.values())
judged = {name: detector.detect(image) for name, image in new.items()}
rows = [[n, f.verdict, f"{f.score:.1f}", f"{f.mask.mean():.2%}"] for n, f in judged.items()]
table(["image", "verdict", "score, σ", "surface marked"], rows)

# %%
names = list(new)[:1] + list(new)[4:8]
row({name.removesuffix(".png"): overlay(detector, new[name]) for name in names})

# %% [markdown]
# ## What the thresholds mean
#
# Both thresholds come from good images alone. Each is scored as if the detector had not learned from it. With $n$ such
# scores $s_{(1)} \ge \dots \ge s_{(n)}$, the split-conformal threshold for a false-alarm rate $\alpha$ is
#
# $$t_\alpha = s_{(k)}, \qquad k = \lfloor (n + 1)\,\alpha \rfloor.$$
#
# If the next good image is like the others (*exchangeable* with them), its score is equally likely to fall into any
# of the $n + 1$ gaps between them, so it lies above $s_{(k)}$ with probability at most $k/(n + 1) \le \alpha$, whatever
# the distribution. For $\alpha < 1/(n + 1)$ there is no such $k \ge 1$, and no promise is possible.

# %%
code(promise.rank_for, promise.threshold_for)

# %%
c = detector.calibration
print(c.statement(), "\n")
by_hand = [1, 2, 3, 4]
print("by hand: scores 1, 2, 3, 4 and alpha 0.2 give k = 5 * 0.2 = 1:", promise.threshold_for(by_hand, 0.2))
print("         and alpha 0.1 would give k = 0, no score:", promise.threshold_for(by_hand, 0.1))

figure, axis = plt.subplots(figsize=(8, 2.2))
axis.plot(c.scores, np.zeros(len(c.scores)), "o", color=BLUE, alpha=0.6, label="good, left out in turn")
axis.plot([f.score for f in judged.values()], np.full(len(judged), 0.6), "^", color=ORANGE, label="to judge")
for verdict, threshold in (("look", c.look), ("bad", c.bad)):
    axis.axvline(threshold, color=INK, linestyle="--", linewidth=1)
    axis.text(threshold, 1.0, f" {verdict}", color=INK)
axis.set(xlabel="score, σ", yticks=[], ylim=(-0.3, 1.3))
axis.legend(loc="upper right")
plt.show()

# %% [markdown]
# ## What cannot be promised
#
# **A smaller rate than $1/(n + 1)$.** It takes 99 images to promise 1 %.
#
# **The rate of this very threshold.** The promise holds on average over calibrations. One calibration on $n$ images may
# be luckier than another. For any continuous score the true rate of "above the largest of $n$" has the distribution
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
# good image is then no longer exchangeable with the others, and the promise says nothing. The same four good parts, in
# less and less light:

# %%
good_new = [image for name, image in new.items() if "good" in name]
for light in (1.0, 0.9, 0.8, 0.7, 0.6):
    verdicts = [detector.detect((image * light).astype(np.uint8)).verdict for image in good_new]
    print(f"{light:.0%} of the light: {', '.join(verdicts)}")

# %% [markdown]
# **That the detector finds a defect.** Good images say nothing about defects. How many of the drawn ones it calls bad:

# %%
by_type = {}
for item in cloth.test:
    if item.bad:
        by_type.setdefault(item.defect, []).append(detector.detect(item.image()).verdict)
for defect_type, verdicts in by_type.items():
    print(f"{defect_type:<8} called bad: {verdicts.count('bad')} of {len(verdicts)}")

# %% [markdown]
# A mispick is a thread that goes over where it should go under: each patch of it is a patch of good cloth. How large
# must a defect be before the detector calls it bad? Try it, on defects like yours: `lab.inspection.ranking.try_sizes`
# paints growing synthetic defects, and so does the page's tab for your own images.
#
# ## Keeping it
#
# A detector is one safetensors file: numbers and JSON, nothing that could run code.
# Equal fits (with equally many threads) give equal bytes.

# %%
detector.save("cloth.safetensors")
loaded = Detector.load("cloth.safetensors")
name, image = next(iter(new.items()))
print(Path("cloth.safetensors").stat().st_size // 1024, "KB;", loaded.detect(image).score == judged[name].score)

# %% [markdown]
# ## The same from the command line


# %%
def shell(command):
    """Runs `python -m lab ...` as a terminal would, with this notebook's Python."""
    print("$", command)
    variables = {"PYTHONPATH": str(Path(lab.__file__).parents[1]), "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env=os.environ | variables,
    )
    print(result.stdout)


shell("python -m lab detect cloth.safetensors parts/new -o out")
print(sorted(path.name for path in Path("out").iterdir())[:4], "...")

# %% [markdown]
# `python -m lab fit --method patchcore --data parts -o cloth.safetensors` makes the file from the folder as well. It
# learns from all of `good/`, so first take out what does not belong there.
#
# ## Exercises
#
# ### Exercise 1
#
# How many good images does it take to promise a false-alarm rate of 5 %, of 1 % and of 0.1 %? Work it out from
# $\alpha \ge 1/(n + 1)$, then ask `promise.images_for`.

# %%
# your turn

# %% tags=["solution"]
# n >= 1/alpha - 1
for alpha, n in ((0.05, 19), (0.01, 99), (0.001, 999)):
    assert promise.images_for(alpha) == n
    assert promise.threshold_for(range(n), alpha) is not None
    assert promise.threshold_for(range(n - 1), alpha) is None

# %% [markdown]
# ### Exercise 2
#
# Check the conformal promise by simulation: draw 19 scores and one more, all from one distribution of your choice, many
# thousand times. How often does the last one exceed the threshold for 10 %? Does it matter which distribution you took?

# %%
# your turn

# %% tags=["solution"]
rng = np.random.default_rng(0)
for draw in (rng.standard_normal, rng.standard_cauchy, rng.standard_exponential):
    scores = draw((20_000, 20))
    thresholds = np.sort(scores[:, :19], 1)[:, -2]  # k = 20 * 0.1 = 2
    assert thresholds[0] == promise.threshold_for(scores[0, :19], 0.1)
    assert abs((scores[:, 19] > thresholds).mean() - 0.1) < 0.01  # 2 of 20 gaps, whatever the distribution

# %% [markdown]
# ### Exercise 3
#
# A detector is only as good as the images it learned from. Fit one on good images *with* the part that slipped in
# (`22_slipped_in.png`) and compare the score it gives to that part with the score of the clean detector.

# %%
# your turn

# %% tags=["solution"]
slipped_in = image_files.read(FOLDER / "good" / "22_slipped_in.png")
misled = Detector("patchcore").fit([*good.values(), slipped_in])
print(
    f"score of the defective part: {detector.detect(slipped_in).score:.1f} σ, learned as good: "
    f"{misled.detect(slipped_in).score:.1f} σ"
)
assert misled.detect(slipped_in).score < detector.detect(slipped_in).score
