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
from show import code, distributions, overlay, row, table

from lab import METHODS, Detector, data, metrics, promise
from lab.papers import survey
from lab.plots import BLUE, INK, ORANGE

print(survey.QUESTION)

# %%
rows = []
for name, family in survey.FAMILIES.items():
    here = ", ".join(f"`{m}`" for m, method_class in METHODS.items() if method_class.family == name)
    if family.parts:
        here = here or "as a part of " + ", ".join(f"`{m}`" for m in family.parts)
    rows.append([name, family.idea, family.cost, family.others, here])
table(["family", "idea", "cost", "its examples", "here"], rows)

# %% [markdown]
# ## The idea in one figure
#
# One detector of each of the first four families (the fifth only adds to them) learns from the same 20 good images of
# woven cloth at half their side, with its `live` settings, in seconds on a CPU: an autoencoder for *reconstruction*,
# FastFlow for the *normalizing flow*, PatchCore for *representation*, and CDO for the use of *data augmentation*: it
# draws synthetic defects and learns against them.
#
# An anomaly map is in robust σ of normal surface. Each detector has its own scale, set by good images it did not learn
# from. The line is the true outline of the defect.

# %%
FAMILY = {
    "autoencoder": "reconstruction",
    "fastflow": "normalizing flow",
    "patchcore": "representation",
    "cdo": "uses augmentation",
}
dataset = data.load("samples", "cloth")
good = [item.image() for item in dataset.train[:20]]
test = dataset.test[:15] + dataset.test[20::2]
images = [item.image() for item in test]
detectors = {method: Detector(method, size=128).fit(good) for method in FAMILY}

for defect in ("hole", "stain"):
    item = next(item for item in test if item.defect == defect)
    maps = {f"{METHODS[m].title}: {FAMILY[m]}": overlay(d, item.image(), item.mask()) for m, d in detectors.items()}
    row({defect: item.image()} | maps)

# %% [markdown]
# ## What each family computes
#
# ### Reconstruction
#
# $$A(p) = \| I(p) - \hat I(p) \|, \qquad \hat I = D(E(I))$$
#
# A network that has only rebuilt normal images should not be able to rebuild a defect. It is the oldest idea and the
# easiest to look at: the image, and what the network makes of it. After a short training on twenty images, the network
# also fails to rebuild some normal surface. That error hides the defect's.

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
# A bijection $f$ carries features of normal patches to a standard normal distribution; what lands far out is unlikely.
#
# ### Representation
#
# $$A(p) = \min_{m \in \mathcal M} \| x(p) - m \|$$
#
# A memory $\mathcal M$ holds features of normal patches; the distance to the nearest is the score. Nothing is trained.
#
# ### Data augmentation
#
# Synthetic defects are drawn, and a network learns against them. `3_cdo` takes one such method apart.
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
findings = {method: [detector.detect(image) for image in images] for method, detector in detectors.items()}
scores = {method: np.array([f.score for f in method_findings]) for method, method_findings in findings.items()}


def errors(values):
    """Thresholds from below all scores to the largest, and the two rates at each."""
    thresholds = np.concatenate([[values.min() - 1], np.sort(values)])
    rates = [metrics.rates(bad, values, t) for t in thresholds]
    return thresholds, [r.false_alarms / r.goods for r in rates], [r.missed / r.bads for r in rates]


figure, axes = plt.subplots(1, len(scores), figsize=(11, 2.6), sharey=True)
for axis, (method, values) in zip(axes, scores.items(), strict=True):
    thresholds, alarms, missed = errors(values)
    axis.step(thresholds, alarms, where="post", color=BLUE, label="false alarms")
    axis.step(thresholds, missed, where="post", color=ORANGE, label="missed")
    axis.axvline(detectors[method].calibration.bad, color=INK, linestyle="--", linewidth=1)
    axis.set(title=METHODS[method].title, xlabel="threshold, σ", xlim=np.quantile(values, (0, 0.9)))
axes[0].set_ylabel("rate")
axes[0].legend()
plt.show()

# %% [markdown]
# Moving the threshold only trades one error for the other. Below, the two errors are drawn against each other. The
# curve of a better method lies nearer the lower left corner. The dot is the threshold that the detector chose by
# itself, from good images alone.

