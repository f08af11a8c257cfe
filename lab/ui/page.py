"""One visitor's *Compare*: what is chosen, what is shown, and the worker that fills it in. Knows no gradio."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Iterator

import plotly.graph_objects as go

from .. import data, plots
from ..data import Dataset
from ..errors import Cancelled, LabError
from ..method import Report
from ..methods import METHODS
from . import panes
from .service import Place, Service, Survey, in_order, sentence

MOST = 4  # methods side by side
News = queue.SimpleQueue  # of names of parts that have changed; None: the run is over


@dataclasses.dataclass(frozen=True)
class View:
    """What a visitor has chosen: all of the page's state, and all that an address need say of it."""

    source: str
    category: str
    methods: tuple[str, ...]
    picture: str = ""  # name of a test picture; "": the first defective one

    @property
    def place(self) -> Place:
        return self.source, self.category

    def checked(self) -> View:
        """Raises LabError when something in it is not at hand."""
        if not 1 <= len(self.methods) <= MOST:
            raise LabError("Choose two to four methods.")
        if self.source not in data.sets():
            raise LabError(f"There is no set {self.source!r} here; there are {', '.join(data.sets())}.")
        if unknown := [m for m in self.methods if m not in METHODS]:
            raise LabError(f"There is no method {unknown[0]!r}; there are {', '.join(METHODS)}.")
        return self


class Shown:
    """What is shown of one category. A worker that outlives its run writes into the one it began with."""

    def __init__(self, service: Service, place: Place):
        self.service, self.place, self.lock = service, place, threading.RLock()
        self.dataset: Dataset | None = None
        self.order: list[int] = []
        self.thumbs: list[str] = []
        self.index = 0
        self.under, self.shape, self.truth = "", (1, 1), ""
        self.heats: dict[str, str] = {}  # method -> its pane
        self.why: dict[str, str] = {}  # method -> why its map is not there
        self.surveys: dict[str, Survey] = {}

    def open(self, picture: str) -> None:
        if not self.dataset:
            dataset = self.service.dataset(self.place)
            self.order, self.thumbs = in_order(dataset), self.service.thumbs(self.place)
            named = [i for i in self.order if dataset.test[i].name == picture]
            self.index = (named or self.order)[0]
            self.dataset = dataset
        self.pick(picture, [])

    def pick(self, name: str, methods: list[str]) -> None:
        """Another picture, and what the methods that are ready say of it; all changes at once."""
        assert self.dataset
        found = [i for i, item in enumerate(self.dataset.test) if item.name == name] or [self.index]
        with self.lock:
            if self.truth and found[0] == self.index:
                return
            item = self.dataset.test[found[0]]
            picture = item.picture()
            outlined = plots.outline(picture, item.mask()) if item.bad and item.mask else picture
            under, truth = panes.picture_uri(picture, panes.SHOWN), panes.truth_pane(item, outlined)
            held = {m: self._heat(m, found[0], under, picture.shape) for m in methods}
            self.index, self.under, self.shape, self.truth = found[0], under, picture.shape, truth
            self.heats = {m: html for m, html in held.items() if html}

    def heat(self, method: str) -> bool:
        """The chosen picture's map, if the method is ready."""
        with self.lock:
            if method not in self.heats and (html := self._heat(method, self.index, self.under, self.shape)):
                self.heats[method] = html
            return method in self.heats

    def _heat(self, method: str, index: int, under: str, shape: tuple[int, ...]) -> str | None:
        assert self.dataset
        detector = self.service.ready(self.place, method)
        if detector is None:
            return None
        finding = detector.detect(self.dataset.test[index].picture())
        return panes.heat_pane(method, METHODS[method], detector, finding, under, shape)


