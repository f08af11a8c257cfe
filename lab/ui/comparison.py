"""What a visitor compares: the view chosen, what is shown of it, and the job that fills it in. Knows no gradio."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import Cancelled, LabError
from ..progress import Report
from . import phrases
from .detector_service import DetectorService, JudgedTestSet
from .jobs import JobRunner
from .phrases import error_message
from .shown_category import ShownCategory
from .variant import Variant
from .view import View

PANEL = "panel"  # the part of a page that shows images, maps and numbers


class Comparison:
    """Of one session, whose `runner` fills it in.

    view      what was chosen last
    shown     what is shown of its category; a job that outlives its run writes into the one it began with
    figures   whether surveys measure the figures of the ablation tables
    title     of a variant, where something is said of it alone
    """

    def __init__(
        self,
        service: DetectorService,
        view: View,
        runner: JobRunner,
        *,
        figures: bool = False,
        title: Callable[[Variant], str] = lambda variant: variant.title,
    ):
        self.service, self.view, self.runner, self.figures, self.title = service, view, runner, figures, title
        self.shown = ShownCategory(service, view.place)

    # --- what happens -------------------------------------------------------------------------------------------------

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
            view.checked()
        except LabError as error:
            message = str(error)
            yield from self.runner.run(lambda report: message)
            return
        self.view = view
        if view.place != self.shown.place:
            self.shown = ShownCategory(self.service, view.place)
        shown = self.shown
        shown.reasons = {}
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
                self._judge(variant, shown, _named(report, f"{variant.title} on {view.category}"))
        surveys = {v.title: shown.surveys[v] for v in view.variants if v not in failed}
        summary = phrases.comparison_summary({title: s.rates for title, s in surveys.items() if s.rates})
        if failed:
            raise LabError(" ".join([summary, *dict.fromkeys(failed.values())]).strip())
        return summary

    def _judge(self, variant: Variant, shown: ShownCategory, report: Report) -> None:
        def on_begin(survey: JudgedTestSet) -> None:
            shown.surveys[variant] = survey

        self.service.survey(shown.place, variant, on_begin, self._showing(report), self.figures)
        self.runner.notify(PANEL)

    def _showing(self, report: Report) -> Report:
        """A report of work that the panel shows as it goes on."""

        def report_and_show(fraction: float, message: str) -> None:
            report(fraction, message)
            self.runner.notify(PANEL)

        return report_and_show

    # --- what is shown ------------------------------------------------------------------------------------------------

    def panel(self, address: Mapping[str, str | None]) -> dict[str, Any]:
        """The state of the live panel, see `panel/component.py`; `address` names the view in the page's address."""
        shown = self.shown
        at, image, maps = shown.chosen()
        dataset = shown.dataset
        return {
            "address": dict(address),
            "set": {
                "key": list(shown.place),
                "drawn": len(shown.thumbs),
                "images": [
                    {
                        "name": item.name,
                        "label": phrases.readable_name(item.name),
                        "slug": phrases.slug(item.name),
                        "group": item.defect.replace("_", " "),
                        "bad": item.bad,
                    }
                    for item in shown.items
                ],
                "source": f"{dataset.name}, {dataset.category} · {dataset.licence}" if dataset else "",
            },
            "chosen": at,
            "image": image,
            "slots": [self._slot(variant, maps.get(variant)) for variant in self.view.variants],
        }

    def _slot(self, variant: Variant, finding: dict[str, Any] | None) -> dict[str, Any]:
        shown, survey = self.shown, self.shown.surveys.get(variant)
        complete = survey is not None and survey.payload is not None
        partial = {"scores": list(survey.scores), "peaks": list(survey.peaks)} if survey and not complete else None
        return {
            "key": variant.text,
            "title": self.title(variant),
            "paper": variant.method_class.paper,
            "status": shown.reasons.get(variant) or ("" if finding else "waiting"),
            "scale": shown.scales.get(variant) if finding else None,
            "finding": finding,
            "judged": partial,
            "payload_key": survey.key if survey and complete else "",
        }

    def scores(self, variant: Variant) -> dict[str, Any] | None:
        """What a variant says of all test images, as plain values; None until all are judged."""
        survey = self.shown.surveys.get(variant)
        if not survey or not survey.payload:
            return None
        detector = self.service.ready(self.shown.place, variant)
        if not detector or not detector.calibration:
            return None
        calibration = detector.calibration
        images = [
            {"name": item.name, "bad": item.bad, "score": score, "verdict": calibration.verdict(score)}
            for item, score in zip(self.shown.items, survey.scores, strict=True)
            if score is not None
        ]
        thresholds = {"look": calibration.look, "bad": calibration.bad}
        return {"method": variant.text, **thresholds, **survey.payload["numbers"], "images": images}


def _named(report: Report, name: str) -> Report:
    """A report whose messages begin with what they are about."""
    return lambda fraction, message: report(fraction, f"{name}: {message}")
