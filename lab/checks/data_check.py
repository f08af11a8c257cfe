"""The data check: what is unusual about good images before a method learns from them, as text for a person.

Every image is compared with the rest of the set; no hint is a verdict. The limits were set on the lab's own samples.
"""

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
from . import ignore_masks, visible_defects
from .near_duplicates import Groups, copies_between, describe_repeats, group_near_duplicates, repeats
from .poses import TURNED, find_poses

SIZE = 256  # pixels; the side at which images are compared, and at which most methods see them
RECOMMENDED_IMAGES = 20  # good images to start with
EXPOSURE = 0.15  # relative difference in brightness from the rest that an image must exceed
DRIFT = 0.06  # relative difference in brightness of the last third from the first that must be reached
LARGE = 4  # times SIZE that a side must exceed for an image to hide much
ODD = 6.0  # robust deviations
MIN_CORRELATION = 0.8  # of two images once one is turned and shifted
MIN_GAIN = 0.2  # in correlation by turning and shifting
MIN_TURN, MIN_SHIFT = 5, 0.05  # degrees, shares of the side, by which poses must differ
MAX_REPETITION = 0.9  # correlation of an image with itself, shifted; above, it is a pattern without a pose


class ImageSummary(NamedTuple):
    """What the check needs to know of an image."""

    name: str
    width: int  # pixels, of the image as given
    height: int
    small: np.ndarray  # uint8 (SIZE, SIZE, 3)


Images = Sequence[ImageSummary]


class Hint(NamedTuple):
    """One thing that is unusual."""

    code: str  # few, twice, mixed, exposure, drift, size, small, odd or unaligned
    images: tuple[int, ...]  # indices of the good images that can be left out to settle it
    message: str  # what is unusual and what to do


def summarize(name: str, image: np.ndarray) -> ImageSummary:
    """image uint8 (H, W, 3) -> its summary."""
    return ImageSummary(name, image.shape[1], image.shape[0], image_files.resize(image, SIZE))


def without_ignored(summary: ImageSummary, mask: np.ndarray | None) -> ImageSummary:
    """The summary with what bool (H, W) marks as ignored grey; as it is where that is None."""
    return summary if mask is None else summary._replace(small=ignore_masks.paint(summary.small, mask))


def check_images(
    good: Images, others: Images = (), report: Report = no_report, groups: Groups | None = None
) -> list[Hint]:
    """All hints about the good images; `others` are the images to judge, `groups` the near-duplicates among the good
    ones where they are known already. Empty where nothing is unusual."""
    hints = too_few(len(good))
    if len(good) > 1:
        report(0.1, "looking for images given twice, sizes and exposure")
        hints += duplicates(good, groups) + in_both_sets(good, others) + sizes(good) + small_defects(good)
        hints += exposure(good) + drift(good)
    if len(good) >= MIN_IMAGES:
        report(0.2, "looking for an image that does not belong")
        hints += outliers(good, report) + unaligned(good)
    return hints


def too_few(n: int) -> list[Hint]:
    """A hint below RECOMMENDED_IMAGES images."""
    if n >= RECOMMENDED_IMAGES:
        return []
    if n < MIN_IMAGES:
        problem = f"{n} good images are too few: add at least {MIN_IMAGES - n} more."
        advice = f"{RECOMMENDED_IMAGES} are a good start."
    else:
        now, then = (f"1/{images + 1} = {1 / (images + 1):.0%}" for images in (n, RECOMMENDED_IMAGES))
        problem = f"{n} good images can promise no false-alarm rate below {now}."
        advice = f"Add more, if there are any: {RECOMMENDED_IMAGES} promise {then}."
    return [Hint("few", (), f"{problem} {advice}")]


def duplicates(good: Images, groups: Groups | None = None) -> list[Hint]:
    """Images that show again what an earlier one shows: copies, saved anew or shifted, and frames of a burst."""
    groups = groups or group_near_duplicates([summary.small for summary in good])
    message = describe_repeats([summary.name for summary in good], groups)
    return [Hint("twice", repeats(groups.same) or repeats(groups.alike), message)] if message else []


def in_both_sets(good: Images, others: Images) -> list[Hint]:
    """Good images that are also among the images to judge, as they are, saved anew or shifted by a pixel."""
    both = [i for i, _ in copies_between([summary.small for summary in others], [summary.small for summary in good])]
    if not both:
        return []
    problem = f"{_names_are(good, both)} among the good images and among those to judge"
    return [Hint("mixed", tuple(both), f"{problem}: what was learned as good is found good. Leave it out of the good.")]


