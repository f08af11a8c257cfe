"""The tab *Your images*: good ones in, bad ones if there are any, answers out. Three steps on one page."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ... import image_files
from ...errors import LabError
from ...lru_cache import LRUCache
from ...progress import Report
from ..api import add_endpoint, bind_endpoint, errors_shown, event_value
from ..detector_service import DetectorService
from ..sessions import Sessions
from . import close_up, enough, limits
from .fitting import FittedMethod
from .session import YourImagesSession
from .uploads import ROLES, Role
from .widgets import AUTO, BUDGETS, DOWNLOADS, Updates, Widgets, panel

MAX_PUBLISHED = 400  # fitted methods that panels may fetch
CLICK_LINK = """() => document.querySelector("#yours-%s").click()"""
Job = Callable[[YourImagesSession, Report], str]


class Handlers:
    """Handlers of events. Those that follow an event of the page alone say so; all others are endpoints, whose
    docstrings are written for programs."""

    def __init__(self, sessions: Sessions[YourImagesSession], widgets: Widgets):
        self.sessions, self.widgets = sessions, widgets

    # --- steps one and two --------------------------------------------------------------------------------------------

    def take(self, role: Role) -> Callable[..., Iterator[Updates]]:
        """The handler of one drop zone."""

        def take(files: list[str], request: gr.Request) -> Iterator[Updates]:
            yield from self._take(self.widgets.image_controls.drop_zones[role], files or [], role, request)

        take.__doc__ = f"""Takes images in as {role.label.lower()} ones.

        Args:
            files: images ({image_files.FORMATS}) or zips of them.

        Returns:
            The emptied drop zone, a sentence on what was taken and what was not, and the parts of the page.
        """
        return take

    def take_samples(self, request: gr.Request) -> Iterator[Updates]:
        """Takes in images of circuit boards that the lab draws itself: good and bad ones, and some to judge."""
        yield from self._follow(request, YourImagesSession.add_samples, kept=True)

    def take_photo(self, image: str | None, role: str, request: gr.Request) -> Iterator[Updates]:
        """Of the page alone: the camera's image."""
        yield from self._take(self.widgets.image_controls.camera, [image] if image else [], ROLES[role], request)

    def _take(
        self, source: gr.components.Component, files: list[str], role: Role, request: gr.Request
    ) -> Iterator[Updates]:
        """A job that no newer one ends: images dropped while others are being read are read after them."""
        job: Job = lambda session, report: session.add(list(map(str, files)), role, report)
        for updates in self._follow(request, job, kept=True):
            yield {source: None} | updates

    def check(self, request: gr.Request) -> Iterator[Updates]:
        """The data check of the good images: its progress, then what it found as HTML."""
        session = self.sessions.of(request)
        if session.needs_check():
            yield from self._follow(request, YourImagesSession.check)
        else:
            yield self.widgets.job_updates(session)

    def press_image_button(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Of the page alone: a button among the images given and the hints."""
        session, button = self.sessions.of(request), event._data
        if button.get("action") == "keep":
            session.settle_hint(str(button.get("hint")))
        else:
            session.leave_out([str(name) for name in json.loads(button["names"])])
        return self.widgets.updates(session)

    def press_ignore_button(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Of the page alone: a box was drawn, or taken away."""
        session, action = self.sessions.of(request), event_value(event, "action")
        kept = {"undo": session.ignored_boxes[:-1], "clear": ()}.get(action, session.ignored_boxes)
        with errors_shown():
            session.ignore([*kept, *([event_value(event, "box")] if action == "add" else [])])
        return self.widgets.updates(session)

    def ignore(self, boxes: list[list[float]], request: gr.Request) -> str:
        """Marks what does not matter: nothing in these boxes changes a score or a verdict. They replace former ones.
        Returns what came of it, in words.

        Args:
            boxes: lists of left, top, width and height, shares of the image's width and height; none: all matters.
        """
        session = self.sessions.of(request)
        with errors_shown():
            session.ignore(boxes or [])
        return session.runner.status.message

    def leave_out(self, name: str, request: gr.Request) -> str:
        """Leaves an image out. Returns what came of it, in words.

        Args:
            name: its file's name.
        """
        session = self.sessions.of(request)
        session.leave_out([name])
        return session.runner.status.message

    # --- step three ---------------------------------------------------------------------------------------------------

    def answer(self, method: str, request: gr.Request) -> Iterator[Updates]:
        """Fits a method to the good images and judges all of them; `yours_detector`, `yours_table` and `yours_report`
        then give the answer as files.

        Args:
            method: its name; "auto": chosen for these images, with its settings, in about a minute, the quickest one's
                answer first; "all": those that fit within a minute, ranked; "all-300", "all-inf": within five minutes,
                or all of them. Methods ranked before stay.

        Returns:
            Progress and what came of it in words, the panel's state, and the table of methods.
        """
        if method == AUTO:
            yield from self._follow(request, YourImagesSession.answer_first)
            if self.sessions.of(request).answers.fitted:  # else it was cancelled, or could not be fitted
                yield from self._follow(request, YourImagesSession.answer_best)
            return
        budget = BUDGETS.get(method)
        single: Job = lambda session, report: session.answer(method, report)
        several: Job = lambda session, report: session.answer_all(report, budget or 0.0)
        yield from self._follow(request, several if budget else single, filling=True)

    def follow_advice(self, event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        """Of the page alone: what the verdict suggests was pressed."""
        action = str(event_value(event, "action"))
        yield from self.answer(action if action in BUDGETS else AUTO, request)

    def cancel(self, request: gr.Request) -> Any:
        """Cancels what runs."""
        self.sessions.of(request).runner.cancel()
        return gr.update(interactive=False)

    def choose_method(self, method: str, request: gr.Request) -> Updates:
        """Shows another of the methods that were fitted.

        Args:
            method: its name.
        """
        session = self.sessions.of(request)
        session.choose_method(method)
        return self.widgets.updates(session)

    def choose_image(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Of the page alone: an image was chosen in the panel."""
        session = self.sessions.of(request)
        session.choose_image(str(event_value(event, "name")))
        return {self.widgets.answers.panel: panel(session)} | self.widgets.spot_updates(session)

    def show_image(self, name: str, request: gr.Request) -> str:
        """Chooses the image that `yours_why`, `yours_try` and the panel are about. Returns the name now shown.

        Args:
            name: its file's name.
        """
        session = self.sessions.of(request)
        session.choose_image(name)
        return session.answers.image

    def learn_shown_as_good(self, request: gr.Request) -> Iterator[Updates]:
        """Of the page alone: the image shown was a false alarm."""
        yield from self._follow(request, lambda session, report: session.learn_as_good(session.answers.image, report))

    def learn_as_good(self, name: str, request: gr.Request) -> str:
        """An image was a false alarm: it joins the good ones, and the method shown is refitted; `yours_undo` undoes.
        Returns what came of it, in words.

        Args:
            name: its file's name.
        """
        for _ in self._follow(request, lambda session, report: session.learn_as_good(name, report)):
            pass
        return self.sessions.of(request).runner.status.message

    def undo(self, request: gr.Request) -> Iterator[Updates]:
        """Takes the last false alarm back. Returns what came of it in words, and the parts of the page."""
        yield from self._follow(request, lambda session, report: session.undo())

    def scores(self, request: gr.Request) -> list[dict[str, Any]]:
        """What the method shown says of all images: a list of objects with name, role (good, bad or new), score in σ,
        verdict, marked (share of the surface), and regions (boxes and areas in pixels of the image, peaks and means in
        σ)."""
        shown = self.sessions.of(request).answers.shown
        return [
            {"name": i.name, "role": i.role.name, "score": i.score, "verdict": i.verdict, "marked": i.marked}
            | {"regions": [region._asdict() for region in i.regions]}
            for i in (shown.judged if shown else ())
        ]

    def download(self, name: str) -> Callable[..., str]:
        """The handler that writes one of the files of DOWNLOADS."""

        def download(request: gr.Request) -> str:
            cache = Path(self.widgets.answers.downloads.links[name].GRADIO_CACHE)
            with errors_shown():
                return str(self.sessions.of(request).write_download(name, cache))

        download.__doc__ = f"Writes what the method shown has to take along, and returns the file: {DOWNLOADS[name]}."
        return download

    # --- a closer look ------------------------------------------------------------------------------------------------

    def choose_spot(self, event: gr.EventData) -> tuple[float, float]:
        """Of the page alone: a spot of the image was clicked."""
        return round(float(event_value(event, "x")), 3), round(float(event_value(event, "y")), 3)

    def explain(self, x: float, y: float, request: gr.Request) -> Iterator[Updates]:
        """Why a spot of the image shown is hot or not: the nearest normal patches.

        Args:
            x: share of the image's width, from the left.
            y: share of its height, from the top.

        Returns:
            HTML: how far and how unusual in words, and the patches with their images' names.
        """
        part = self.widgets.answers.close_up.explanation
        yield from self._draw(part, request, lambda session, report: close_up.explain_spot(session, x, y, report))

    def try_defect(self, defect_type: str, x: float, y: float, request: gr.Request) -> Iterator[Updates]:
        """From what size on a synthetic defect is found.

        Args:
            defect_type: "scratch", "blur" or "paint".
            x: share of the image's width, from the left.
            y: share of its height, from the top.

        Returns:
            HTML: the size in words, and the tried defects with their verdicts.
        """
        part = self.widgets.answers.close_up.trials
        draw: Job = lambda session, report: close_up.try_defect(session, defect_type, x, y, report)
        yield from self._draw(part, request, draw)

    def curve(self, request: gr.Request) -> Iterator[Updates]:
        """How many images are enough: what the method shown misses, by how many of the good images it learns from.

        Returns:
            HTML: in words what twice as many images should bring, and a table of what was measured.
        """
        yield from self._draw(self.widgets.answers.curve, request, enough.curve)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _draw(self, part: gr.HTML, request: gr.Request, draw: Job) -> Iterator[Updates]:
        """Runs a job that returns the HTML of one part; the rest of the page does not change."""
        drawn: Updates = {}

        def job(session: YourImagesSession, report: Report) -> str:
            drawn[part] = draw(session, report)
            return session.summary()

        return self._follow(request, job, lambda session: self.widgets.job_updates(session) | drawn)

    def _follow(
        self,
        request: gr.Request,
        job: Job,
        updates: Callable[[YourImagesSession], Updates] | None = None,
        kept: bool = False,
        filling: bool = False,
    ) -> Iterator[Updates]:
        """Runs a job in the visit, which is then in use and holds more and more. What `updates` says at its end, else
        everything, comes all at once, so that no part of it overtakes what follows on a visitor's click. filling: what
        is fitted shows while the job goes on."""
        session = self.sessions.of(request)
        keep_alive = lambda: self.sessions.refresh(request)
        seen = list(session.answers.fitted.values())
        for _ in session.runner.run(lambda report: job(session, report), keep_alive, kept=kept):
            if session.runner.running:
                before, seen = seen, list(session.answers.fitted.values())
                more = filling and seen and seen != before
                yield self.widgets.updates(session) if more else self.widgets.job_updates(session)
        if not session.runner.running:
            yield (updates or self.widgets.updates)(session)


class YourImages:
    """Builds the tab inside the current Blocks; `load` wires the end of a visit."""

    def __init__(self, service: DetectorService):
        self.published: LRUCache[str, FittedMethod] = LRUCache(MAX_PUBLISHED)
        total = int(limits.MAX_TOTAL_MEGABYTES * limits.MEGABYTE)
        size = lambda session: max(session.answers.bytes(), total // limits.MAX_VISITS)
        self.sessions = Sessions(lambda key: YourImagesSession(service, self.published), total, size)
        self.widgets = Widgets(self.send)
        self.handlers = Handlers(self.sessions, self.widgets)
        self._wire()

    def load(self, blocks: gr.Blocks) -> None:
        blocks.unload(self.sessions.leave)

    def send(self, request: Any) -> Any:
        """What a panel fetches by itself; None if not there."""
        match request:
            case {"payload": str(key)} if fitted := self.published.get(key):
                return fitted.payload
            case {"cheapest": str(key), "times": int() | float() as times} if fitted := self.published.get(key):
                try:
                    return fitted.cheapest_line(times)._asdict()
                except LabError as error:
                    return {"error": str(error)}
            case {"thumbs": str(key), "from": int(start)}:
                fitted = self.published.get(key)
                return [image.thumbnail for image in fitted.judged[max(start, 0) :]] if fitted else []
        return None

    def _wire(self) -> None:
        widgets, ask = self.widgets, self.handlers
        images, answers = widgets.image_controls, widgets.answers
        close_up, downloads = answers.close_up, answers.downloads
        quiet: dict[str, Any] = dict(show_progress="hidden", trigger_mode="multiple", concurrency_limit=None)
        private: dict[str, Any] = dict(quiet, api_visibility="private")
        outputs, spot = widgets.outputs, widgets.spot

        for role, zone in images.drop_zones.items():
            taken = bind_endpoint(zone.upload, ask.take(role), f"yours_{role.name}", zone, [zone, *outputs], **quiet)
            taken.then(ask.check, None, outputs, **private)
        drawn = bind_endpoint(images.samples.click, ask.take_samples, "yours_samples", None, outputs, **quiet)
        drawn.then(ask.check, None, outputs, **private)
        camera = images.camera
        photo = camera.input(ask.take_photo, [camera, images.camera_role], [camera, *outputs], **private)
        bind_endpoint(photo.then, ask.check, "yours_check", None, outputs, **quiet)
        images.images.action(ask.press_image_button, None, outputs, **private).then(ask.check, None, outputs, **private)

        images.ignored.action(ask.press_ignore_button, None, outputs, **private).then(
            ask.check, None, outputs, **private
        )

        bind_endpoint(widgets.go.click, ask.answer, "yours_answer", widgets.method, outputs, **quiet)
        bind_endpoint(widgets.cancel.click, ask.cancel, "yours_cancel", None, widgets.cancel, **quiet)
        bind_endpoint(answers.method.input, ask.choose_method, "yours_show", answers.method, outputs, **quiet)
        answers.panel.advised(ask.follow_advice, None, outputs, **private)
        answers.panel.picked(ask.choose_image, None, [answers.panel, *widgets.spot_outputs], **private)
        answers.false_alarm.click(ask.learn_shown_as_good, None, outputs, **private)
        bind_endpoint(answers.undo.click, ask.undo, "yours_undo", None, outputs, **quiet)

        explained = [*widgets.job_outputs, close_up.explanation]
        bind_endpoint(close_up.explain.click, ask.explain, "yours_why", spot, explained, **quiet)
        close_up.explanation.spot(ask.choose_spot, None, spot, **private).then(ask.explain, spot, explained, **private)
        tried, defect = [*widgets.job_outputs, close_up.trials], [close_up.defect_type, *spot]
        bind_endpoint(close_up.try_defect.click, ask.try_defect, "yours_try", defect, tried, **quiet)

        curve = [*widgets.job_outputs, answers.curve]
        bind_endpoint(answers.enough.click, ask.curve, "yours_curve", None, curve, **quiet)

        for name, button in downloads.buttons.items():
            link = downloads.links[name]
            written = bind_endpoint(button.click, ask.download(name), f"yours_{name}", None, link, **quiet)
            written.success(None, None, None, js=CLICK_LINK % name, **private)
        add_endpoint(ask.leave_out, "yours_leave_out")
        add_endpoint(ask.ignore, "yours_ignore")
        add_endpoint(ask.show_image, "yours_image")
        add_endpoint(ask.learn_as_good, "yours_false_alarm")
        add_endpoint(ask.scores, "yours_scores")
