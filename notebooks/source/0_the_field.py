# %% [markdown]
# # The field: four families, two errors
#
# After Y. Cui, Z. Liu, S. Lian. *A Survey on Unsupervised Anomaly Detection Algorithms for Industrial Images.*
# IEEE Access, 2023.
#
# **The question.** Good parts are plentiful, defects are rare and each is new. So a method sees only good images and
# must say where a new one differs. The survey sorts the ways of doing so into families and ends on one open question:

# %%
import matplotlib.pyplot as plt
import numpy as np
from show import code, distributions, heat, row, table

from lab import METHODS, Detector, calibration, data, metrics
from lab.papers import survey
from lab.plots import BLUE, INK, ORANGE

print(survey.QUESTION)

# %%
table(["family", "idea", "cost", "its examples", "here"], [
    [name, family.idea, family.cost, family.others,
     ", ".join(f"`{m}`" for m, kind in METHODS.items() if kind.family == name)
     or ("as a part of " + ", ".join(f"`{m}`" for m in family.parts) if family.parts else "")]
    for name, family in survey.FAMILIES.items()
])  # fmt: skip

# %% [markdown]
# ## The idea in one figure
#
# One detector of each of the first four families (the fifth only adds to them) learns from the same 20 good images of
# woven cloth at half their side, with its `live` settings, in seconds on a CPU: an autoencoder for *reconstruction*,
# FastFlow for the *normalizing flow*, PatchCore for *representation*, and CDO for the use of *data augmentation*: it
# makes defects and learns against them.
#
# Heat is in robust σ of sound surface, each detector on its own scale, that of good images it did not learn from; the
# line is the true outline of the defect.

# %%
FAMILY = {"autoencoder": "reconstruction", "fastflow": "normalizing flow", "patchcore": "representation",
          "cdo": "uses augmentation"}  # fmt: skip
dataset = data.load("samples", "cloth")
good = [item.image() for item in dataset.train[:20]]
test = dataset.test[:15] + dataset.test[20::2]
images = [item.image() for item in test]
detectors = {method: Detector(method, size=128).fit(good) for method in FAMILY}

for kind in ("hole", "stain"):
    item = next(item for item in test if item.defect == kind)
    maps = {f"{METHODS[m].title}: {FAMILY[m]}": heat(d, item.image(), item.mask()) for m, d in detectors.items()}
    row({kind: item.image()} | maps)

# %% [markdown]
# ## What each family computes
#
# ### Reconstruction
#
# $$A(p) = \| I(p) - \hat I(p) \|, \qquad \hat I = D(E(I))$$
#
# A network that only ever rebuilt sound images should not be able to rebuild a defect. It is the oldest idea and the
# easiest to look at: the image, and what the network makes of it. What it fails to rebuild of sound surface, after a
# short training on twenty images, is an error as well, and hides the defect's.

# %%
item = next(item for item in test if item.defect == "hole")
finding = detectors["autoencoder"].detect(item.image())
views = {name: view for name, view in finding.views.items() if view.ndim == 3}
row({"image": item.image()} | {name: (view * 255).clip(0, 255).astype(np.uint8) for name, view in views.items()})

# %% [markdown]
# ### Normalizing flow
#
# $$-\log p(x) = \tfrac12 \|z\|^2 - \log\left|\det \tfrac{\partial z}{\partial x}\right| + \text{const},
# \qquad z = f(x)$$
#
# A bijection $f$ carries features of sound patches to a standard normal distribution; what lands far out is unlikely.
#
# ### Representation
#
# $$A(p) = \min_{m \in \mathcal M} \| x(p) - m \|$$
#
# A memory $\mathcal M$ of features of sound patches, and the distance to the nearest. Nothing is trained.
#
# ### Data augmentation
#
# Defects are made, and a network learns against them. `3_cdo` takes one such method apart.
#
# ## Two errors and one threshold
#
# An image is called bad when its score exceeds a threshold $t$. With good scores $g$ and bad scores $b$:
#
# $$\text{false alarms}(t) = \frac{|\{g > t\}|}{|\{g\}|}, \qquad \text{missed}(t) = \frac{|\{b \le t\}|}{|\{b\}|}$$