def sizes(good: Images) -> list[Hint]:
    """Sizes that differ: every image is resized to the same square."""
    shapes = Counter((summary.width, summary.height) for summary in good)
    (width, height), usual = shapes.most_common(1)[0]
    distorted = [i for i, s in enumerate(good) if abs(s.width * height / (s.height * width) - 1) > 0.02]
    scaled = [i for i, s in enumerate(good) if i not in distorted and not 1 / 1.5 < s.width / width < 1.5]
    shape = "Every image is squeezed into a square, so that a different shape looks distorted. Cut them alike"
    distance = "Fine texture then looks sharper in some than in others. Take them from the same distance"
    hints = []
    for indices, reason in ((distorted, shape), (scaled, distance)):
        if indices:
            first = good[indices[0]]
            most = f"{usual} of your {len(good)} good images are {width} x {height} pixels"
            problem = f"{most}, {_names_are(good, indices)} not ({first.width} x {first.height})."
            hints.append(Hint("size", tuple(indices), f"{problem} {reason}, or leave them out."))
    return hints


def small_defects(good: Images) -> list[Hint]:
    """Images so large that squeezed into a square they hide small defects."""
    largest = max(good, key=lambda summary: summary.width * summary.height)
    if max(largest.width, largest.height) <= LARGE * SIZE:
        return []
    problem = f"Your images are large: {visible_defects.describe((largest.height, largest.width), SIZE)}."
    advice = "The command line's `fit --smallest-defect PIXELS` takes as many tiles as the smallest that matters needs."
    return [Hint("small", (), f"{problem} {advice}")]


def exposure(good: Images) -> list[Hint]:
    """Single images that are much brighter or darker than the rest."""
    brightness = np.array([summary.small.mean() for summary in good])
    median, spread = robust_scale(brightness)
    relative = brightness / max(median, 1.0) - 1
    is_outlier = np.abs(brightness - median) > 4 * max(spread, 0.01 * median)
    hints = []
    for i in np.flatnonzero((np.abs(relative) > EXPOSURE) & is_outlier).tolist():
        difference = f"{abs(relative[i]):.0%} {'brighter' if relative[i] > 0 else 'darker'}"
        problem = f"{good[i].name} is {difference} than the rest of your {len(good)} good images and may not belong."
        hints.append(Hint("exposure", (i,), f"{problem} Keep it if such light is normal, or leave it out."))
    return hints


def drift(good: Images) -> list[Hint]:
    """Light that rises or falls over the images in the order given."""
    if len(good) < 9:
        return []
    brightness = np.array([summary.small.mean() for summary in good])
    third = len(good) // 3
    change = float(np.median(brightness[-third:]) / max(np.median(brightness[:third]), 1.0) - 1)
    if abs(change) < DRIFT or stats.spearmanr(np.arange(len(good)), brightness).pvalue > 0.001:
        return []
    direction = "brighter" if change > 0 else "darker"
    problem = f"In the order given, your images become {direction}: the last third by {abs(change):.0%}."
    risk = "If the light still moves, good parts will soon look bad"
    return [Hint("drift", (), f"{problem} {risk}: fix lamp and exposure, or take good images from the whole day.")]


@torch.no_grad()
def outliers(good: Images, report: Report = no_report) -> list[Hint]:
    """Images with a spot unlike anything in the others: distances of patch features to those of the others."""
    images = ImageStack(torch.from_numpy(np.stack([summary.small for summary in good])).permute(0, 3, 1, 2))
    n = len(images)
    network, fused = features.backbone("embedded", (2, 3)), []
    for i in range(n):
        fused.append(features.fuse(features.pyramids(network, images, torch.tensor([i]))))
        report(0.2 + 0.6 * i / n, f"features of {i + 1} of {n} images")
    step = 1 if n <= 40 else 2
    maps = torch.cat(fused)[..., ::step, ::step]  # (N, C, h, w)
    owner = torch.arange(n).repeat_interleave(maps[0, 0].numel())
    patches = features.rows_of(maps)
    sampled = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))[:4000]
    own = (owner.to(patches.device), owner[sampled].to(patches.device))
    distances = memory_bank.nearest(patches, patches[sampled], owners=own).view(n, *maps.shape[-2:]).cpu()
    largest = distances.flatten(1).topk(10, 1).values.mean(1).numpy()
    median, spread = robust_scale(largest)
    odd = np.flatnonzero(largest - median > ODD * max(spread, 0.03 * median)).tolist()
    report(0.9, "comparing poses")
    hints = []
    for i in sorted(odd, key=lambda i: -largest[i]):
        place = plots.peak_location(distances[i].numpy())
        problem = f"{good[i].name} has a spot ({place}) unlike anything in the others and may show a defect."
        hints.append(Hint("odd", (i,), f"{problem} Look at it: keep it if it is good, or leave it out."))
    return hints


