# %% [markdown]
# # Comparing methods without fooling oneself
#
# **The question.** Two methods, a few dozen images, two numbers: is one method better? On how many parts, how sure, and
# could it be chance?
#
# The bench measures methods × settings × categories × seeds. All scores of a category lie on one axis. Its figures are
# exact, and nothing is chosen on the labels of the test images.

# %%
import dataclasses
import itertools

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats
from show import code, row, table

from lab import METHODS, data, metrics
from lab.bench.measurement import Bench
from lab.bench.rows import format_value
from lab.plots import BLUE, INK, ORANGE

CATEGORIES = ("cloth", "connector", "washer")
METHOD_IDS = ("patchcore", "padim", "stfpm")
COLOURS = dict(zip(METHOD_IDS, (BLUE, ORANGE, INK), strict=True))

# %% [markdown]
# ## The run
#
# Three methods on three drawn categories: 12 good images to learn from, 6 good and 10 defective ones to judge. That is
# small, as first trials on a real part are. Images are taken at half their side. `folds=0` means ranking alone, without
# calibrated thresholds.


# %%
def small(category):
    dataset = data.load("samples", category)
    return dataclasses.replace(dataset, test=dataset.test[:6] + dataset.test[20::3])


datasets = [small(category) for category in CATEGORIES]
methods = [(method, {"": METHODS[method].presets()["live"].replace(size=128)}) for method in METHOD_IDS]
bench = Bench(folds=0, train=[12])
rows = list(bench.run(datasets, methods, seeds=[0]))
row({f"{d.category}, {d.test[8].defect}": d.test[8].image() for d in datasets})

# %%
COLUMNS = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro", "margin", "overlap")
cells = [[r["category"], r["method"], *(format_value(r[column]) for column in COLUMNS)] for r in rows]
table(["category", "method", *COLUMNS], cells)

# %% [markdown]
# AUROC is the chance that a defective image (pixel) scores above a normal one. AP is the mean precision over recall.
# AU-PRO is the share of each defect found, up to a false-positive rate of 0.3; small defects count as much as large
# ones. Margin is the distance of the two mean scores in pooled deviations, overlap the area that the two distributions
# share. The bench also has `f1_max_oracle`. As its name says, it picks its threshold on the test labels: it ranks maps,
# and no user would get such a figure.
#
# ## Intervals
#
# With $m$ defective and $n$ good images an AUROC is an average over $m \cdot n$ pairs, but of only $m + n$ images. The
# interval below holds all values $\theta$ that the measured $\hat\theta$ does not contradict (Newcombe 2006):
#
# $$|\hat\theta - \theta| \le z \sqrt{V(\theta)}, \qquad V(\theta) = \frac{\theta(1-\theta)}{mn}
# \left[1 + \Big(\frac{m+n}{2} - 1\Big)\Big(\frac{1-\theta}{2-\theta} + \frac{\theta}{1+\theta}\Big)\right]$$
#
# It keeps a width at $\hat\theta = 1$, where a bootstrap would claim certainty.

# %%
code(metrics.newcombe)

