"""What a visitor compares: the view chosen, what is shown of it, and the job that fills it in. Knows no gradio."""

import dataclasses
import functools
import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..data.dataset import Dataset, Item
from ..errors import Cancelled, LabError
from ..progress import Report, no_report
from . import phrases, variant_address
from .detector_service import DetectorService, JudgedTestSet, Place, ordered_test_items
from .jobs import JobRunner
from .panel import payload
from .phrases import error_message
from .variant import Variant
from .view import View

PANEL = "panel"  # the part of a page that shows images, maps and numbers
Payload = dict[str, Any]


class ShownCategory:
    """Filled bit by bit by a job, and read meanwhile.

    at        number of the chosen image; `image` is its payload, None before `open`
    scales    variant -> `payload.scale_payload`
    maps      variant -> `payload.finding_payload` of the chosen image
    reasons   variant -> why its map is not there
    surveys   variant -> what it says of the whole test set, as far as it is judged
    """

    def __init__(self, service: DetectorService, place: Place):
        self.service, self.place = service, place
        self.dataset: Dataset | None = None
        self.items, self.thumbs, self.at = list[Item](), list[str](), 0
        self.image: Payload | None = None
        self.scales, self.maps = dict[Variant, Payload](), dict[Variant, Payload]()
        self.reasons, self.surveys = dict[Variant, str](), dict[Variant, JudgedTestSet]()
        self._lock = threading.RLock()

    def open(self, name: str) -> None:
        """Reads the set and chooses an image. Raises LabError when the set is not at hand."""
        if not self.dataset:
            dataset = self.service.dataset(self.place)
            self.items, self.thumbs = ordered_test_items(dataset), self.service.thumbs(self.place)
            self.dataset = dataset  # last: who reads it finds the rest
        self.choose(name, [])

    def choose(self, name: str, variants: Iterable[Variant]) -> None:
        """Another image, and what these variants say of it, where they are ready; all changes at once.

        name   of the image, or its `phrases.slug`; an unknown one leaves the choice as it is
        """
        numbers = [i for i, item in enumerate(self.items) if name in (item.name, phrases.slug(item.name))]
        at = numbers[0] if numbers else self.at
        with self._lock:
            if self.image and at == self.at:
                return
            item = self.items[at]
            mask = item.mask() if item.bad and item.mask else None
            image = payload.shown_image(item.image(), mask, phrases.truth_label(item))
            maps = {variant: anomaly_map for variant in variants if (anomaly_map := self._map(variant, at))}
            self.at, self.image, self.maps = at, image, maps

    def show_map(self, variant: Variant, report: Report = no_report) -> bool:
        """Whether the chosen image's map is shown: it is, if the variant is ready."""
        self.service.key(self.place, variant, report)  # reads the training images once, which may take long
        with self._lock:
            if variant not in self.maps and (anomaly_map := self._map(variant, self.at)):
                self.maps[variant] = anomaly_map
            return variant in self.maps

    def chosen(self) -> tuple[int, Payload | None, dict[Variant, Payload]]:
        """`at`, `image` and `maps`, of one and the same image."""
        with self._lock:
            return self.at, self.image, dict(self.maps)

    def _map(self, variant: Variant, at: int) -> Payload | None:
        if (survey := self.surveys.get(variant)) and survey.payload:
            judged: Payload = survey.payload["images"][at]
            return judged
        detector = self.service.ready(self.place, variant)
        if detector is None or detector.calibration is None:
            return None
        self.scales[variant] = payload.scale_payload(detector.calibration)
        size = detector.settings.size
        finding = detector.finding(detector.raw(self.items[at].image()), (size, size))
        return payload.finding_payload(detector.calibration, finding)


