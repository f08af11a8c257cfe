"""The offer below the choices: what was chosen and is not here, its licence and size, and a button that fetches it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from html import escape
from typing import Any

import gradio as gr

from ...hub import downloads
from ...lru_cache import LRUCache
from ...progress import Report
from ..api import session_key
from ..jobs import Work
from ..view import View
from .downloadable import Wanted

LONGEST = 24 * 60  # minutes of a visit's downloads


class Visit:
    """One visitor's offer. `want` is what it is about, None once it is here; `came` what needed no offer: by the time
    its source was asked it had come, by another visitor."""

    def __init__(self, shown: View):
        self.want: Wanted | None = None
        self.came: Wanted | None = None
        self.shown, self.work = shown, Work(LONGEST)

    def asking(self, want: Wanted, report: Report) -> str:
        told = want.asked(report)
        if self.want is want:  # not if another choice was made meanwhile
            self.want, self.came = told, None if told else want
        return told.words(self.shown) if told else ""

    def fetching(self, want: Wanted, report: Report) -> str:
        want.fetch(report)
        if self.want is want:
            self.want = None
        return ""


class Offer:
    """Builds the part inside the current Blocks; hidden while nothing is offered."""

    def __init__(self, shown: Callable[[gr.Request], View]):
        self.shown = shown
        self.visits: LRUCache[str, Visit] = LRUCache(200)
        with gr.Column(visible=False, elem_id="offer") as self.box:
            self.words = gr.HTML("", apply_default_css=False)
            with gr.Row():
                self.take = gr.Button("Download", size="sm", scale=0, min_width=200)
                self.cancel = gr.Button("Cancel", size="sm", scale=0, min_width=90)
        self.parts: list[Any] = [self.box, self.words, self.take, self.cancel]

    def wire(self, arrived: Callable[..., Any], inputs: list[Any], outputs: list[Any], **still: Any) -> None:
        """`arrived` is called with the choices once the button has done its work, whatever came of it."""
        self.take.click(self.press, None, self.parts, api_visibility="private", **still).then(
            arrived, inputs, outputs, api_visibility="private", **still
        )
        self.cancel.click(self.stop, None, None, api_visibility="private", **still)

    def visit(self, request: gr.Request) -> Visit:
        return self.visits.get_or_create(session_key(request), lambda: Visit(self.shown(request)))

    def make(self, want: Wanted, request: gr.Request) -> Generator[dict[Any, Any], None, bool]:
        """Offers it: what is known at once, then what its source says. Returns whether it is here after all."""
        visit = self.visit(request)
        visit.shown, visit.want = self.shown(request), want
        visit.work.told = (None, want.words(visit.shown), "")
        yield self._state(visit)
        yield from self._follow(visit, functools.partial(visit.asking, want))
        return visit.came is want

    def press(self, request: gr.Request) -> Iterator[dict[Any, Any]]:
        """Downloads what was offered; asks again where its source did not answer."""
        visit = self.visit(request)
        yield self._state(visit)
        if (want := visit.want) and not visit.work.running:
            yield from self._follow(visit, functools.partial(visit.fetching if want.told else visit.asking, want))

    def hide(self, request: gr.Request) -> dict[Any, Any]:
        """Another choice was made: what still runs for this one ends; what came of it stays for another time."""
        visit = self.visit(request)
        visit.want = None
        visit.work.stop.set()
        return {self.box: gr.update(visible=False)}

    def stop(self, request: gr.Request) -> None:
        self.visit(request).work.stop.set()

    def leave(self, request: gr.Request) -> None:
        """The visit is over."""
        if visit := self.visits.pop(session_key(request)):
            visit.work.stop.set()

    def _follow(self, visit: Visit, job: Callable[[Report], str]) -> Iterator[dict[Any, Any]]:
        for _ in visit.work.run(job):
            yield self._state(visit)

    def _state(self, visit: Visit) -> dict[Any, Any]:
        want, running = visit.want, visit.work.running
        if not want:
            return {self.box: gr.update(visible=False)}
        said = visit.work.told[1]
        offered = want.words(visit.shown)
        words = f"<p>{escape(offered)}</p>" + (visit.work.status() if running or said != offered else "")
        label = f"Download {downloads.megabytes(want.size)}" if want.told else "Ask again"
        return {
            self.box: gr.update(visible=True),
            self.words: words,
            self.take: gr.update(value=label, interactive=not running, visible=bool(want.told) or not running),
            self.cancel: gr.update(visible=running),
        }
