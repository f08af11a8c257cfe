"""`auto`: the method, its size, tiles and turned copies, chosen for a set of good images without a label.

Candidates come from the methods themselves (`Method.worth_trying`). Each is fitted and calibrated on the good images;
then synthetic defects of several kinds, sizes and strengths are drawn on these, and each defective image is scored
without what was learned from its good one. The candidate that separates them best is taken; of those that separate as
well, the one that answers fastest. Where bad images are at hand, they decide, and synthetic defects only among what
they cannot tell apart.
"""

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import image_files, metrics
from ..calibration import MIN_IMAGES, MIN_UNCALIBRATED
from ..checks import data_check, ignore_masks, near_duplicates, poses
from ..detector import Detector, held_out
from ..errors import LabError
from ..method import BaseSettings, setting
from ..methods import METHODS
from ..parts import features
from ..progress import Report, no_report, part_of
from ..tiles import Grid
from . import synthetic_defects
from .ranking import expected_seconds, seconds_per_pass

BUDGET_SECONDS = 60.0  # of the whole choice, where nobody says more
WORKING_SIDE = 768  # pixels of an image's shorter side, at most, while candidates are compared
MOST_DRAWN = 10  # good images on which defects are drawn
DRAWN = 12  # defects drawn on each, one an image
SIZES = (0.015, 0.03, 0.06, 0.12)  # of defects, shares of the image's shorter side
STRENGTHS = (0.3, 0.6, 1.0)  # strengths of defects: real ones are often faint
TIE = 0.005  # of image AUROC: what separates as well as the best
MAX_ENLARGED = 2.0  # times by which a candidate may enlarge an image
FOLDS = 5  # parts of the images, each judged by what the others chose


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoSettings(BaseSettings):
    """What `auto` is told; size and tiles are its own choice."""

    backbone: str = features.backbone_setting()
    budget: float = setting(BUDGET_SECONDS, "seconds that the choice may take", low=1.0, high=1e6)

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        return {name: field for name, field in super().fields().items() if name in ("backbone", "budget")}


class Trial(NamedTuple):
    """What was found of one candidate, or why it was not tried.

    method, settings  its id; the settings that differ from `live`
    auroc             chance that a synthetic defect scores above a good image not learned from; None: not tried
    found, drawn      synthetic defects called bad by its own threshold, of so many
    alarms_promised   false alarms that this threshold promises on average, a share of new good images
    bad_auroc         the same chance of the bad images; None without them
    seconds           that its fit and its scores took, or would take
    fit_seconds       that its fit took alone
    detect_seconds    of one image, on average
    note              "chosen", why it was not tried, or ""
    """

    method: str
    settings: dict[str, Any]
    auroc: float | None
    found: int
    drawn: int
    alarms_promised: float | None
    bad_auroc: float | None
    seconds: float
    fit_seconds: float
    detect_seconds: float
    note: str = ""

    @property
    def title(self) -> str:
        """ "PatchCore, size 384, turns 8" """
        said = [f"{name} {value}" for name, value in self.settings.items()]
        return ", ".join([METHODS[self.method].title, *said])


class _FitOptions(NamedTuple):
    """What all candidates are fitted with."""

    mask: np.ndarray | None  # of what is ignored
    grey_bits: int | None
    seed: int
    folds: int | None


class _Tried(NamedTuple):
    """A candidate that was fitted: scores of its good images left out, of defects drawn on them, and of bad images, in
    σ where it is calibrated; of good ones in the images' order where there are bad ones, else ascending."""

    trial: Trial
    detector: Detector
    good: list[float]
    defects: list[float]
    bad: list[float]


