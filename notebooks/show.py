"""Displays that the notebooks share: the source of a function, images and maps in a row, two distributions, and the
effect of switching components off.

Figures have a transparent ground and mid-grey text, so that they read on light and dark pages; blue and orange stay
apart in every common colour blindness. Maps of one row share one scale.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lab import Detector, Method, markdown, metrics, plots
from lab.bench import paper_comparison, study_files
from lab.bench.paper_comparison import format_claim, format_ours
from lab.bench.studies_readme import place_title
from lab.parts.maps import upsample
from lab.plots import BLUE, INK, ORANGE

TITLES = {"pixel_auroc": "pixel AUROC", "aupro": "AU-PRO", "pixel_ap": "pixel AP"}
_INK_KEYS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor")
plt.rcParams |= dict.fromkeys(_INK_KEYS, INK) | dict.fromkeys(("figure.facecolor", "axes.facecolor"), "none")
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "figure.dpi": 90}
plt.rcParams |= {"font.size": 10, "axes.titlesize": 10, "figure.constrained_layout.use": True}


def code(*functions: Callable) -> None:
    """Displays the source of functions as it stands in the package, highlighted where the reader's page can."""
    for function in functions:
        text = textwrap.dedent(inspect.getsource(function)).rstrip()
        display({"text/markdown": f"```python\n{text}\n```", "text/plain": text}, raw=True)


def tensor(image: NDArray) -> Tensor:
    """uint8 (H, W, 3) -> float32 (1, 3, H, W) in [0, 1], as methods take it."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def pixels(batch: Tensor) -> NDArray:
    """The first of (B, 3, H, W) in [0, 1] -> uint8 (H, W, 3): the inverse of `tensor`."""
    return batch[0].detach().permute(1, 2, 0).mul(255).round().to(torch.uint8).numpy()


def raw_maps(detector: Detector, images: Sequence[NDArray]) -> NDArray:
    """The method's own map of each image, in the method's own unit: N of uint8 (H, W, 3) -> float32 (N, H, W)."""
    raw = torch.cat([detector.raw(image).anomaly_map for image in images])
    return upsample(raw, images[0].shape[:2]).numpy()


def coverage(masks: NDArray, side: int) -> Tensor:
    """The share of each of side x side patches that lies in a defect: bool (N, H, W) -> float32 (N, side, side)."""
    return torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(masks).float(), side)


def symbols(method: type[Method]) -> None:
    """Displays the symbol table that opens the method's file."""
    table(["symbol", "name", "shape"], [[f"`{symbol}`", *rest] for symbol, *rest in method.symbols()])


def table(head: list[str], rows: list[list[str]]) -> None:
    """Displays a Markdown table."""
    text = markdown.table(head, rows)
    display({"text/markdown": text, "text/plain": text}, raw=True)


def compare(
    figures: Mapping[str, Mapping[str, float]],
    columns: tuple[str, ...] = ("pixel_auroc", "aupro", "margin", "overlap"),
    *,
    head: str = "off",
) -> None:
    """Displays a row for each variant's figures (`metrics.pixel_report`), and in how many of the columns "full" is
    better: has the smaller overlap, the larger anything else."""
    rows = []
    for name, report in figures.items():
        leads = [figures["full"][c] - report[c] for c in columns]
        wins = sum(lead < 0 if c == "overlap" else lead > 0 for c, lead in zip(columns, leads, strict=True))
        better = "" if name == "full" else f"{wins} of {len(columns)}"
        rows.append([name, *(f"{report[c]:.3f}" for c in columns), better])
    table([head, *(TITLES.get(c, c) for c in columns), "figures in which full is better"], rows)


def compare_with_paper(method: str, figures: tuple[str, ...] = ("pixel_auroc", "margin", "overlap")) -> None:
    """Displays what switching components off changed on real sets (full minus altered, three seeds), beside the paper's
    claims: the committed studies of `lab/bench/studies`."""
    rows = [
        [place_title(study, d.place), d.component, d.figure, format_claim(d.claim), format_ours(d), d.mark]
        for study in study_files.read_studies()
        if study["method"] == method
        for d in paper_comparison.compare(study)
        if d.claim and d.figure in figures
    ]
    table(["set", "off", "figure", "paper", "ours", "mark"], rows)


def row(images: Mapping[str, ArrayLike], *, unit: str = "", span: tuple[float, float] | None = None) -> None:
    """Draws title -> uint8 (H, W, 3), bool or float (H, W), side by side; all maps on the scale `span`, by default
    their common range, which the bar at the right shows."""
    arrays = {title: np.asarray(image) for title, image in images.items()}
    maps = [a for a in arrays.values() if a.ndim == 2 and a.dtype != bool]
    low, high = span or (min((a.min() for a in maps), default=0), max((a.max() for a in maps), default=1))
    side = min(2.5, 10 / len(arrays))
    figure, axes = plt.subplots(1, len(arrays), figsize=(side * len(arrays) + 0.6, side + 0.4), squeeze=False)
    bar = None
    for axis, (title, array) in zip(axes[0], arrays.items(), strict=True):
        if array.ndim == 2 and array.dtype != bool:
            bar = axis.imshow(array, cmap="inferno", vmin=low, vmax=high, interpolation="nearest")
        else:
            axis.imshow(array, cmap="gray", interpolation="nearest")
        axis.set_title(title)
        axis.set_xticks([])
        axis.set_yticks([])
    if bar is not None:
        figure.colorbar(bar, ax=axes[0], shrink=0.8, label=unit, pad=0.01)
    plt.show()


def overlay(detector: Detector, image: NDArray, mask: NDArray | None = None) -> NDArray:
    """The image under its anomaly map, uint8 (H, W, 3), on the detector's own scale; the true defect is outlined."""
    assert detector.calibration is not None
    low, high = detector.calibration.color_span
    painted = plots.overlay(image, detector.detect(image).anomaly_map, low=low, high=high)
    return painted if mask is None else plots.outline(painted, mask)


def distributions(
    pairs: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    unit: str,
    names: tuple[str, str] = ("normal", "defective"),
    span: tuple[float, float] | None = None,
) -> None:
    """Draws title -> (normal, abnormal) values over each other, each adding up to 100 %, with margin and overlap.

    All panels share one axis, `span` (by default up to the 99.5 % quantile of all); heights are square roots of
    shares, so that tails stay visible.
    """
    flat = {title: [np.asarray(v).ravel() for v in pair] for title, pair in pairs.items()}
    ends = [np.quantile(values, (0, 0.995)) for pair in flat.values() for values in pair]
    low, high = span or (min(e[0] for e in ends), max(e[1] for e in ends))
    edges = np.linspace(low, high, 49)
    size = (min(2.6 * len(flat) + 1.4, 11), 2.4)
    _, axes = plt.subplots(1, len(flat), figsize=size, sharey=True, squeeze=False)
    for axis, (title, pair) in zip(axes[0], flat.items(), strict=True):
        for values, name, colour in zip(pair, names, (BLUE, ORANGE), strict=True):
            share = np.histogram(np.clip(values, low, high), edges)[0] / len(values)
            axis.stairs(np.sqrt(share), edges, fill=True, alpha=0.35, color=colour)
            axis.stairs(np.sqrt(share), edges, color=colour, label=name)
        margin, overlap = metrics.margin(*pair), metrics.overlap(*pair)
        axis.set_title(f"{title}\nmargin {margin:.2f}, overlap {overlap:.2f}")
        axis.set_xlabel(unit)
        axis.set_yticks([])
    axes[0][0].set_ylabel("√ share of pixels")
    axes[0][0].legend()
    plt.show()