@dataclasses.dataclass(eq=False)
class Comparison:
    """Of one session, whose `runner` fills it in.

    view      what was chosen last
    shown     what is shown of its category; a job that outlives its run writes into the one it began with
    figures   whether surveys measure the figures of the ablation tables
    title     of a variant, where something is said of it alone
    """

    service: DetectorService
    view: View
    runner: JobRunner
    figures: bool = False
    title: Callable[[Variant], str] = operator.attrgetter("title")

    def __post_init__(self) -> None:
        self.shown = ShownCategory(self.service, self.view.place)

    def pick(self, name: str) -> None:
        """Shows another image with the detectors that are ready; a run under way goes on."""
        if self.shown.dataset:
            self.view = dataclasses.replace(self.view, image=name)
            self.shown.choose(name, [variant for variant in self.view.variants if variant in self.shown.maps])

    def run(self, view: View, fit: bool = True) -> Iterator[set[str]]:
        """Fills the page for a view, and yields which of its parts have changed: STATUS, PANEL.

        Without `fit` only what is fitted already is shown; where all is, it goes on as with it.
        """
        try:
            self.view = view.checked()
        except LabError as error:
            message = str(error)
            yield from self.runner.run(lambda report: message)
            return
        if view.place != self.shown.place:
            self.shown = ShownCategory(self.service, view.place)
        shown, self.shown.reasons = self.shown, {}
        yield from self.runner.run(lambda report: self._fill(view, shown, fit, report), changed={PANEL})

    def _fill(self, view: View, shown: ShownCategory, fit: bool, report: Report) -> str:
        try:
            trained = [variant.without_scoring_changes for variant in view.variants]
            if fit or all(self.service.ready(shown.place, variant, report) for variant in trained):
                return self._fit_and_judge(view, shown, report)
            return self._show_what_is_ready(view, shown, report)
        except Cancelled:
            if self.view is view:  # not followed by a newer one
                missing = (variant for variant in view.variants if variant not in shown.maps)
                shown.reasons |= dict.fromkeys(missing, "not fitted: cancelled")
            raise
        finally:
            self.runner.notify(PANEL)

    def _show_what_is_ready(self, view: View, shown: ShownCategory, report: Report) -> str:
        shown.open(view.image)
        for variant in view.variants:
            shown.reasons[variant] = "" if shown.show_map(variant, report) else "not fitted yet: Run"
        self.runner.notify(PANEL)
        self.service.draw_thumbs(shown.place, self._showing(report))
        missing = " and ".join(self.title(variant) for variant in view.variants if variant not in shown.maps)
        return f"Run fits {missing} on {view.category}, with one seed."

    def _fit_and_judge(self, view: View, shown: ShownCategory, report: Report) -> str:
        """Image, maps, thumbnails, surveys; returns the summary. Raises LabError with it when a method has failed."""
        report_category = _named(report, view.category)
        report_category(0.0, "opening the set")
        shown.open(view.image)
        self.runner.notify(PANEL)
        failed: dict[Variant, str] = {}

        def attempt(variant: Variant, fit: bool) -> None:
            """Shows the variant's map, made ready first if `fit`; its failure is its own and leaves the others."""
            if variant in failed:
                return
            report_variant = _named(report, f"{variant.title} on {view.category}")
            try:
                if fit and variant not in shown.maps:
                    shown.reasons[variant] = "being fitted to the good images"
                    self.runner.notify(PANEL)
                    self.service.detector(shown.place, variant, report_variant)
                shown.reasons[variant] = "" if shown.show_map(variant, report_variant) else "waiting for its fit"
            except LabError as error:
                failed[variant] = shown.reasons[variant] = error_message(error)
            self.runner.notify(PANEL)

        in_order = sorted(view.variants, key=lambda variant: variant.method_class.trains)
        for variant in view.variants:
            attempt(variant, fit=False)
        for variant in in_order:
            if not variant.method_class.trains:
                attempt(variant, fit=True)
        self.service.draw_thumbs(shown.place, self._showing(report_category))
        for variant in in_order:
            attempt(variant, fit=True)
            if variant not in failed:
                on_begin = functools.partial(shown.surveys.__setitem__, variant)
                report_variant = self._showing(_named(report, f"{variant.title} on {view.category}"))
                self.service.survey(shown.place, variant, on_begin, report_variant, self.figures)
                self.runner.notify(PANEL)
        judged = [variant for variant in view.variants if variant not in failed]
        titles, images = [variant.title for variant in judged], len(shown.items)
        summary = phrases.comparison_summary(titles, images) if judged else ""
        remarks = self.service.remarks(shown.place, report_category)
        summary = " ".join([summary, *(f"{remark[0].upper()}{remark[1:]}." for remark in remarks)]).strip()
        if failed:
            raise LabError(" ".join([summary, *dict.fromkeys(failed.values())]).strip())
        return summary

    def _showing(self, report: Report) -> Report:
        """A report of work that the panel shows as it goes on."""

        def report_and_show(fraction: float, message: str) -> None:
            report(fraction, message)
            self.runner.notify(PANEL)

        return report_and_show

    def panel(self, address: Mapping[str, str | None]) -> Payload:
        """The state of the live panel, see `panel/component.py`; `address` names the view in the page's address."""
        shown, dataset = self.shown, self.shown.dataset
        at, image, maps = shown.chosen()
        source = f"{dataset.name}, {dataset.category} · {dataset.licence}" if dataset else ""
        images, drawn = list(map(_image, shown.items)), len(shown.thumbs)
        return {
            "address": dict(address),
            "set": {"key": list(shown.place), "drawn": drawn, "images": images, "source": source},
            "chosen": at,
            "image": image,
            "slots": [self._slot(variant, maps.get(variant)) for variant in self.view.variants],
        }

    def _slot(self, variant: Variant, finding: Payload | None) -> Payload:
        shown, survey = self.shown, self.shown.surveys.get(variant)
        complete = survey is not None and survey.payload is not None
        partial = {"scores": list(survey.scores), "peaks": list(survey.peaks)} if survey and not complete else None
        status = shown.reasons.get(variant) or ("" if finding else "waiting")
        method = {
            "key": variant_address.to_text(variant),
            "title": self.title(variant),
            "paper": variant.method_class.paper,
        }
        shown_map = {"status": status, "scale": shown.scales.get(variant) if finding else None, "finding": finding}
        return method | shown_map | {"judged": partial, "payload_key": survey.key if survey and complete else ""}

    def scores(self, variant: Variant) -> Payload | None:
        """What a variant says of all test images, as plain values; None until all are judged."""
        survey = self.shown.surveys.get(variant)
        detector = self.service.ready(self.shown.place, variant) if survey and survey.payload else None
        if not survey or not survey.payload or not detector or not detector.calibration:
            return None
        calibration = detector.calibration
        images = [
            {"name": item.name, "bad": item.bad, "score": score, "verdict": calibration.verdict(score)}
            for item, score in zip(self.shown.items, survey.scores, strict=True)
            if score is not None
        ]
        thresholds = {"look": calibration.look, "bad": calibration.bad}
        return {"method": variant_address.to_text(variant), **thresholds, **survey.payload["numbers"], "images": images}


def _image(item: Item) -> Payload:
    name, group = item.name, item.defect.replace("_", " ")
    return dict(name=name, label=phrases.readable_name(name), slug=phrases.slug(name), group=group, bad=item.bad)


def _named(report: Report, name: str) -> Report:
    """A report whose messages begin with what they are about."""
    return lambda fraction, message: report(fraction, f"{name}: {message}")