# %%
figure, axis = plt.subplots(figsize=(8, 3))
for i, r in enumerate(rows):
    low, high = metrics.newcombe(r["image_auroc"], r["bad"], r["good"])
    place = -(i + i // len(METHOD_IDS))
    axis.plot([low, high], [place, place], color=COLOURS[r["method"]], linewidth=3, alpha=0.5)
    axis.plot(r["image_auroc"], place, "o", color=COLOURS[r["method"]])
    axis.text(-0.08, place, f"{r['category']}, {r['method']}", va="center")
    print(f"{r['category']:<10} {r['method']:<10} {r['image_auroc']:.2f}, 95 % interval {low:.2f} to {high:.2f}")
axis.set(xlabel="image AUROC, 95 % interval", yticks=[], xlim=(-0.1, 1.02))
plt.show()

# %% [markdown]
# Widely overlapping intervals mean that these images do not distinguish the methods. They do not mean that the methods
# are equal.
#
# ## How easily chance makes a winner
#
# Take two copies of *the same* method. Good images score $N(0, 1)$, defective ones $N(2, 1)$, and each copy is judged
# on its own images. How often does one copy lead by 0.05 of image AUROC or more?

# %%
rng = np.random.default_rng(0)


def auroc(bad, good):
    """Share of pairs in which the defective image scores higher: (K, m), (K, n) -> (K,)."""
    return (bad[:, :, None] > good[:, None]).mean((1, 2))


figure, axis = plt.subplots(figsize=(8, 2.4))
for (m, n), colour, line in zip(((10, 6), (30, 20), (100, 100)), (ORANGE, INK, BLUE), (":", "--", "-"), strict=True):
    first, second = (auroc(rng.normal(2, 1, (2000, m)), rng.normal(0, 1, (2000, n))) for _ in range(2))
    lead = abs(first - second)
    print(f"{m:>3} defective, {n:>3} good: a lead of 0.05 in {(lead >= 0.05).mean():.0%} of comparisons")
    share, edges = np.histogram(lead, 30, range=(0, 0.3))
    axis.step(edges[:-1], share / 2000, where="post", color=colour, linestyle=line, label=f"{m} + {n} images")
axis.axvline(0.05, color=INK, linewidth=1)
axis.set(xlabel="lead of one copy over the other, image AUROC", yticks=[], ylabel="share")
axis.legend()
plt.show()

# %% [markdown]
# ## What helps
#
# **Pairs.** Judge both methods on the *same* images and look at differences, as the bench does. What is hard for one
# method is mostly hard for the other, so the difference varies less than either figure.
#
# **Several parts.** A method that wins on one category has won once. The rank of each method in each category, by
# AU-PRO:

# %%
ranks = {method: [] for method in METHOD_IDS}
for category in CATEGORIES:
    aupros = {r["method"]: r["aupro"] for r in rows if r["category"] == category}
    for method, rank in zip(METHOD_IDS, stats.rankdata([-aupros[m] for m in METHOD_IDS]), strict=True):
        ranks[method].append(rank)
cells = [[method, *(f"{rank:g}" for rank in ranks[method]), f"{np.mean(ranks[method]):.2f}"] for method in METHOD_IDS]
table(["method", *CATEGORIES, "mean rank"], cells)

# %% [markdown]
# **Seeds.** Further seeds show what chance does inside a method (the start of a network, the choice of a bank):

# %%
repeats = list(bench.run(datasets[:1], methods[:2], seeds=[0, 1, 2]))  # the bench has seed 0 already
for method in METHOD_IDS[:2]:
    aupros = [r["aupro"] for r in repeats if r["method"] == method]
    values = ", ".join(f"{value:.3f}" for value in aupros)
    print(f"{method:<10} {CATEGORIES[0]}: AU-PRO {values}; deviation {np.std(aupros, ddof=1):.3f}")

# %% [markdown]
# `train=12` takes another 12 of the 60 good images for each seed. So this spread contains both the chance of the method
# and the chance of the images it learned from.
#
# ## What no table can repair
#
# - A setting, an epoch or a threshold chosen on the test images. The figure is then that of the best of many tries.
# - A test set that is like the training set in light, day and lot. Tomorrow's parts will differ.
# - Drawn defects. This project drew those here: they show a way of looking, no result. The [README](../README.md) and
#   [lab/bench/README.md](../lab/bench/README.md) have figures on real sets.
#
# ## Exercises
#
# ### Exercise 1
#
# A method finds all of 5 defective images and raises no alarm on 5 good ones: image AUROC 1. What is its 95 % interval?
# How many good and how many defective images are needed until the lower end of such a perfect result exceeds 0.95?

# %%
# your turn

# %% tags=["solution"]
low, high = metrics.newcombe(1.0, 5, 5)
assert high == 1 and low < 0.75
needed = next(n for n in itertools.count(2) if metrics.newcombe(1.0, n, n)[0] > 0.95)
print(f"5 and 5: {low:.2f} to {high:.2f}; above 0.95 from {needed} of each on")
assert metrics.newcombe(1.0, needed - 1, needed - 1)[0] <= 0.95 < metrics.newcombe(1.0, needed, needed)[0]

# %% [markdown]
# ### Exercise 2
#
# A method raises no false alarm in 20 good images. What is the largest false-alarm rate that is still compatible with
# this result, if its chance may not be below 2.5 %? Solve $(1 - p)^{20} = 0.025$ and check with
# `metrics.rate_interval`.

# %%
# your turn

# %% tags=["solution"]
p = 1 - 0.025 ** (1 / 20)
low, high = metrics.rate_interval(0, 20)
assert low == 0 and abs(high - p) < 1e-9
assert 0.16 < p < 0.17  # "no false alarm in 20" still allows one in six

# %% [markdown]
# ### Exercise 3
#
# Method A beats method B in every category. If they were equal, each win would be a toss of a coin. In how many
# categories must A win without a loss before chance is below 5 % (both directions counted)?

# %%
# your turn

# %% tags=["solution"]
# 2 * (1/2)^k < 0.05
k = next(k for k in itertools.count(1) if 2 * 0.5**k < 0.05)
assert k == 6
assert stats.binomtest(6, 6).pvalue < 0.05 <= stats.binomtest(5, 5).pvalue  # three categories prove nothing
