"""The data check: what is odd about good images before anything learns from them, in words for a person.

Everything is relative to the rest of the set; nothing is a verdict. The limits below were set on the lab's own samples.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy import ndimage, stats

from .. import image_files, plots
from ..calibration import MIN_IMAGES, robust_scale
from ..image_stack import ImageStack
from ..parts import features, memory_bank
from ..progress import Report, no_report

SIZE = 256  # pixels; the side at which images are looked at, and most methods see them
RECOMMENDED_IMAGES = 20  # good images that are a good start
DUPLICATE_DIFFERENCE = 0.5  # mean difference of two grey images of 32 x 32, levels of 255, below which one is a copy
EXPOSURE = 0.15  # share by which an image must be brighter or darker than the rest
DRIFT = 0.06  # share by which the last third must be brighter or darker than the first
ODD = 6.0  # robust deviations
FIT, GAIN = 0.8, 0.2  # correlation of two images once one is turned and shifted, and what that must win
TURN, SHIFT = 5, 0.05  # degrees or sides by which they must lie apart
REPEATS = 0.9  # correlation of an image with itself, shifted, from which on it is a pattern that has no one place


class ImageSummary(NamedTuple):
    """What the check knows of an image."""

    name: str
    width: int  # pixels, as it came
    height: int
    digest: str  # of its pixels
    small: np.ndarray  # uint8 (SIZE, SIZE, 3)


class Hint(NamedTuple):
    """kind: few, twice, mixed, exposure, drift, size, odd or unaligned; images: numbers of the good images that
    leaving out would settle it; words: what is so and what to do."""

    kind: str
    images: tuple[int, ...]
    words: str


def summarize(name: str, image: np.ndarray) -> ImageSummary:
    """image uint8 (H, W, 3)."""
    digest = hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).hexdigest()
    return ImageSummary(name, image.shape[1], image.shape[0], digest, image_files.resize(image, SIZE))


def check_images(
    good: Sequence[ImageSummary], others: Sequence[ImageSummary] = (), report: Report = no_report
) -> list[Hint]:
    """All that is odd about the good images, `others` being those given to judge; an empty list where nothing is."""
    found = too_few(len(good))
    if len(good) > 1:
        report(0.1, "looking for images given twice, sizes and exposure")
        found += duplicates(good) + in_both_sets(good, others) + sizes(good) + exposure(good) + drift(good)
    if len(good) >= MIN_IMAGES:
        report(0.2, "looking for an image that does not belong")
        found += outliers(good, report) + unaligned(good)
    return found


def too_few(n: int) -> list[Hint]:
    if n < MIN_IMAGES:
        more = MIN_IMAGES - n
        return [
            Hint(
                "few",
                (),
                f"{n} good images are too few: add at least {more} more. {RECOMMENDED_IMAGES} are a good start.",
            )
        ]
    if n < RECOMMENDED_IMAGES:
        words = f"{n} good images can promise no false-alarm rate below 1/{n + 1} = {1 / (n + 1):.0%}. Add more, if "
        return [
            Hint(
                "few",
                (),
                words
                + f"there are any: {RECOMMENDED_IMAGES} promise 1/{RECOMMENDED_IMAGES + 1} = {1 / (RECOMMENDED_IMAGES + 1):.0%}.",
            )
        ]
    return []


def duplicates(good: Sequence[ImageSummary]) -> list[Hint]:
    """Images that are the same as an earlier one, to the pixel or but for how they were saved."""
    again: dict[int, int] = {}
    tiny = np.stack([_grey(one, 32) for one in good])
    for i in range(1, len(good)):
        apart = np.abs(tiny[:i] - tiny[i]).mean((1, 2))
        # images of one fixed part differ little, too: a copy is far nearer than the others are to each other
        usual = np.median(apart) if i > 2 else np.inf
        for j in np.argsort(apart)[:1].tolist():
            if good[i].digest == good[j].digest or apart[j] < min(DUPLICATE_DIFFERENCE, 0.2 * usual):
                again[i] = j
    if not again:
        return []
    i, j = next(iter(again.items()))
    words = (
        f"{_count(len(again), 'good image is', 'good images are')} there twice: {good[i].name} is the same as "
        f"{good[j].name}. A copy makes the set look larger than it is, and thresholds too sure. Leave the copies out."
    )
    return [Hint("twice", tuple(again), words)]


def in_both_sets(good: Sequence[ImageSummary], others: Sequence[ImageSummary]) -> list[Hint]:
    """Good images that were given to judge as well."""
    known = {one.digest: one.name for one in others}
    both = [i for i, one in enumerate(good) if one.digest in known]
    if not both:
        return []
    words = f"{_names(good, both)} {'is' if len(both) == 1 else 'are'} among the good images and among those to judge"
    return [Hint("mixed", tuple(both), f"{words}: what was learned as good is found good. Leave it out of the good.")]


def sizes(good: Sequence[ImageSummary]) -> list[Hint]:
    """Shapes that differ: every image is squeezed into the same square."""
    shapes = Counter((one.width, one.height) for one in good)
    (width, height), usual = shapes.most_common(1)[0]
    bent = [i for i, one in enumerate(good) if abs(one.width * height / (one.height * width) - 1) > 0.02]
    far = [i for i, one in enumerate(good) if i not in bent and not 1 / 1.5 < one.width / width < 1.5]
    found = []
    for those, words in (
        (bent, "Every image is squeezed into a square, so that a different shape looks distorted. Cut them alike"),
        (far, "Fine texture then looks sharper in some than in others. Take them from the same distance"),
    ):
        if those:
            one = good[those[0]]
            found.append(Hint("size", tuple(those), (
                f"{usual} of your {len(good)} good images are {width} x {height} pixels, {_names(good, those)} "
                f"{'is' if len(those) == 1 else 'are'} not ({one.width} x {one.height}). {words}, or leave them out."
            )))  # fmt: skip
    return found


def exposure(good: Sequence[ImageSummary]) -> list[Hint]:
    """Single images that are much brighter or darker than the rest."""
    bright = np.array([one.small.mean() for one in good])
    median, spread = robust_scale(bright)
    off = bright / max(median, 1.0) - 1
    outside = np.abs(bright - median) > 4 * max(spread, 0.01 * median)
    those = np.flatnonzero((np.abs(off) > EXPOSURE) & outside).tolist()
    return [
        Hint("exposure", (i,), (
            f"{good[i].name} is {abs(off[i]):.0%} {'brighter' if off[i] > 0 else 'darker'} than the rest of your "
            f"{len(good)} good images and may not belong. Keep it if such light is normal, or leave it out."
        ))
        for i in those
    ]  # fmt: skip


def drift(good: Sequence[ImageSummary]) -> list[Hint]:
    """Light that rises or falls over the images in the order they were given."""
    if len(good) < 9:
        return []
    bright = np.array([one.small.mean() for one in good])
    third = len(good) // 3
    change = float(np.median(bright[-third:]) / max(np.median(bright[:third]), 1.0) - 1)
    if abs(change) < DRIFT or stats.spearmanr(np.arange(len(good)), bright).pvalue > 0.001:
        return []
    words = (
        f"In the order given, your images become {'brighter' if change > 0 else 'darker'}: the last third by "
        f"{abs(change):.0%}. If the light still moves, good parts will soon look bad: fix lamp and exposure, or take "
        "good images from the whole day."
    )
    return [Hint("drift", (), words)]


@torch.no_grad()
def outliers(good: Sequence[ImageSummary], report: Report = no_report) -> list[Hint]:
    """Images with a spot unlike anything in the others: distances of patch features to those of the others."""
    held = ImageStack(torch.from_numpy(np.stack([one.small for one in good])).permute(0, 3, 1, 2))
    network, found = features.backbone("embedded", (2, 3)), []
    for i in range(len(held)):
        found.append(features.fuse(features.pyramids(network, held, torch.tensor([i]))))
        report(0.2 + 0.6 * i / len(held), f"features of {i + 1} of {len(held)} images")
    step = 1 if len(held) <= 40 else 2
    rows = torch.cat(found)[..., ::step, ::step]  # (N, C, h, w)
    own = torch.arange(len(held)).repeat_interleave(rows[0, 0].numel())
    flat = features.rows_of(rows)
    kept = torch.randperm(len(flat), generator=torch.Generator().manual_seed(0))[:4000]
    far = memory_bank.nearest(flat, flat[kept], owners=(own.to(flat.device), own[kept].to(flat.device)))
    far = far.view(len(held), *rows.shape[-2:]).cpu()
    worst = far.flatten(1).topk(10, 1).values.mean(1).numpy()
    median, spread = robust_scale(worst)
    those = np.flatnonzero(worst - median > ODD * max(spread, 0.03 * median)).tolist()
    report(0.9, "comparing poses")
    return [
        Hint("odd", (i,), (
            f"{good[i].name} has a spot ({plots.peak_location(far[i].numpy())}) unlike anything in the "
            "others and may show a defect. Look at it: keep it if it is sound, or leave it out."
        ))
        for i in sorted(those, key=lambda i: -worst[i])
    ]  # fmt: skip


def unaligned(good: Sequence[ImageSummary]) -> list[Hint]:
    """Objects that lie differently: the images agree far better once they are turned and shifted.

    Textures do not agree whatever one does, or agree with themselves wherever they lie, and are let be.
    """
    if _repeats(_windowed(good[0])) > REPEATS:
        return []
    first, *rest = [_windowed(one) for one in good[:: max(1, len(good) // 12)]]
    turned = [(turn, np.conj(np.fft.rfft2(_windowed(good[0], turn)))) for turn in range(-180, 180, 5)]
    rows = []
    for one in rest:
        spectrum = np.fft.rfft2(one)
        best, shift, turn = max((*_peak(np.fft.irfft2(spectrum * other)), abs(turn)) for turn, other in turned)
        rows.append((float((first * one).sum()), best, shift, turn))
    as_is, best, shift, turn = np.median(np.array(rows), 0)
    if best < FIT or best - as_is < GAIN or (turn < TURN and shift < SHIFT):
        return []
    words = (
        f"Your objects do not lie alike: they agree much better once turned (by {turn:.0f}° in the median) and shifted "
        f"(by {shift:.0%} of the side). Place them alike, or choose Local OCC: its matching module, IMM, lays every "
        "image on a template first."
    )
    return [Hint("unaligned", (), words)]


def _repeats(flat: np.ndarray) -> float:
    """The second greatest peak of its correlation with itself; 0 where there is but one."""
    correlation = np.fft.irfft2(np.abs(np.fft.rfft2(flat)) ** 2)
    peaks = np.sort(correlation[correlation == ndimage.maximum_filter(correlation, 5, mode="wrap")])
    return float(peaks[-2]) if len(peaks) > 1 else 0.0


def _peak(correlation: np.ndarray) -> tuple[float, float]:
    """The greatest value, and how far from no shift it stands, in sides."""
    at = np.array(np.unravel_index(np.argmax(correlation), correlation.shape))
    around = np.minimum(at, np.array(correlation.shape) - at)
    return float(correlation.max()), float(np.hypot(*around)) / correlation.shape[0]


def _grey(one: ImageSummary, side: int) -> np.ndarray:
    """(side, side) float32, 0 to 255, averaged."""
    block = SIZE // side
    return one.small.reshape(side, block, side, block, 3).mean((1, 3, 4), dtype=np.float32)


def _windowed(one: ImageSummary, turn: float = 0) -> np.ndarray:
    """Grey (64, 64) of mean 0 and length 1, turned by `turn` degrees, fading to the rim: corners do not turn along."""
    grey = Image.fromarray(_grey(one, 64)).rotate(turn, Image.Resampling.BILINEAR)
    axis = np.linspace(-1, 1, 64)
    window = np.cos(np.pi / 2 * np.minimum(np.hypot(axis[:, None], axis), 1)) ** 2
    flat = np.asarray(grey)
    flat = (flat - (flat * window).sum() / window.sum()) * window
    return flat / max(float(np.linalg.norm(flat)), 1e-6)


def _names(good: Sequence[ImageSummary], those: Sequence[int]) -> str:
    more = f" and {len(those) - 2} more" if len(those) > 2 else ""
    return ", ".join(good[i].name for i in those[:2]) + more


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