# %%
figure, axis = plt.subplots(figsize=(5, 4))
rows, styles = [], (("-", BLUE), ("--", ORANGE), ("-.", INK), (":", "#009E73"))
for (method, values), (line, colour) in zip(scores.items(), styles, strict=True):
    title, c = METHODS[method].title, detectors[method].calibration
    _, alarms, missed = errors(values)
    axis.step(alarms, missed, where="post", linestyle=line, color=colour, label=title)
    r = metrics.rates(bad, values, c.bad)
    axis.plot(r.false_alarms / r.goods, r.missed / r.bads, "o", color=colour)
    counts = [f"{r.false_alarms} of {r.goods}", f"{r.missed} of {r.bads}"]
    low, high = metrics.auroc_interval(bad, values)
    auroc = f"{metrics.image_auroc(bad, values):.2f} ({low:.2f} to {high:.2f})"
    rows.append([title, FAMILY[method], *counts, auroc, f"{c.promise(c.bad):.1%}"])
axis.set(xlabel="false alarms", ylabel="missed", xlim=(-0.03, 1), ylim=(-0.03, 1))
axis.legend()
plt.show()
table(["method", "family", "false alarms", "missed", "image AUROC, 95 % interval", "promised false alarms"], rows)

# %% [markdown]
# To lower *both* errors a method has to drive the two distributions apart. Over all pixels of these images, scores in
# σ of normal surface:

# %%
truth = np.stack([item.mask() for item in test])
pairs = {}
for method, method_findings in findings.items():
    maps = np.stack([finding.anomaly_map for finding in method_findings])
    pairs[METHODS[method].title] = (maps[~truth], maps[truth])
distributions(pairs, unit="anomaly map, σ", span=(-4, 30))

# %% [markdown]
# One category, one seed, drawn defects: this shows how the families work, not which is best. The
# [README](../README.md) has the measurements on real sets.
#
# ## What good images can promise
#
# *Held-out good images* set the dots above. With $n$ of their scores, the threshold for a false-alarm rate $\alpha$ is
# the $k$-th largest, $k = \lfloor (n + 1)\,\alpha \rfloor$, and **no rate below $1/(n+1)$ can be promised**: the next
# good image exceeds even the largest of $n$ good scores once in $n + 1$ times. With a `confidence`, the bound of the
# detector in hand is kept, not the mean over all.

# %%
code(promise.rank_for, promise.threshold_for)

# %%
rng = np.random.default_rng(0)
print("  n   promised 1/(n+1)   exceeded, of 20,000 draws")
for n in (4, 9, 20, 99):
    drawn = rng.standard_normal((20_000, n + 1))
    limit = 1 / (n + 1)
    assert promise.threshold_for(drawn[0, :n], limit) == drawn[0, :n].max()
    print(f"{n:>3}   {limit:>16.3f}   {(drawn[:, n] > drawn[:, :n].max(1)).mean():.3f}")

# %% [markdown]
# Methods that only store features leave out each image's own part in turn, so that all images count. Methods that train
# must hold some images out. That is why their promise in the table above is weaker.
#
# ## Where they fail
#
# The head of each method's file says where it fails:

# %%
table(["method", "fails on"], [[method_class.title, method_class.fails()] for method_class in METHODS.values()])

# %% [markdown]
# One risk is common to all: an image may be normal, but differ from the good ones in something that nobody meant to
# inspect. Only a trial shows which methods this troubles. The same normal cloth in 15 % more light:

# %%
brighter = [np.clip(p * 1.15, 0, 255).astype(np.uint8) for p, b in zip(images, bad, strict=True) if not b][:8]
for method, detector in detectors.items():
    before, after = findings[method][:8], [detector.detect(p) for p in brighter]
    alarms = [sum(finding.verdict == "bad" for finding in some) for some in (before, after)]
    print(f"{METHODS[method].title:<12} calls bad of {len(brighter)} good ones: {alarms[0]}, in more light {alarms[1]}")

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
# The AUROC is the chance that a defective image scores above a good one, half a point for a tie. Compute PatchCore's
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
assert promise.images_for(1 / 200) == 199
n_scores = {method: len(detector.calibration.scores) for method, detector in detectors.items()}
assert n_scores == {"autoencoder": 4, "fastflow": 4, "patchcore": 20, "cdo": 4}
for method, rate in (("cdo", 1 / 5), ("patchcore", 1 / 21)):
    c = detectors[method].calibration
    assert abs(c.promise(c.bad) - rate) < 1e-9