# %%
code(metrics.rates)

# %% [markdown]
# **By hand.** Good images score 1, 2, 3, bad ones 2.5, 4. At $t = 2$ one good image in three is above it and no bad
# one is missed; at $t = 3$ there is no false alarm, and one bad image in two is missed.

# %%
for t in (2, 3):
    print(t, metrics.rates([False, False, False, True, True], [1, 2, 3, 2.5, 4], t))

# %%
bad = np.array([item.bad for item in test])
findings = {method: [detector.detect(p) for p in images] for method, detector in detectors.items()}
scores = {method: np.array([finding.score for finding in found]) for method, found in findings.items()}


def errors(values):
    """Thresholds from below all scores to the largest, and the two rates at each."""
    at = np.concatenate([[values.min() - 1], np.sort(values)])
    found = [metrics.rates(bad, values, t) for t in at]
    return at, [r.false_alarms / r.goods for r in found], [r.missed / r.bads for r in found]


figure, axes = plt.subplots(1, len(scores), figsize=(11, 2.6), sharey=True)
for axis, (method, values) in zip(axes, scores.items(), strict=True):
    at, alarms, missed = errors(values)
    axis.step(at, alarms, where="post", color=BLUE, label="false alarms")
    axis.step(at, missed, where="post", color=ORANGE, label="missed")
    axis.axvline(detectors[method].calibration.bad, color=INK, linestyle="--", linewidth=1)
    axis.set(title=METHODS[method].title, xlabel="threshold, σ", xlim=np.quantile(values, (0, 0.9)))
axes[0].set_ylabel("rate")
axes[0].legend()
plt.show()

# %% [markdown]
# Moving the threshold only trades one error for the other. Drawn against each other, without the threshold, a better
# method is a curve that lies nearer the lower left corner; the dot is the threshold that the detector chose by itself,
# from good images alone.

# %%
figure, axis = plt.subplots(figsize=(5, 4))
rows = []
for (method, values), line, colour in zip(scores.items(), ("-", "--", "-.", ":"), (BLUE, ORANGE, INK, "#009E73"),
                                         strict=True):  # fmt: skip
    _, alarms, missed = errors(values)
    axis.step(alarms, missed, where="post", linestyle=line, color=colour, label=METHODS[method].title)
    c = detectors[method].calibration
    own = metrics.rates(bad, values, c.bad)
    axis.plot(own.false_alarms / own.goods, own.missed / own.bads, "o", color=colour)
    low, high = metrics.auroc_interval(bad, values)
    rows.append([
        METHODS[method].title, FAMILY[method], f"{own.false_alarms} of {own.goods}", f"{own.missed} of {own.bads}",
        f"{metrics.image_auroc(bad, values):.2f} ({low:.2f} to {high:.2f})", f"{c.promise(c.bad):.1%}",
    ])  # fmt: skip
axis.set(xlabel="false alarms", ylabel="missed", xlim=(-0.03, 1), ylim=(-0.03, 1))
axis.legend()
plt.show()
table(["method", "family", "false alarms", "missed", "image AUROC, 95 % interval", "promised false alarms"], rows)

# %% [markdown]
# To lower *both* errors a method has to drive the two distributions apart. Over all pixels of these images, scores in
# σ of sound surface:

# %%
truth = np.stack([item.mask() for item in test])
anomaly_maps = {m: np.stack([finding.anomaly_map for finding in found]) for m, found in findings.items()}
distributions({METHODS[m].title: (h[~truth], h[truth]) for m, h in anomaly_maps.items()}, unit="heat, σ", span=(-4, 30))

# %% [markdown]
# One category, one seed, drawn defects: this shows how the families work, not which is best. What was measured on real
# sets stands in the [README](../README.md).
#
# ## What good images can promise
#
# The dots above stand where *good images that were held out* put them. With $n$ of their scores, the threshold for a
# false-alarm rate $\alpha$ is the $\lceil (n+1)(1-\alpha) \rceil$-th smallest, and **no rate below $1/(n+1)$ can be
# promised**: even the largest of $n$ good scores is exceeded by the next good image once in $n + 1$ times.