def auto(
    images: Sequence[image_files.AnyImage],
    budget: float = BUDGET_SECONDS,
    *,
    bad: Sequence[image_files.AnyImage] = (),
    seed: int = 0,
    report: Report = no_report,
    ignore: ignore_masks.Mask | None = None,
    grey_bits: int | None = None,
    backbone: str = "embedded",
    folds: int | None = None,
) -> Detector:
    """A fitted, calibrated detector, chosen on good images in about `budget` seconds, the time to read them and to fit
    what was chosen included; what was tried is `tried`.

    images, bad  paths, Pillow images or uint8 (H, W, 3), as `Detector` takes them, read one after another, large ones
                 twice; `bad` may be empty
    ignore       a mask, see `ignore_masks.read`
    grey_bits    `Detector.grey_bits`, where images of 16 bits have fewer
    backbone     the network whose features all candidates take
    folds        as in `Detector.fit`: 0 leaves the detector uncalibrated, for ranking alone, and takes fewer images
    The first candidate is tried whatever it takes. LabError for too few images, and as `Detector.fit`.
    """
    if not budget > 0:
        raise LabError(f"a budget of {budget} seconds: name a number above 0")
    began = time.perf_counter()
    mask = None if ignore is None else ignore_masks.read(ignore)
    reader = Detector()
    every_image = [image for some in (images, bad) if isinstance(some, list | tuple) for image in some]
    paths = [Path(image) for image in every_image if isinstance(image, str | Path)]
    reader.grey_bits = grey_bits or image_files.common_bits(paths)
    good, unfit, reduced = list[np.ndarray](), [_working(reader.read(image)) for image in bad], False
    for image in images:
        pixels = reader.read(image)
        good.append(_working(pixels))
        reduced |= good[-1] is not pixels
    if mask is not None:
        good = list(ignore_masks.checked(good, mask))
    if len(good) < (least := MIN_UNCALIBRATED if folds == 0 else MIN_IMAGES):
        raise LabError(f"{len(good)} good images are too few: at least {least} are needed, 20 are a good start")
    pass_seconds, tried, trials = seconds_per_pass(), list[_Tried](), list[Trial]()
    settings_of, found_poses = candidates(good, mask, backbone)
    options = _FitOptions(mask, reader.grey_bits, seed, folds)
    read, pace, foretold = time.perf_counter() - began, 1.0, 0.0
    for number, (method, settings) in enumerate(settings_of):
        fit, judge = (pace * seconds for seconds in _expected(method, settings, good, pass_seconds))
        longest = max([fit, *(t.trial.fit_seconds for t in tried)])
        expected, again = fit + judge, read + longest if reduced else 0.0
        changed = changed_settings(method, settings)
        if tried and time.perf_counter() - began + expected + again > budget:
            note = f"not tried: it would take {expected + again:.0f} s more, past the {budget:.0f} s given"
            trials.append(Trial(method, changed, None, 0, 0, None, None, expected, 0.0, 0.0, note))
            continue
        part = part_of(report, number / len(settings_of), (number + 1) / len(settings_of))
        try:
            tried.append(_try(method, settings, tried, good, unfit, options, part))
            foretold += expected / pace
            pace = sum(t.trial.seconds for t in tried) / foretold  # the trials say best how quick this machine is now
        except LabError as error:
            if not tried and number == len(settings_of) - 1:
                raise
            trials.append(Trial(method, changed, None, 0, 0, None, None, 0.0, 0.0, 0.0, f"failed: {error}"))
    if not tried:
        raise LabError(trials[-1].note.removeprefix("failed: "))
    chosen = tried[choose(tried)]
    trials = [t.trial._replace(note="chosen" if t is chosen else "") for t in tried] + trials
    detector = chosen.detector
    searched = time.perf_counter() - began
    if reduced:  # what was tried has seen them smaller than they will be judged
        detector = Detector(chosen.trial.method, **detector.settings.as_dict())
        detector.grey_bits = reader.grey_bits
        detector.fit(images, seed=seed, report=report, folds=folds, ignore=mask)
    detector.tried = tuple(trials)
    notes = {"poses": found_poses} if found_poses and detector.settings.turns_by_poses else {}
    notes["auto"] = describe(trials, searched)
    if unfit:
        nested = nested_auroc(tried)
        notes["auto"] += "" if nested is None else f"; bad images that had no part in the choice: AUROC {nested:.3f}"
    detector.method.notes |= notes
    return detector


def candidates(
    good: Sequence[np.ndarray], mask: np.ndarray | None = None, backbone: str = "embedded"
) -> tuple[list[tuple[str, BaseSettings]], str]:
    """((method, settings) of all that is worth trying on these images, in the order in which it is tried; their poses
    in words). Left out is what would only enlarge them, and tiles of what one tile shows whole."""
    shape = tuple(np.median([image.shape[:2] for image in good], axis=0).astype(int).tolist())
    seen = [data_check.without_ignored(data_check.summarize("", good[i]), mask) for i in poses.sample(len(good))]
    small, found_poses, chosen = [summary.small for summary in seen], "", list[tuple[str, BaseSettings]]()
    for method, cls in METHODS.items():
        for changes in cls.worth_trying:
            options: dict[str, Any] = changes | {"backbone": backbone}
            settings, description = poses.choose_turns(cls.Settings(**options), small)
            found_poses = found_poses or description
            enlarges = settings.size > max(MAX_ENLARGED * min(shape), cls.Settings().size)
            if not enlarges and (not settings.tiles or len(Grid.of(shape, settings.size, settings.tiles)) > 1):
                chosen.append((method, settings))
    return chosen, found_poses


