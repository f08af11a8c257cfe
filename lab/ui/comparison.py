"""One visitor's *Compare*: the worker that fills it in, and the state its panel draws. Knows no gradio."""

from __future__ import annotations

import contextvars
import dataclasses
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import Cancelled, LabError
from ..progress import Report
from . import phrases, variant
from .detector_service import DetectorService, JudgedTestSet
from .phrases import error_message
from .view import Shown, View

News = queue.SimpleQueue  # of names of parts that have changed; None: the run is over
PARTS = ("status", "panel")


@dataclass
class Run:
    """One filling of the page. Each writes into its own, so that one that ends late disturbs none that follows it."""

    stop: threading.Event = field(default_factory=threading.Event)  # set: cancelled, or followed by a newer one
    told: tuple[float | None, str, str] = (None, "", "")
    over: bool = False
    undone: bool = False  # something of it failed, or it was cancelled


class Page:
    """Of one session. `run` fills it for a view and yields which parts have changed; a newer run ends an older one."""

    figures = False  # whether surveys measure the figures of the ablation tables

    def __init__(self, service: DetectorService, view: View):
        self.service, self.view, self.latest = service, view, Run(over=True)
        self.shown = Shown(service, self.view.place)

    @property
    def running(self) -> bool:
        return not self.latest.over

    def cancel(self) -> None:
        self.latest.stop.set()

    # --- what is shown ------------------------------------------------------------------------------------------------

    def status(self) -> str:
        return phrases.status_html(*self.latest.told)

    def button(self) -> str:
        """What the one button beside the status line does now; "" nothing."""
        return "Cancel" if self.running else "Try again" if self.latest.undone else ""

    def panel(self) -> dict[str, Any]:
        """The state of the live panel; see `panel/component.py`."""
        s, view = self.shown, self.view
        with s.lock:
            at, image, anomaly_maps = s.at, s.image, dict(s.heats)
        return {
            "address": view.address,
            "set": {
                "key": list(s.place),
                "drawn": len(s.thumbs),
                "images": [
                    dict(name=item.name, label=phrases.readable_name(item.name), slug=phrases.slug(item.name),
                         group=item.defect.replace("_", " "), bad=item.bad)
                    for item in s.items
                ],
                "source": f"{s.dataset.name}, {s.dataset.category} · {s.dataset.licence}" if s.dataset else "",
            },
            "chosen": at,
            "image": image,
            "slots": [self._slot(m, anomaly_maps.get(m)) for m in view.methods],
        }  # fmt: skip

    def _slot(self, m: str, anomaly_map: dict[str, Any] | None) -> dict[str, Any]:
        s, survey = self.shown, self.shown.surveys.get(m)
        judged = None
        if survey and not survey.payload:
            judged = {"scores": list(survey.scores), "peaks": list(survey.places)}
        return {
            "key": m, "title": variant.title(m), "paper": variant.kind(m).paper,
            "status": s.why.get(m) or ("" if anomaly_map else "waiting"),
            "scale": s.scales.get(m) if anomaly_map else None, "finding": anomaly_map, "judged": judged,
            "payload_key": survey.key if survey and survey.payload else "",
        }  # fmt: skip

    def scores(self, m: str) -> dict[str, Any] | None:
        """What a method says of all test images, as plain values; None until all are judged."""
        survey = self.shown.surveys.get(m)
        detector = self.service.ready(self.shown.place, m) if survey and survey.payload else None
        if not survey or not survey.payload or not detector or not detector.calibration:
            return None
        c, numbers = detector.calibration, survey.payload["numbers"]
        judged = [
            dict(name=item.name, bad=item.bad, score=score, verdict=c.verdict(score))
            for item, score in zip(self.shown.items, survey.scores, strict=True) if score is not None
        ]  # fmt: skip
        return dict(method=m, look=c.look, bad=c.bad, **numbers, images=judged)

    # --- what happens -------------------------------------------------------------------------------------------------

    def pick(self, name: str) -> None:
        """Shows another image with the detectors that are ready; a run under way goes on."""
        if self.shown.dataset:
            self.view = dataclasses.replace(self.view, image=name)
            self.shown.pick(name, [m for m in self.view.methods if m in self.shown.heats])

    def run(self, view: View) -> Iterator[set[str]]:
        self.cancel()
        run = self.latest = Run()
        try:
            self.view = view.checked()
        except LabError as error:
            run.told, run.over = (None, error_message(error), ""), True
            yield {"status"}
            return
        if view.place != self.shown.place:
            self.shown = Shown(self.service, view.place)
        self.shown.why = {}
        news: News = queue.SimpleQueue()
        inside = contextvars.copy_context()  # who asks: a lent GPU is asked for in their name
        threading.Thread(target=inside.run, args=(self._work, view, self.shown, run, news), daemon=True).start()
        parts = set(PARTS)
        while self.latest is run:
            yield parts
            if run.over:
                return
            held = [news.get()]
            while not news.empty():
                held.append(news.get())
            parts = {part for part in held if part}
            if None in held:
                run.over = True
            else:
                time.sleep(0.2)  # at most five changes a second

    def _work(self, view: View, shown: Shown, run: Run, news: News) -> None:
        try:
            words, run.undone = self._fill(view, shown, run, news)
        except Cancelled:
            if self.latest is run:  # not merely followed by a newer run
                shown.why |= {m: "not fitted: cancelled" for m in view.methods if m not in shown.heats}
            words, run.undone = "Cancelled. What was finished stays.", True
        except Exception as error:  # the end of a thread: whatever it was, the visitor reads a sentence
            words, run.undone = error_message(error), True
        run.told = (None, words, "")
        for part in (*PARTS, None):
            news.put(part)

    def _fill(self, view: View, shown: Shown, run: Run, news: News) -> tuple[str, bool]:
        """Image, maps, thumbnails, surveys; returns what came of it, in words, and whether something failed."""

        def teller(doing: str) -> Report:
            began = time.monotonic()

            def report(fraction: float, words: str) -> None:
                if run.stop.is_set():
                    raise Cancelled
                left = phrases.time_left(words, time.monotonic() - began, fraction)
                run.told = (fraction, f"{doing}: {words}", left)
                news.put("status")

            return report

        def moving(report: Report) -> Report:
            """Of work that the panel shows as it goes on."""

            def told(fraction: float, words: str) -> None:
                report(fraction, words)
                news.put("panel")

            return told

        report = teller(view.category)
        report(0.0, "opening the set")
        shown.open(view.image)
        news.put("panel")
        failed: dict[str, str] = {}

        def attempt(m: str, fit: bool) -> None:
            """Shows a method's map, made ready first if `fit`; its failure is its own and leaves the others."""
            try:
                if fit and m not in shown.heats:
                    shown.why[m] = "being fitted to the good images"
                    news.put("panel")
                    self.service.detector(shown.place, m, teller(f"{variant.title(m)} on {view.category}"))
                shown.why[m] = "" if shown.anomaly_map(m) else "waiting for its fit"
            except LabError as error:
                failed[m] = shown.why[m] = error_message(error)
            news.put("panel")

        for m in view.methods:
            attempt(m, fit=False)
        for m in [m for m in view.methods if m not in failed and not variant.kind(m).trains]:
            attempt(m, fit=True)
        self.service.draw(shown.place, moving(report))
        for m in sorted(view.methods, key=lambda m: variant.kind(m).trains):
            if m not in failed:
                attempt(m, fit=True)
            if m in failed:
                continue

            def begun(survey: JudgedTestSet, m: str = m) -> None:
                shown.surveys[m] = survey

            self.service.survey(shown.place, m, begun, moving(teller(f"{variant.title(m)} on {view.category}")),
                                self.figures)  # fmt: skip
            news.put("panel")
        done = {variant.title(m): shown.surveys[m].rates for m in view.methods if m not in failed}
        words = phrases.comparison_summary({title: rates for title, rates in done.items() if rates})
        return " ".join([words, *dict.fromkeys(failed.values())]).strip(), bool(failed)