# %%
code(calibration.conformal_threshold)

# %%
rng = np.random.default_rng(0)
print("  n   promised 1/(n+1)   exceeded, of 20,000 draws")
for n in (4, 9, 20, 99):
    drawn = rng.standard_normal((20_000, n + 1))
    limit = 1 / (n + 1)
    assert calibration.conformal_threshold(drawn[0, :n], limit) == drawn[0, :n].max()
    print(f"{n:>3}   {limit:>16.3f}   {(drawn[:, n] > drawn[:, :n].max(1)).mean():.3f}")

# %% [markdown]
# Methods that only store leave each image's own part out in turn, so that all images count; methods that train must
# hold some out, which is why theirs is the weaker promise in the table above.
#
# ## Where they fail
#
# Each method's file says so at its head:

# %%
table(["method", "fails on"], [[kind.title, kind.fails()] for kind in METHODS.values()])

# %% [markdown]
# One risk is common to all: an image that is sound but unlike the good ones in something nobody meant to inspect. Whom
# it troubles must be tried. The same sound cloth in 15 % more light:

# %%
brighter = [np.clip(p * 1.15, 0, 255).astype(np.uint8) for p, b in zip(images, bad, strict=True) if not b][:8]
for method, detector in detectors.items():
    before, after = findings[method][:8], [detector.detect(p) for p in brighter]
    told = [sum(finding.verdict == "bad" for finding in found) for found in (before, after)]
    print(f"{METHODS[method].title:<12} calls bad of {len(brighter)} sound ones: {told[0]}, in more light {told[1]}")

# %% [markdown]
# ## Exercises
#
# ### Exercise 1
#
# A false alarm costs 1, a missed defect 20, and one part in 100 is defective. At a threshold a detector has 10 % false
# alarms and misses 5 %; at a higher one 2 % and 30 %. Which one is cheaper for 10,000 parts? And if one part in 1,000
# is defective, or one in 10?

# %%
# your turn


# %% tags=["solution"]
def cost(alarms, missed, share, parts=10_000):
    return parts * ((1 - share) * alarms * 1 + share * missed * 20)


assert round(cost(0.10, 0.05, 0.01)) == 1090 and round(cost(0.02, 0.30, 0.01)) == 798  # the higher one
assert cost(0.02, 0.30, 0.001) < cost(0.10, 0.05, 0.001)  # even more so: false alarms are nearly all of the cost
assert cost(0.10, 0.05, 0.10) < cost(0.02, 0.30, 0.10)  # at one part in ten the lower threshold pays

# %% [markdown]
# ### Exercise 2
#
# The AUROC is the chance that a defective image scores above a sound one, half a point for a tie. Compute PatchCore's
# from the scores above by comparing all pairs, and check with `metrics.image_auroc`.

# %%
# your turn

# %% tags=["solution"]
b, g = scores["patchcore"][bad][:, None], scores["patchcore"][~bad][None]
pairs = (b > g).mean() + (b == g).mean() / 2
assert abs(pairs - metrics.image_auroc(bad, scores["patchcore"])) < 1e-9

# %% [markdown]
# ### Exercise 3
#
# A machine must not stop for a false alarm more than once in 200 good parts. How many good images must be held out so
# that a threshold can promise that? And with 20 images, of which a method that trains holds out 4: which rate can it
# promise, and which can PatchCore?

# %%
# your turn

# %% tags=["solution"]
assert calibration.images_needed(1 / 200) == 199
held = {method: len(detector.calibration.scores) for method, detector in detectors.items()}
assert held == {"autoencoder": 4, "fastflow": 4, "patchcore": 20, "cdo": 4}
for method, rate in (("cdo", 1 / 5), ("patchcore", 1 / 21)):
    c = detectors[method].calibration
    assert abs(c.promise(c.bad) - rate) < 1e-9