def choose(tried: Sequence[_Tried], bad: Sequence[int] | None = None, good: Sequence[int] | None = None) -> int:
    """The number of the candidate to take; by the bad and good images of these numbers alone, where they are given."""
    left = list(range(len(tried)))
    good_scores = [_some(t.good, good) for t in tried]
    if tried[0].bad:
        by_bad = [_auroc(normal, _some(t.bad, bad)) for normal, t in zip(good_scores, tried, strict=True)]
        best, count = max(by_bad), len(_some(tried[0].bad, bad))
        # what so few bad images cannot tell from the best: within one standard error, half an image at the least
        error = max(math.sqrt(best * (1 - best) / count), 0.5 / count)
        left = [i for i in left if by_bad[i] >= best - error]
    by_defects = {i: _auroc(good_scores[i], tried[i].defects) for i in left}
    best = max(by_defects.values())
    return min((i for i in left if by_defects[i] >= best - TIE), key=lambda i: tried[i].trial.detect_seconds)


def nested_auroc(tried: Sequence[_Tried]) -> float | None:
    """Image AUROC of the bad images against the good ones, in FOLDS parts, each judged by the candidate that the other
    parts, bad and good, chose; None for fewer than FOLDS bad images."""
    if len(tried[0].bad) < FOLDS:
        return None
    wins, pairs = 0.0, 0
    for fold in range(FOLDS):
        bad, good = ([i % FOLDS == fold for i in range(len(scores))] for scores in (tried[0].bad, tried[0].good))
        rest = [[i for i, out in enumerate(part) if not out] for part in (bad, good)]
        taken = tried[choose(tried, *rest)]
        count = sum(bad) * sum(good)
        out = [[i for i, out in enumerate(part) if out] for part in (bad, good)]
        wins += count * _auroc(_some(taken.good, out[1]), _some(taken.bad, out[0]))
        pairs += count
    return wins / pairs


