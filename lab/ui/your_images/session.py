"""One visit to *Your images*: its images, the data check, its answers, its jobs and its files. Knows no gradio."""

import contextlib
import secrets
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import image_files
from ...calibration import MIN_IMAGES
from ...checks import data_check
from ...data import samples
from ...errors import LabError
from ...inspection import nearest_patches, ranking
from ...lru_cache import LRUCache
from ...methods import METHODS
from ...progress import Report, no_report, part_of
from .. import run_folder
from ..detector_service import DetectorService
from ..jobs import JobRunner, JobStatus
from ..variant import Variant
from . import answer, limits, report
from .fitted_methods import FittedMethods, UndoStep
from .fitting import FittedMethod, choose, fit_and_judge
from .ignored_boxes import Box, boxes_of, mask_of
from .uploads import BAD, GOOD, NEW, Role, Upload, Uploads

SAMPLE = "board"  # of the lab's own samples: the one to try the page with
MAX_REFUSED = 8  # sentences on what was not taken, the newest
QUICKEST = "patchcore"  # also the method whose memory bank answers *Why?*


class YourImagesSession:
    """A visit. `close` cancels its job and gives up everything: images, detectors, files.

    uploads   the images given
    ignored_boxes  places in which nothing matters, shares of the images' sides
    hints     of the data check, but for those settled: message -> the images that are better left out
    refused   sentences on what was not taken, until they are read
    answers   the methods fitted and the one shown
    runner    of the visit's jobs; the methods that take `report` are jobs and return a message
    """

    def __init__(self, service: DetectorService, published: LRUCache[str, FittedMethod]):
        self._service = service
        self._downloads: dict[str, Path] = {}  # files offered, by name
        self.uploads = Uploads()
        self.ignored_boxes: tuple[Box, ...] = ()
        self.hints: dict[str, list[Upload]] = {}
        self._checked: list[Upload] = []
        self._settled: set[str] = set()  # messages of hints
        self.refused: list[str] = []
        self.answers = FittedMethods(published)
        self.pass_seconds = 0.0  # of one image through the embedded backbone, once measured
        self._normal_distances: tuple[str, np.ndarray] = "", np.empty(0)
        self._whole_bank: tuple[str, FittedMethod] | None = None  # key of a method on tiles; the same on whole images
        self.runner = JobRunner(limits.MAX_MINUTES, self._give_up)

    def close(self) -> None:
        self.runner.close()
        self._release_downloads(*self._downloads)

    def _give_up(self) -> None:
        self.answers.clear()
        self.uploads.close()

    # --- images and the data check ------------------------------------------------------------------------------------

    def add(self, paths: list[str], role: Role, report: Report = no_report) -> str:
        """Takes files and zips of the web server in, which are deleted; returns what was taken and what was refused, in
        words."""
        before = set(self.uploads.images)
        try:
            refused = self.uploads.take(paths, role, report)
        finally:
            delete_files(map(Path, paths))
            self._images_changed()
        count = len(set(self.uploads.images) - before)
        message = f"{count} {'image' if count == 1 else 'images'} taken ({role.label.lower()})."
        if refused:
            more = f"; and {len(refused) - 3} more" if refused[3:] else ""
            message += f" Not taken: {'; '.join(refused[:3])}{more}."
            refusal = f"Not taken ({role.label.lower()}): {'; '.join(refused[:3])}{more}."
            self.refused = [*self.refused[1 - MAX_REFUSED :], refusal]
        if bits := self.uploads.grey_bits:
            message += f" {note[0].upper()}{note[1:]}." if (note := image_files.describe_bits(bits)) else ""
        return message

    def add_samples(self, report: Report = no_report) -> str:
        """Takes in images that the lab draws itself, to try the page with: good and bad ones, and some to judge."""
        dataset = samples.load(SAMPLE)
        defective, normal = ([item for item in dataset.test if item.bad is side] for side in (True, False))
        items_of = {GOOD: dataset.train[:20], BAD: defective[::6], NEW: [*defective[3::10], *normal[:2]]}
        for role, items in items_of.items():
            folder = Path(tempfile.mkdtemp(prefix="anomaly-lab-samples-", dir=run_folder.path()))  # `add` deletes it
            for number, item in enumerate(items):
                report(number / len(items), f"drawing {number + 1} of {len(items)} images ({role.label.lower()})")
                image_files.write_png(folder / f"{SAMPLE}_{role.name}_{number:02}.png", item.image())
            self.add(sorted(map(str, folder.iterdir())), role)
        counts = ", ".join(f"{len(items)} {role.label.lower()}" for role, items in items_of.items())
        return f"Images of a {SAMPLE}, drawn by the lab: {counts}."

    def leave_out(self, names: list[str]) -> None:
        for name in names:
            self.uploads.drop(name)
        self._images_changed()
        self.runner.status = JobStatus(None, f"Left out: {', '.join(names)}.")

    def ignore(self, boxes: Iterable[Sequence[Any]]) -> None:
        """From now on nothing in these boxes matters. LabError for what is no box, or leaves nothing to judge."""
        self.ignored_boxes = boxes_of(boxes)
        self._checked = []
        self._images_changed()
        mask = mask_of(self.ignored_boxes, (data_check.SIZE, data_check.SIZE))
        message = "All of each image is judged." if mask is None else f"{mask.mean():.0%} of each image is ignored."
        self.runner.status = JobStatus(None, message)

    def _images_changed(self) -> None:
        """What was fitted no longer speaks of the images."""
        self.runner.supersede()
        self.answers.clear()
        self._release_downloads(*report.SUFFIXES)

    def good(self) -> list[Upload]:
        return self.uploads.with_role(GOOD)

    def is_ready(self) -> bool:
        """Whether there are enough good images to fit a method."""
        return len(self.good()) >= MIN_IMAGES

    def needs_check(self) -> bool:
        """Whether there are good images, and the data check has not seen these very images."""
        return bool(self.good()) and self.uploads.with_role(GOOD, BAD, NEW) != self._checked

    def check(self, report: Report) -> str:
        """The data check; fills `hints`."""
        good, others = self.good(), self.uploads.with_role(BAD, NEW)
        mask = mask_of(self.ignored_boxes, (data_check.SIZE, data_check.SIZE))
        seen, to_judge = (
            [data_check.without_ignored(image.summary, mask) for image in images] for images in (good, others)
        )
        hints = data_check.check_images(seen, to_judge, report)
        self._checked = [*good, *others]
        self.hints = {h.message: [good[i] for i in h.images] for h in hints if h.message not in self._settled}
        self.pass_seconds = ranking.seconds_per_pass()
        if not good:
            return ""
        outcome = f"{len(self.hints)} to look at, above." if self.hints else "nothing odd found."
        return f"Data check of {len(good)} good images: {outcome}"

    def settle_hint(self, message: str) -> None:
        """The images are as they should be: the hint with this message does not come back."""
        if message in self.refused:
            self.refused.remove(message)
        else:
            self._settled.add(message)
            self.hints.pop(message, None)
        self.runner.status = JobStatus(None, "Kept.")

    # --- answers ------------------------------------------------------------------------------------------------------

    def expected_seconds(self, method: str) -> float:
        """Of its fit, by this machine's speed."""
        return ranking.expected_seconds(method, len(self.good()), self.pass_seconds or ranking.DEFAULT_PASS_SECONDS)

    def answer(self, method: str, report: Report) -> str:
        """Fits a method, judges all images with it and shows it."""
        discarded = self.answers.add(method, self._fit(method, report))
        self.answers.show(method)
        return f"{self.summary()} {discarded}".strip()

    def answer_first(self, report: Report) -> str:
        """The quickest method's answer, where there is none yet: something to look at while a better one is chosen."""
        return self.summary() if self.answers.fitted else self.answer(QUICKEST, report)

    def answer_best(self, report: Report) -> str:
        """Chooses a method and its settings for these images, fits it, judges all images with it and shows it."""
        images, backbone = (
            list(self.uploads.images.values()),
            str(self._service.settings(Variant(QUICKEST)).as_dict()["backbone"]),
        )
        chosen = choose(self._service, images, self.ignored_boxes, backbone, part_of(report, 0, 0.8))
        discarded = self.answers.add(chosen.id, self._fit(chosen.id, part_of(report, 0.8, 1), fitted=chosen))
        self.answers.show(chosen.id)
        return f"{chosen.method.notes['auto'].partition(' (')[0]}. {self.summary()} {discarded}".strip()

    def answer_all(self, report: Report, budget: float = ranking.BUDGET_SECONDS) -> str:
        """Fits the methods that are not ranked yet, quickest first, while they are expected to end within `budget`
        seconds, and shows the best so far. What has begun runs to its end; a next call goes on."""
        began, messages, total_passes, total_seconds = time.monotonic(), list[str](), 0.0, 0.0
        self.pass_seconds = self.pass_seconds or ranking.seconds_per_pass()
        ranked = [method for method, fitted in self.answers.fitted.items() if fitted.result.auroc is not None]
        left = sorted((m for m in METHODS if m not in ranked), key=self.expected_seconds)
        todo, done = sum(map(self.expected_seconds, left)), 0.0
        for method in left:
            expected = self.expected_seconds(method)
            if ranked and time.monotonic() - began + expected > budget:
                continue
            passes, end = expected / self.pass_seconds, min(1.0, done + expected / todo)
            titled = lambda fraction, message, title=METHODS[method].title: report(fraction, f"{title}: {message}")
            try:
                fitted = self._fit(method, part_of(titled, done, end), rank=True)
            except LabError as error:
                messages.append(str(error))
                continue
            done, total_passes, total_seconds = end, total_passes + passes, total_seconds + fitted.result.seconds
            self.pass_seconds = total_seconds / total_passes  # the fits say best how quick this machine is now
            messages.append(self.answers.add(method, fitted))
            self.answers.show(self.answers.ranking()[0].method)
            ranked.append(method)
        if not self.answers.fitted:
            raise LabError(messages[0])
        self.answers.show(self.answers.ranking()[0].method)
        if rest := [METHODS[method].title for method in METHODS if method not in self.answers.fitted]:
            messages.append(f"Not tried yet: {', '.join(rest)}; press again to go on.")
        return " ".join(dict.fromkeys([self.summary(), *filter(None, messages)]))

    def learn_as_good(self, name: str, report: Report) -> str:
        """An image was a false alarm: it joins the good ones, and the method shown is refitted."""
        image, shown = self.uploads.images.get(name), self.answers.shown
        if not shown or image is None:
            raise LabError("Get answers first, then choose the image that is a false alarm.")
        if image.role == GOOD:
            raise LabError(f"{name} is among the good images already.")
        if image.role == BAD:
            like = "learned as good, defects like it would no longer be found"
            raise LabError(
                f"{name} was given as bad; {like}. If it is good after all, leave it out and give it as good."
            )
        settings = shown.detector.settings
        fitted = self._fit(self.answers.method, report, rank=shown.result.synthetic, learn=name, settings=settings)
        fitted.detector.tried = shown.detector.tried
        self.answers.replace_all(self.answers.method, fitted, UndoStep(name, image.role, dict(self.answers.fitted)))
        image.role = GOOD
        changed = answer.change(shown, fitted, name)
        return f"{name} is now one of {len(fitted.good)} good images{changed}. {self.summary()}"

    def undo(self) -> str:
        """Takes the last false alarm back; what was fitted before is there at once."""
        if not self.answers.undo_steps:
            return "There is nothing to undo."
        step = self.answers.undo()
        self.uploads.images[step.image].role = step.role
        return f"{step.image} is {step.role.label.lower()} again. {self.summary()}"

    def choose_method(self, method: str) -> None:
        """Shows another fitted method; leaves the page as it is where it is not fitted."""
        if method in self.answers.fitted:
            self.answers.show(method)
        self.runner.status = JobStatus(None, self.summary())

    def choose_image(self, name: str) -> None:
        if name in self.uploads.images:
            self.answers.image = name

    def summary(self) -> str:
        """What the method shown says of all images, in a sentence; "" before there are answers."""
        return answer.summary(self.answers.shown) if self.answers.shown else ""

    def _fit(self, method: str, report: Report, rank: bool = False, learn: str = "", **options: Any) -> FittedMethod:
        """learn: the name of an image that is taken as good; options: settings and fitted of `fit_and_judge`."""
        images = [replace(image, role=GOOD) if image.name == learn else image for image in self.uploads.images.values()]
        return fit_and_judge(self._service, method, images, self.ignored_boxes, report, rank, **options)

    def memory_bank(self, report: Report) -> tuple[FittedMethod, np.ndarray]:
        """PatchCore on the good images, whose memory knows where its patches came from; and the distances of good
        patches to the nearest of other images, ascending."""
        if QUICKEST not in self.answers.fitted:
            self.answers.add(QUICKEST, self._fit(QUICKEST, report))
        bank = self.answers.fitted[QUICKEST]
        if bank.detector.settings.tiles:
            if self._whole_bank is None or self._whole_bank[0] != bank.key:
                self._whole_bank = bank.key, self._fit(QUICKEST, report)
            bank = self._whole_bank[1]
        if self._normal_distances[0] != bank.key:
            images = [self.uploads.images[name].seen_by(bank.detector.settings) for name in bank.good]
            self._normal_distances = bank.key, nearest_patches.normal_distances(bank.detector, images)
        return bank, self._normal_distances[1]

    # --- files --------------------------------------------------------------------------------------------------------

    def write_download(self, name: str, cache: Path) -> Path:
        """Writes a file of the method shown below the web server's `cache`, and deletes the former one.

        name  "detector", "table" or "report"

        Raises LabError before there are answers, and where the file cannot be written.
        """
        shown = self.answers.require_shown()
        path = cache / secrets.token_hex(16) / f"{self.answers.method}{report.SUFFIXES[name]}"
        self._release_downloads(name)
        self._downloads[name] = path
        try:
            path.parent.mkdir(parents=True)
            if name == "detector":
                shown.detector.save(path)
            elif name == "table":
                path.write_text(report.csv_table(shown.judged), encoding="utf-8")
            else:
                path.write_text(report.page(shown, self.answers.ranking(), list(self.hints)), encoding="utf-8")
        except OSError as error:
            raise LabError(f"The file could not be written ({error.strerror}); try again later.") from None
        return path

    def _release_downloads(self, *names: str) -> None:
        delete_files([self._downloads.pop(name) for name in names if name in self._downloads])


def delete_files(paths: Iterable[Path]) -> None:
    """Deletes files of the web server, and the folder of each where it was alone."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()