class Page:
    """Of one session. `run` fills it for a view and yields which parts have changed; a newer run ends an older one."""

    def __init__(self, service: Service, view: View):
        self.service, self.view, self.stop = service, view, threading.Event()
        self.shown = Shown(service, self.view.place)
        self.told: tuple[float | None, str, str] = (None, "", "")
        self.running = self.undone = False

    # --- what is shown ------------------------------------------------------------------------------------------------

    def status(self) -> str:
        return panes.progress(*self.told)

    def button(self) -> str:
        """What the one button beside the status line does now; "" nothing."""
        return "Cancel" if self.running else "Try again" if self.undone else ""

    def strip(self) -> str:
        s, first = self.shown, self.view.methods[0]
        if not s.dataset:
            return panes.strip_waiting()
        told = panes.strip(s.dataset, s.order, s.thumbs, s.surveys.get(first), s.index)
        return told + panes.strip_note(s.dataset, METHODS[first].title)

    def panes(self) -> str:
        s, methods = self.shown, [METHODS[m] for m in self.view.methods]
        cells = [s.truth or panes.empty_pane(None, "", "", s.shape)]
        for m, method in zip(self.view.methods, methods, strict=True):
            cells.append(s.heats.get(m) or panes.empty_pane(method, s.why.get(m, "waiting"), s.under, s.shape))
        return panes.panes(cells)

    def results(self) -> list[tuple[str, go.Figure | None, str]]:
        """Per method: heading, plot and numbers; where the survey is not finished, None and why."""
        rows: list[tuple[str, go.Figure | None, str]] = []
        for m in self.view.methods:
            survey, detector = self.shown.surveys.get(m), None
            if survey and survey.figure:
                detector = self.service.ready(self.shown.place, m)
            if survey and detector and detector.calibration:
                rows.append((METHODS[m].title, survey.figure, panes.numbers(survey, detector.calibration)))
            else:
                why = self.shown.why.get(m) or "drawn when all test pictures are judged"
                rows.append((METHODS[m].title, None, panes.pending(why)))
        return rows

    # --- what happens -------------------------------------------------------------------------------------------------

    def pick(self, name: str) -> None:
        """Shows another picture with the detectors that are ready; a run under way goes on."""
        if self.shown.dataset:
            self.view = dataclasses.replace(self.view, picture=name)
            self.shown.pick(name, [m for m in self.view.methods if m in self.shown.heats])

    def run(self, view: View) -> Iterator[set[str]]:
        self.stop.set()
        stop = self.stop = threading.Event()
        try:
            self.view = view.checked()
        except LabError as error:
            self.told, self.running = (None, sentence(error), ""), False
            yield {"status"}
            return
        if view.place != self.shown.place:
            self.shown = Shown(self.service, view.place)
        self.shown.why = {}
        self.running, self.undone = True, False
        news: News = queue.SimpleQueue()
        threading.Thread(target=self._work, args=(view, self.shown, stop, news), daemon=True).start()
        parts = {"status", "strip", "panes", "results"}
        while self.stop is stop:
            yield parts
            if not self.running:
                return
            held = [news.get()]
            while not news.empty():
                held.append(news.get())
            parts = {part for part in held if part}
            if None in held:
                self.running = False
            else:
                time.sleep(0.2)  # at most five changes a second

    def _work(self, view: View, shown: Shown, stop: threading.Event, news: News) -> None:
        def end(words: str, undone: bool) -> None:
            if self.stop is stop:
                self.told, self.undone = (None, words, ""), undone

        try:
            end(*self._fill(view, shown, stop, news))
        except Cancelled:
            if self.stop is stop:  # not merely followed by a newer run
                shown.why |= {m: "not fitted: cancelled" for m in view.methods if m not in shown.heats}
            end("Cancelled. What was finished stays.", True)
        except Exception as error:  # the end of a thread: whatever it was, the visitor reads a sentence
            end(sentence(error), True)
        finally:
            for part in ("status", "strip", "panes", "results", None):
                news.put(part)

    def _fill(self, view: View, shown: Shown, stop: threading.Event, news: News) -> tuple[str, bool]:
        """Picture, maps, thumbnails, surveys; returns what came of it, in words, and whether something failed."""

        def teller(doing: str) -> Report:
            began = time.monotonic()

            def report(fraction: float, words: str) -> None:
                if stop.is_set():
                    raise Cancelled
                left = "" if words.endswith("left") else _left(time.monotonic() - began, fraction)
                self.told = (fraction, f"{doing}: {words}", left)
                news.put("status")

            return report

        report = teller(view.category)
        report(0.0, "opening the set")
        shown.open(view.picture)
        news.put("panes")
        failed: dict[str, str] = {}

        def attempt(m: str, fit: bool) -> None:
            """Shows a method's map, made ready first if `fit`; its failure is its own and leaves the others."""
            try:
                if fit and m not in shown.heats:
                    shown.why[m] = "being fitted to the good pictures"
                    news.put("panes")
                    self.service.detector(shown.place, m, teller(f"{METHODS[m].title} on {view.category}"))
                shown.why[m] = "" if shown.heat(m) else "waiting for its fit"
            except LabError as error:
                failed[m] = shown.why[m] = sentence(error)
            news.put("panes")

        for m in view.methods:
            attempt(m, fit=False)
        news.put("strip")
        for m in [m for m in view.methods if m not in failed and not METHODS[m].trains]:
            attempt(m, fit=True)
        self._draw(shown, report, news)
        for m in sorted(view.methods, key=lambda m: METHODS[m].trains):
            if m not in failed:
                attempt(m, fit=True)
            if m in failed:
                continue
            report, first = teller(f"{METHODS[m].title} on {view.category}"), m == view.methods[0]

            def judged(fraction: float, words: str, report: Report = report, first: bool = first) -> None:
                report(fraction, words)
                if first and round(fraction * len(shown.order)) % 5 == 0:  # each is a hundred kilobytes
                    news.put("strip")

            def begun(survey: Survey, m: str = m) -> None:
                shown.surveys[m] = survey

            self.service.survey(shown.place, m, begun, judged)
            news.put("strip")
            news.put("results")
        done = [m for m in view.methods if m not in failed]
        words = panes.summary([METHODS[m].title for m in done], [shown.surveys[m] for m in done]) if done else ""
        return " ".join([words, *dict.fromkeys(failed.values())]).strip(), bool(failed)

    def _draw(self, shown: Shown, report: Report, news: News) -> None:
        """The thumbnails that nobody has drawn yet."""
        assert shown.dataset
        for n, i in enumerate(shown.order):
            if not shown.thumbs[i]:
                report(n / len(shown.order), f"drawing thumbnail {n + 1} of {len(shown.order)}")
                shown.thumbs[i] = panes.picture_uri(shown.dataset.test[i].picture(), panes.THUMB, square=True)
                if n % 5 == 4:
                    news.put("strip")
        news.put("strip")


def _left(elapsed: float, fraction: float) -> str:
    if elapsed < 1.5 or fraction < 0.05:
        return ""
    seconds = elapsed * (1 - fraction) / fraction
    return f"about {seconds / 60:.0f} min left" if seconds > 90 else f"about {max(1, round(seconds))} s left"