def unaligned(good: Images) -> list[Hint]:
    """Parts in different poses: images agree far better once turned and shifted. Textures never do, or always."""
    found = find_poses([summary.small for summary in good])
    if found.kind == TURNED:
        problem = f"Your parts lie in different poses: {found.alike:.0%} of the pairs of images agree without a turn."
        advice = "PatchCore learns turned copies of each; for other methods place them alike, or choose Local OCC: its"
        advice += " matching module, IMM, lays every image on a template first."
        return [Hint("unaligned", (), f"{problem} {advice}")]
    if _repetition(_windowed(good[0])) > MAX_REPETITION:
        return []
    first, *others = [_windowed(summary) for summary in good[:: max(1, len(good) // 12)]]
    turned = [(angle, np.conj(np.fft.rfft2(_windowed(good[0], angle)))) for angle in range(-180, 180, 5)]
    rows = []
    for image in others:
        spectrum = np.fft.rfft2(image)
        poses = ((*_peak(np.fft.irfft2(spectrum * template)), abs(angle)) for angle, template in turned)
        rows.append((float((first * image).sum()), *max(poses)))
    unmoved, best, shift, turn = np.median(np.array(rows), 0)
    if best < MIN_CORRELATION or best - unmoved < MIN_GAIN or (turn < MIN_TURN and shift < MIN_SHIFT):
        return []
    moves = f"turned (by {turn:.0f}° in the median) and shifted (by {shift:.0%} of the side)"
    problem = f"Your objects do not lie alike: they agree much better once {moves}."
    advice = "Place them alike, or choose Local OCC: its matching module, IMM, lays every image on a template first."
    return [Hint("unaligned", (), f"{problem} {advice}")]


def _repetition(image: np.ndarray) -> float:
    """The second largest peak of an image's correlation with itself; 0 where there is only one."""
    correlation = np.fft.irfft2(np.abs(np.fft.rfft2(image)) ** 2)
    peaks = np.sort(correlation[correlation == ndimage.maximum_filter(correlation, 5, mode="wrap")])
    return float(peaks[-2]) if len(peaks) > 1 else 0.0


def _peak(correlation: np.ndarray) -> tuple[float, float]:
    """The largest value and its distance from no shift, in sides."""
    position = np.array(np.unravel_index(np.argmax(correlation), correlation.shape))
    shift = np.minimum(position, np.array(correlation.shape) - position)
    return float(correlation.max()), float(np.hypot(*shift)) / correlation.shape[0]


def _grey(summary: ImageSummary, side: int) -> np.ndarray:
    """(side, side) float32, 0 to 255, averaged."""
    block = SIZE // side
    return np.asarray(summary.small.reshape(side, block, side, block, 3).mean((1, 3, 4), dtype=np.float32))


def _windowed(summary: ImageSummary, angle: float = 0) -> np.ndarray:
    """Grey (64, 64) of mean 0 and length 1, turned by `angle` degrees; a round window hides the corners."""
    grey = np.asarray(Image.fromarray(_grey(summary, 64)).rotate(angle, Image.Resampling.BILINEAR))
    axis = np.linspace(-1, 1, 64)
    window = np.cos(np.pi / 2 * np.minimum(np.hypot(axis[:, None], axis), 1)) ** 2
    centred = (grey - (grey * window).sum() / window.sum()) * window
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6))


def _names_are(good: Images, indices: Sequence[int]) -> str:
    more = f" and {len(indices) - 2} more" if len(indices) > 2 else ""
    return f"{', '.join(good[i].name for i in indices[:2])}{more} {'is' if len(indices) == 1 else 'are'}"
