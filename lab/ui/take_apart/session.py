"""One visitor's *Take apart*: a method as published and altered, and what is told of both. Knows no gradio."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Self

from ...detector import Detector
from ...errors import LabError
from .. import variant
from ..comparison import News, Page, Run
from ..detector_service import DetectorService
from ..view import Shown, View
from .results import Delta, deltas

AS_PUBLISHED = "as published"
History = dict[str, list[float]]
Pair = dict[str, Any]
"""title -> something of the method as published and of the altered one, in that order"""


@dataclasses.dataclass(frozen=True)
class Question(View):
    """`methods`: the method as published, then altered, as `variant` names them; one alone where nothing is changed."""

    @classmethod
    def of(cls, source: str, category: str, method: str, changes: Mapping[str, Any], image: str = "") -> Self:
        """LabError for a value that the settings do not allow."""
        return cls(source, category, variant.pair(method, changes), image)

    @property
    def method(self) -> str:
        return self.methods[0]

    def checked(self) -> Self:
        if self.method not in variant.taken():
            title, able = variant.kind(self.method).title, ", ".join(variant.taken())
            raise LabError(f"{title} has no component to switch off; those that have: {able}.")
        View(self.source, self.category, (self.method,)).checked()
        return self

    def asked(self, query: Mapping[str, str]) -> Self:
        """This question with what an address changes in it. Raises LabError when that is not at hand."""
        methods = self.methods
        if method := query.get("method"):
            known = variant.controls(method)
            methods = variant.pair(method, {n: variant.value(known[n], query[n]) for n in known if n in query})
        place = {name: words for name, words in query.items() if name in ("set", "category", "image")}
        return dataclasses.replace(self, methods=methods).checked()._at(place)

    def _at(self, place: Mapping[str, str]) -> Self:
        return super().asked(place)


class Apart(Page):
    """`look` shows what needs no fit, `run` fits what is missing; both yield which parts have changed."""

    figures = True
    view: Question

    def __init__(self, service: DetectorService, view: Question):
        super().__init__(service, view)
        self.fits = False
        self.asked: dict[str, str] = {}  # method -> how it was last altered
        self.seen: tuple[Any, Pair] = (None, {})

    def look(self, view: Question) -> Iterator[set[str]]:
        """The chosen image, and the maps of what is fitted already; runs on where nothing more has to be fitted."""
        self.fits, self.asked[view.method] = False, view.methods[-1]
        yield from super().run(view)

    def run(self, view: View) -> Iterator[set[str]]:
        self.fits = True
        yield from super().run(view)

    def _fill(self, view: View, shown: Shown, run: Run, news: News) -> tuple[str, bool]:
        if self.fits or all(self.service.ready(shown.place, variant.fit(m)) for m in view.methods):
            words, failed = super()._fill(view, shown, run, news)
            return words if len(view.methods) > 1 else f"{words} Change something to see it beside this.", failed
        shown.open(view.image)
        for m in view.methods:
            shown.why[m] = "" if shown.anomaly_map(m) else "not fitted yet: Run"
        news.put("panel")

        def drawing(fraction: float, words: str) -> None:
            if not run.stop.is_set():
                news.put("panel")

        self.service.draw(shown.place, drawing)
        missing = " and ".join(self.title(m) for m in view.methods if m not in shown.heats)
        return f"Run fits {missing} on {view.category}, with one seed.", False

    # --- what is shown ------------------------------------------------------------------------------------------------

    def title(self, name: str) -> str:
        return variant.title(name) if "?" in name else f"{variant.title(name)} {AS_PUBLISHED}"

    def panel(self) -> dict[str, Any]:
        state, view = super().panel(), self.view
        every = {n: None for m in variant.taken() for n in variant.controls(m)}
        changed = {n: variant.text(v) for n, v in variant.read(view.methods[-1])[1].items()}
        address = {"methods": None, "method": view.method} | every | changed
        state["address"] = {"set": view.source, "category": view.category} | address
        for slot in state["slots"]:
            slot["title"] = self.title(slot["key"])
        return state

    def curves(self) -> dict[str, History]:
        """title -> the training curves, as far as there are any; of a fit under way those so far."""
        found, service = {}, self.service
        for m in self.view.methods if self.shown.dataset else ():
            key = service.key(self.shown.place, m)
            fitted = service.fitting.get(key) or service.detectors.get(key)
            if detector := fitted or (self._detector(m) if m in self.shown.heats else None):
                found[self.title(m)] = {name: list(values) for name, values in detector.method.history.items()}
        return found

    def pixels(self) -> Pair:
        """title -> `payload.judged_payload`'s bars of the surface, once both are judged."""
        held = {m: self.shown.surveys.get(m) for m in self.view.methods}
        told = {self.title(m): survey.payload["pixels"] for m, survey in held.items() if survey and survey.payload}
        return told if len(told) == len(held) else {}

    def deltas(self) -> list[Delta]:
        """Rows of the table, once both are judged; none where nothing is changed."""
        held = [self.shown.surveys.get(m) for m in self.view.methods]
        measured = [survey.figures for survey in held if survey and survey.figures]
        if len(measured) < 2:
            return []
        full, altered = (variant.kind(m).Settings(**self.service.settings(m)) for m in self.view.methods)
        of_full, of_altered = measured
        return deltas(self.view.method, full, altered, of_full, of_altered, self.view.source, self.view.category)

    def views(self) -> Pair:
        """title -> the method's own images of the chosen one, name -> float32 (h, w) or (h, w, 3)."""
        s = self.shown
        names = tuple(m for m in self.view.methods if m in s.heats)
        now = (s.place, s.at, names)
        if self.seen[0] != now:
            held = {}
            for m in names:
                if detector := self._detector(m):
                    size = detector.settings.size
                    raw = detector.raw(s.items[s.at].image())
                    held[self.title(m)] = detector.finding(raw, (size, size)).views
            self.seen = now, held
        return self.seen[1]

    def _detector(self, name: str) -> Detector | None:
        return self.service.ready(self.shown.place, name)
