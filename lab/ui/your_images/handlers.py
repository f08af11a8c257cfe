"""What the controls of *Your images* ask for: thin over `own.py` and `closer.py`. `yours.py` names the endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ... import image_files
from ...errors import LabError
from ...progress import Report
from . import close_up, views
from .session import Own
from .visits import ALL, Parts, Visits


class Asked(Visits):
    """Handlers. What follows an event of the page (`snap`, `act`, `pick`, `spot`, `false_alarm`) is the page's alone;
    all others are endpoints, whose docstrings are written for programs."""

    why: gr.HTML
    sizes: gr.HTML

    # --- steps one and two --------------------------------------------------------------------------------------------

    def _taker(self, role: str) -> Callable[..., list[Any]]:
        def take(files: list[str], request: gr.Request) -> list[Any]:
            return [None, *self._taken(files or [], role, request)]

        take.__doc__ = f"""Takes images in as {views.HEADS[role].lower()} ones.

        Args:
            files: images ({image_files.FORMATS}) or zips of them.

        Returns:
            The emptied drop zone, a sentence on what was taken and what was not, and the parts of the page.
        """
        return take

    def snap(self, image: str | None, role: str, request: gr.Request) -> list[Any]:
        return [None, *self._taken([image] if image else [], role, request)]

    def _taken(self, files: list[str], role: str, request: gr.Request) -> list[Any]:
        own, paths = self.own(request), [str(path) for path in files]
        own.sent = own.sent | set(map(Path, paths))
        return self._all(own, own.take(paths, role))

    def check(self, request: gr.Request) -> Iterator[Parts]:
        """The data check of the good images.

        Returns:
            Its progress, then what it found as HTML.
        """
        own = self.own(request)
        if own.uploads.of("good") and own.uploads.of("good", "bad", "new") != own.checked:
            yield from self._follow(own, own.look)
        else:
            yield self._state(own)

    def act(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """A button among what was given."""
        own, told = self.own(request), event._data
        if told.get("act") == "keep":
            own.keep(str(told.get("words")))
            return self._all(own, "Kept.")
        return self._all(own, self._left_out(own, [str(name) for name in json.loads(told["names"])]))

    def leave_out(self, name: str, request: gr.Request) -> str:
        """Leaves an image out.

        Args:
            name: its file's name.

        Returns:
            What came of it, in words.
        """
        return self._left_out(self.own(request), [name])

    def _left_out(self, own: Own, names: list[str]) -> str:
        own.leave_out(names)
        return f"Left out: {', '.join(names)}."

    # --- step three ---------------------------------------------------------------------------------------------------

    def answer(self, method: str, request: gr.Request) -> Iterator[Parts]:
        """Fits a method to the good images and judges all of them.

        Args:
            method: its name, or "all": those that fit within a minute, ranked.

        Returns:
            Progress and what came of it in words, the panel's state, the table of methods, and three files: detector,
            CSV and report.
        """
        own = self.own(request)
        job = own.answer_all if method == ALL else lambda report: own.answer(method, report)
        yield from self._follow(own, job)

    def stop(self, request: gr.Request) -> Any:
        """Cancels what runs."""
        self.own(request).work.stop.set()
        return gr.update(interactive=False)

    def choose(self, method: str, request: gr.Request) -> list[Any]:
        """Shows another of the methods that were fitted.

        Args:
            method: its name.
        """
        own = self.own(request)
        if method in own.fitted:
            own.show(method)
        return self._all(own, own.words() if own.method else "")

    def pick(self, event: gr.EventData, request: gr.Request) -> tuple[Any, float, float]:
        own = self.own(request)
        own.pick(str(event._data["name"]))
        return own.panel(), *own.hottest()

    def show_image(self, name: str, request: gr.Request) -> str:
        """Chooses the image that `yours_why`, `yours_try` and the panel are about.

        Args:
            name: its file's name.

        Returns:
            The name of the image now shown.
        """
        own = self.own(request)
        own.pick(name)
        return own.at

    def false_alarm(self, request: gr.Request) -> Iterator[Parts]:
        """The image shown joins the good ones, and the method shown is refitted."""
        own = self.own(request)
        yield from self._follow(own, lambda report: own.false_alarm(own.at, report))

    def learn_as_good(self, name: str, request: gr.Request) -> str:
        """An image was a false alarm: it joins the good ones, and the method shown is refitted; `yours_undo` undoes.

        Args:
            name: its file's name.

        Returns:
            What came of it, in words.
        """
        own = self.own(request)
        for _ in self._news(own, lambda report: own.false_alarm(name, report)):
            pass
        return own.work.told[1]

    def take_back(self, request: gr.Request) -> Iterator[Parts]:
        """Takes the last false alarm back.

        Returns:
            What came of it in words, and the parts of the page.
        """
        own = self.own(request)
        yield from self._follow(own, lambda report: own.undo())

    def scores(self, request: gr.Request) -> list[dict]:
        """What the method shown says of all images.

        Returns:
            A list of objects: name, role (good, bad or new), score in σ, verdict, marked (share of the surface).
        """
        own = self.own(request)
        judged = own.fitted[own.method].judged if own.method else ()
        return [dict(name=j.name, role=j.role, score=j.score, verdict=j.verdict, marked=j.marked) for j in judged]

    # --- a closer look ------------------------------------------------------------------------------------------------

    def spot(self, event: gr.EventData) -> tuple[float, float]:
        return round(float(event._data["x"]), 3), round(float(event._data["y"]), 3)

    def explain(self, x: float, y: float, request: gr.Request) -> Iterator[Parts]:
        """Why a spot of the image shown is hot or not: the nearest normal patches.

        Args:
            x: share of the image's width, from the left.
            y: share of its height, from the top.

        Returns:
            HTML: how far and how unusual in words, and the patches with their images' names.
        """
        yield from self._closer(request, self.why, lambda own, report: close_up.explained(own, x, y, report))

    def try_mark(self, kind: str, x: float, y: float, request: gr.Request) -> Iterator[Parts]:
        """From what size on a made defect is found.

        Args:
            kind: "scratch", "blur" or "paint".
            x: share of the image's width, from the left.
            y: share of its height, from the top.

        Returns:
            HTML: the size in words, and the tried marks with their verdicts.
        """
        yield from self._closer(request, self.sizes, lambda own, report: close_up.tried(own, kind, x, y, report))

    def _closer(self, request: gr.Request, part: gr.HTML, look: Callable[[Own, Report], str]) -> Iterator[Parts]:
        own, made = self.own(request), list[str]()

        def job(report: Report) -> str:
            if not own.method:
                raise LabError("Get answers first.")
            made.append(look(own, report))
            return own.words()

        for _ in self._news(own, job):
            if own.work.running:
                yield self._state(own)
        if not own.work.running:
            yield self._state(own) | ({part: made[0]} if made else {})
