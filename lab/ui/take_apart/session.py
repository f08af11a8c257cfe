"""One visitor's *Take apart*: what they ask of a method, and what is known of it as published and altered. Knows no
gradio.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Self

from ...bench.study_files import read_studies
from ...errors import LabError
from ..comparison import Comparison
from ..detector_service import DetectorService, Place
from ..jobs import JobRunner, JobStatus
from ..variant import Variant, controls, format_value, methods_with_components
from ..variant_address import parse_value
from ..view import View
from .drawings import Views
from .results import Delta, deltas

AS_PUBLISHED = "as published"
SAMPLES = "samples"


@dataclasses.dataclass(frozen=True)
class Question:
    """The altered `variant` of a method, on a category. LabError where the method has no component to switch off."""

    source: str
    category: str
    variant: Variant
    image: str = ""

    def __post_init__(self) -> None:
        if self.variant.method not in methods_with_components():
            title, able = self.variant.method_class.title, ", ".join(methods_with_components())
            raise LabError(f"{title} has no component to switch off; those that have: {able}.")

    @property
    def method(self) -> str:
        return self.variant.method

    @property
    def view(self) -> View:
        """The published method, then the altered one; one alone where nothing is changed."""
        pair = tuple(dict.fromkeys([Variant(self.method), self.variant]))
        return View(self.source, self.category, pair, self.image)

    def with_query(self, query: Mapping[str, str]) -> Self:
        """This question with what an address changes in it. Raises LabError when that is not at hand."""
        variant = self.variant
        if method := query.get("method"):
            fields = {name: field for name, field in controls(method).items() if name in query}
            variant = Variant.of(method, {name: parse_value(field, query[name]) for name, field in fields.items()})
        asked = dataclasses.replace(self, variant=variant)
        view = asked.view.moved(query)
        return dataclasses.replace(asked, source=view.source, category=view.category, image=view.image)


@functools.cache
def studied_place(method: str) -> Place | None:
    """The category of the samples on which the method's stored ablation was measured: RB-AE, say, is for textures."""
    places = [place.split("/") for study in read_studies() if study["method"] == method for place in study["figures"]]
    return next(((source, category) for source, category in places if source == SAMPLES), None)


def address(view: View) -> dict[str, str | None]:
    """What names a question's view in the page's address; None takes a name out of it."""
    variant = view.variants[-1]
    question = {"set": view.source, "category": view.category, "methods": None, "method": variant.method}
    unchanged = dict.fromkeys(name for method in methods_with_components() for name in controls(method))
    return question | unchanged | {name: format_value(value) for name, value in variant.changes}


def title(variant: Variant) -> str:
    """ "CDO as published", "CDO without OOM"."""
    return variant.title if variant.changes else f"{variant.title} {AS_PUBLISHED}"


class TakeApartSession:
    """The comparison of both with its runner.

    last   method -> what was last asked of it

    Whatever is told of both is keyed by their titles, the published one first.
    """

    def __init__(self, service: DetectorService, start: Question):
        self.service, self.runner = service, JobRunner(private=False)
        self.comparison = Comparison(service, start.view, self.runner, figures=True, title=title)
        self.last: dict[str, Question] = {}
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

    def curves(self) -> dict[str, dict[str, list[float]]]:
        """The training curves, as far as there are any; of a fit under way those so far."""
        curves, service, shown = {}, self.service, self.comparison.shown
        for variant in self.comparison.view.variants if shown.dataset else ():
            key = service.key(shown.place, variant)
            detector = service.fitting.get(key) or service.detectors.get(key)
            if detector is None and variant in shown.maps:
                detector = service.ready(shown.place, variant)
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
                if detector := self.service.ready(shown.place, variant):
                    raw, size = detector.raw(shown.items[at].image()), detector.settings.size
                    views[title(variant)] = detector.finding(raw, (size, size)).views
            self._views = key, views
        return self._views[1]
