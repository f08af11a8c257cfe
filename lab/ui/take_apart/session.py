"""One visitor's *Take apart*: a method as published and altered, and what is known of both. Knows no gradio."""

from __future__ import annotations

from typing import Any

from ...detector import Detector
from ..comparison import Comparison
from ..detector_service import DetectorService
from ..jobs import JobRunner, JobStatus
from ..variant import Variant
from .inner_views import Views
from .question import Question, address, title
from .results import Delta, deltas

History = dict[str, list[float]]


class TakeApartSession:
    """The comparison of both with its runner.

    last   method -> how it was last altered

    Whatever is told of both is keyed by their titles, the published one first.
    """

    def __init__(self, service: DetectorService, start: Question):
        self.service = service
        self.runner = JobRunner(private=False)
        self.comparison = Comparison(service, start.view, self.runner, figures=True, title=title)
        self.last: dict[str, Variant] = {}
        self._views: tuple[Any, dict[str, Views]] = (None, {})

    def close(self) -> None:
        self.runner.close()

    def status(self) -> JobStatus:
        """The runner's; a finished run of the published method alone says what could be done next."""
        status, view = self.runner.status, self.comparison.view
        survey = self.comparison.shown.surveys.get(view.variants[-1])
        judged = survey is not None and survey.payload is not None
        if self.runner.running or self.runner.unfinished or len(view.variants) > 1 or not judged:
            return status
        return status._replace(message=f"{status.message} Change something to see it beside this.")

    def panel(self) -> dict[str, Any]:
        return self.comparison.panel(address(self.comparison.view))

    def curves(self) -> dict[str, History]:
        """The training curves, as far as there are any; of a fit under way those so far."""
        curves, service, shown = {}, self.service, self.comparison.shown
        for variant in self.comparison.view.variants if shown.dataset else ():
            key = service.key(shown.place, variant)
            detector = service.fitting.get(key) or service.detectors.get(key)
            if detector is None and variant in shown.maps:
                detector = self._detector(variant)
            if detector:
                curves[title(variant)] = {name: list(values) for name, values in detector.method.history.items()}
        return curves

    def pixels(self) -> dict[str, Any]:
        """The bars of all pixels of `payload.judged_payload`, once both are judged."""
        view, surveys = self.comparison.view, self.comparison.shown.surveys
        payloads = {title(v): surveys[v].payload for v in view.variants if v in surveys}
        bars = {name: payload["pixels"] for name, payload in payloads.items() if payload}
        return bars if len(bars) == len(view.variants) else {}

    def deltas(self) -> list[Delta]:
        """Rows of the table, once both are judged; none where nothing is changed."""
        view, surveys = self.comparison.view, self.comparison.shown.surveys
        figures = [surveys[variant].figures for variant in view.variants if variant in surveys]
        if len(figures) < 2 or not all(figures):
            return []
        published, altered = map(self.service.settings, view.variants)
        return deltas(view.methods[0], (published, altered), (figures[0], figures[1]), view.place)

    def views(self) -> dict[str, Views]:
        """The methods' own images of the chosen one."""
        shown = self.comparison.shown
        at, _, maps = shown.chosen()
        variants = tuple(variant for variant in self.comparison.view.variants if variant in maps)
        key = (shown.place, at, variants)
        if self._views[0] != key:
            views = dict[str, Views]()
            for variant in variants:
                if detector := self._detector(variant):
                    raw, size = detector.raw(shown.items[at].image()), detector.settings.size
                    views[title(variant)] = detector.finding(raw, (size, size)).views
            self._views = key, views
        return self._views[1]

    def _detector(self, variant: Variant) -> Detector | None:
        return self.service.ready(self.comparison.shown.place, variant)
