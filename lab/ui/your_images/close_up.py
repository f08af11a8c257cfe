"""A closer look at one image of a visitor: *Why?* a spot is hot, and *Try a defect*. HTML out; knows no gradio."""

import numpy as np

from ...errors import LabError
from ...inspection import nearest_patches, ranking
from ...inspection.synthetic_defects import DEFECT_TYPES
from ...methods import METHODS
from ...progress import Report
from ..html import image_data
from ..html.render import render
from ..phrases import VERDICT_LABELS
from .session import QUICKEST, YourImagesSession
from .uploads import GOOD

PATCH_SIDE, DEFECT_SIDE = 0.18, 0.3  # of what is shown around a spot, shares of the image's shorter side
DEFECT_NAMES = {"scratch": "scratch", "blur": "blurred spot", "paint": "painted spot"}


def explain_spot(session: YourImagesSession, x: float, y: float, report: Report) -> str:
    """HTML of the normal patches nearest to the spot (x, y) of the image shown, shares of width and height.

    Raises LabError before there are answers, and for a spot outside the image.
    """
    session.answers.require_shown()
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise LabError(f"the spot ({x:g}, {y:g}) lies outside the image; both numbers go from 0 to 1")
    images, title = session.uploads.images, METHODS[session.answers.method].title
    chosen = images[session.answers.image]
    bank, normal_distances = session.memory_bank(report)
    number = bank.good.index(chosen.name) if chosen.name in bank.good else None
    pixels = chosen.pixels()
    patches = nearest_patches.nearest_patches(bank.detector, pixels, x, y, own=number)
    nearest, median = patches[0].distance, max(float(np.median(normal_distances)), 1e-9)
    distance = f"{nearest / median:.1f} times the usual distance away"
    unusual = nearest_patches.describe_distance(nearest, normal_distances)
    message = f"The nearest normal patch of another image is {distance}: {unusual}."
    if session.answers.method != QUICKEST:
        message += f" Looked up in {METHODS[QUICKEST].title}'s memory; {title} judges by other means."
    crops = [(_around(pixels, x, y, PATCH_SIDE), "this spot", chosen.name)]
    for patch in patches:
        image = images[bank.good[patch.image]]
        source = _around(image.pixels(), patch.x, patch.y, PATCH_SIDE)
        crops.append((source, f"{patch.distance / median:.1f} × usual", image.name))
    return render("your_images/close_up.html", message=message, crops=crops)


def try_defect(session: YourImagesSession, defect_type: str, x: float, y: float, report: Report) -> str:
    """HTML of a growing synthetic defect at a spot of the image shown, or of the first good one where that is not good.

    Raises LabError before there are answers, and for an unknown type of defect.
    """
    shown = session.answers.require_shown()
    if defect_type not in DEFECT_TYPES:
        raise LabError(f"there is no mark {defect_type!r}; choose one of {', '.join(DEFECT_TYPES)}")
    chosen = session.uploads.images[session.answers.image]
    chosen = chosen if chosen.role == GOOD else session.good()[0]
    pixels = chosen.pixels()
    trials = ranking.try_sizes(shown.detector, pixels, defect_type, x, y, report)
    smallest = ranking.smallest_found(trials)
    title, defect = METHODS[session.answers.method].title, DEFECT_NAMES[defect_type]
    if smallest is None:
        message = f"{title} does not find a {defect} here, even one of {trials[-1].size:.0f} pixels."
    else:
        size = f"{smallest:.0f} pixels ({smallest / min(pixels.shape[:2]):.0%} of the shorter side)"
        size += ", the smallest tried," if smallest == trials[0].size else ""
        message = f"On {chosen.name}, {title} finds a {defect} from {size} on: every larger one tried is called bad."
    sources = [_around(trial.image, x, y, DEFECT_SIDE) for trial in trials]
    captions = [f"{trial.size:.0f} px: {VERDICT_LABELS[trial.verdict]}, {trial.score:.1f} σ" for trial in trials]
    crops = [(source, caption, "") for source, caption in zip(sources, captions, strict=True)]
    return render("your_images/close_up.html", message=message, crops=crops)


def _around(image: np.ndarray, x: float, y: float, share: float) -> str:
    """Data URI of the square around a spot, moved inside where it would leave the image."""
    height, width = image.shape[:2]
    side = max(8, round(share * min(height, width)))
    left, top = (int(np.clip(at * length - side / 2, 0, length - side)) for at, length in ((x, width), (y, height)))
    return image_data.data_uri(image[top : top + side, left : left + side])