def with_defects(image: np.ndarray, number: int, ignored: np.ndarray | None = None) -> list[np.ndarray]:
    """The image uint8 (H, W, 3) with one defect in each of DRAWN copies: kinds, sizes, strengths and places go by the
    image's `number`. No centre lies in what is ignored, bool (h, w) of any size."""
    rng, types = np.random.default_rng(number), synthetic_defects.DEFECT_TYPES
    copies, side = [], min(image.shape[:2])
    for i in range(DRAWN):
        x, y = synthetic_defects.draw_place(rng, ignored)
        at = number * DRAWN + i
        size, strength = SIZES[at % len(SIZES)] * side, STRENGTHS[(at // len(types)) % len(STRENGTHS)]
        place = (x * image.shape[1], y * image.shape[0])
        angle = rng.uniform(0, np.pi)
        copies.append(synthetic_defects.draw_defect(types[at % len(types)], image, *place, size, angle, strength))
    return copies


def defect_scores(
    detector: Detector, good: Sequence[np.ndarray], ignored: np.ndarray | None = None, report: Report = no_report
) -> list[float]:
    """`Detector.score` of good images with synthetic defects, image by image: of at most MOST_DRAWN of the images that
    the detector was fitted to, uint8 (H, W, 3); each is judged without what was learned from it."""
    scores = list[float]()
    first = near_duplicates.distinct(detector.groups.same)  # those that count, by whose numbers images are left out
    numbers = held_out(len(first), detector.seed)[0].tolist() if detector.method.trains else list(range(len(first)))
    count = min(MOST_DRAWN, len(numbers))
    for done in range(count):
        number = numbers[done * len(numbers) // count]
        for image in with_defects(good[first[number]], number, ignored):
            scores.append(detector.score(image, number))
        report((done + 1) / count, f"{detector.method.title}: synthetic defects on {done + 1} of {count} images")
    return scores


def changed_settings(method: str, settings: BaseSettings) -> dict[str, Any]:
    """The settings that differ from the method's `live` ones."""
    live = METHODS[method].Settings()
    return {name: getattr(settings, name) for name in live.fields() if getattr(settings, name) != getattr(live, name)}


def describe(trials: Sequence[Trial], seconds: float) -> str:
    """What was tried and chosen, as one line for a person."""
    done = [trial for trial in trials if trial.auroc is not None]
    chosen = next(trial for trial in trials if trial.note == "chosen")
    others = "; ".join(f"{t.title} {t.auroc:.3f}" for t in done if t is not chosen)
    text = f"{chosen.title} chosen of {len(done)} tried in {seconds:.0f} s: {chosen.auroc:.3f} image AUROC on "
    return text + f"{chosen.drawn} synthetic defects" + (f" (others: {others})" if others else "")


def table(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The trials as rows of plain values, for JSON and tables."""
    return [trial._asdict() for trial in trials]


def _try(
    method: str,
    settings: BaseSettings,
    before: Sequence[_Tried],
    good: Sequence[np.ndarray],
    bad: Sequence[np.ndarray],
    options: _FitOptions,
    report: Report,
) -> _Tried:
    began = time.perf_counter()
    detector = _fitted(method, settings, before, good, options, report)
    calibration, timed = detector.calibration, time.perf_counter()
    fit_seconds = timed - began
    defects = defect_scores(detector, good, options.mask, part_of(report, 0.5, 1))
    each = (time.perf_counter() - timed) / len(defects)
    of_bad = [detector.score(image) for image in bad]
    found_defects, promised = 0, None
    if calibration:
        found_defects = sum(calibration.verdict(score) == "bad" for score in defects)
        promised = calibration.promise_at(calibration.bad)
    if calibration and not bad:
        scores = list(calibration.scores)
    else:  # by image, so that parts of the images can be left out of the choice
        by_image = detector.held_out_scores(good, "judging")
        scores = [detector.sigma(float(score)) for _, batch in by_image for score in batch.image_score]
    trial = Trial(
        method,
        changed_settings(method, settings),
        _auroc(scores, defects),
        found_defects,
        len(defects),
        promised and promised.mean,
        _auroc(scores, of_bad) if of_bad else None,
        time.perf_counter() - began,
        fit_seconds,
        each,
    )
    return _Tried(trial, detector, scores, defects, of_bad)


def _fitted(
    method: str,
    settings: BaseSettings,
    before: Sequence[_Tried],
    good: Sequence[np.ndarray],
    options: _FitOptions,
    report: Report,
) -> Detector:
    """The candidate's detector; where one before differs only in what changes scoring, its fit serves again."""
    scoring = {name for name, field in settings.fields().items() if field.metadata["scoring"]}
    training = {name: value for name, value in settings.as_dict().items() if name not in scoring}
    for other in before:
        values = other.detector.settings.as_dict()
        if other.trial.method == method and {n: v for n, v in values.items() if n not in scoring} == training:
            changes = {name: getattr(settings, name) for name in scoring}
            calibrated_on = None if options.folds == 0 else good
            return other.detector.with_scoring(calibrated_on, part_of(report, 0, 0.5), **changes)
    detector = Detector(method, **settings.as_dict())
    detector.grey_bits = options.grey_bits
    report = part_of(report, 0, 0.5)
    return detector.fit(list(good), seed=options.seed, report=report, folds=options.folds, ignore=options.mask)


def _expected(
    method: str, settings: BaseSettings, good: Sequence[np.ndarray], pass_seconds: float
) -> tuple[float, float]:
    """Seconds that a trial will take, for its fit and for the scores of what is drawn, in proportion to its pixels."""
    area = (settings.size / 256) ** 2
    tiles = len(Grid.of(good[0].shape, settings.size, settings.tiles))
    poses_learned = getattr(settings, "turns", 1)
    fit = expected_seconds(method, len(good) * (poses_learned + 3) // 4, pass_seconds)
    return area * tiles * fit, area * tiles * 2 * pass_seconds * DRAWN * min(len(good), MOST_DRAWN)


def _auroc(good: Sequence[float], bad: Sequence[float]) -> float:
    value = metrics.image_auroc([False] * len(good) + [True] * len(bad), [*good, *bad])
    assert value is not None
    return value


def _some(values: Sequence[float], numbers: Sequence[int] | None) -> Sequence[float]:
    return values if numbers is None else [values[i] for i in numbers]


def _working(image: np.ndarray) -> np.ndarray:
    """The image, shrunk until its shorter side is at most WORKING_SIDE."""
    shorter = min(image.shape[:2])
    if shorter <= WORKING_SIDE:
        return image
    height, width = (round(side * WORKING_SIDE / shorter) for side in image.shape[:2])
    return image_files.resize(image, (height, width))
