"""The visits to *Your pictures*: whose pictures are whose, how work is told, and every part of the tab as it stands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import gradio as gr

from ..detector import FEWEST
from ..method import Report
from ..methods import METHODS
from . import given
from .endpoints import visitor
from .own import Own
from .service import Service
from .sharing import Shelf
from .wording import duration

ALL = "all"
VISITS = 40  # at a time; the one unused for longest ends when another begins
Parts = dict[Any, Any]
"""component -> its new value"""


class Visits:
    """The visits under way; `yours.py` builds the components.

    told    status, cancel and every other part, in the order of `_all`
    """

    told: list[Any]
    status: gr.HTML
    cancel: gr.Button
    files: list[gr.DownloadButton]

    def __init__(self, service: Service):
        self.service, self.desk = service, Shelf[str, Any](400)
        self.visits: Shelf[str, Own] = Shelf(VISITS, gone=self._end)

    def own(self, request: gr.Request) -> Own:
        return self.visits.take(visitor(request), lambda: Own(self.service, self.desk))

    def leave(self, request: gr.Request) -> None:
        """The visit is over: its pictures and what was made of them go."""
        if own := self.visits.drop(visitor(request)):
            self._end(own)

    def _end(self, own: Own) -> None:
        own.close()
        others = {path for other in self.visits.all() for path in other.sent}
        for path in own.sent - others:  # what the web server took in
            with contextlib.suppress(OSError):
                path.unlink()
                path.parent.rmdir()

    def send(self, asked: Any) -> Any:
        """What a panel fetches by itself; None if not there."""
        match asked:
            case {"survey": str(key)}:
                return self.desk.get(key)
            case {"thumbs": str(key), "from": int(start)}:
                return list(self.desk.get(key) or ())[max(start, 0) :]
        return None

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _choices(self, own: Own | None) -> list[tuple[str, str]]:
        """Methods with the seconds they take, and all of them."""
        taking = lambda m: f": about {duration(own.expected(m))}" if own and own.ready() else ""
        every = [(f"{kind.title}{taking(m)}", m) for m, kind in METHODS.items()]
        return [*every, ("Try them all: what fits within a minute", ALL)]

    def _state(self, own: Own) -> Parts:
        running = own.work.running
        return {self.status: own.work.status(), self.cancel: gr.update(visible=running, interactive=running)}

    def _follow(self, own: Own, job: Callable[[Report], str]) -> Iterator[Parts]:
        """The end comes all at once: what follows it on a visitor's click is then not overtaken by a part of it."""
        for _ in own.work.run(job):
            if own.work.running:
                yield self._state(own)
        if not own.work.running:
            yield dict(zip(self.told, self._all(own, own.work.told[1]), strict=True))

    def _all(self, own: Own, words: str) -> list[Any]:
        """Every part, in the order of `told`."""
        own.work.told = (None, words, "")
        if own.uploads.held and not own.ready():
            words += f" Step 3 needs {FEWEST} good pictures; there are {len(own.uploads.of('good'))}."
        files = own.files() if own.method else [None] * len(self.files)
        shown = [(METHODS[r.method].title, r.method) for r in own.ranking()]
        return [
            f'<div class="status" role="status"><span>{escape(words)}</span></div>',
            gr.update(visible=False),
            given.given(own),
            gr.update(choices=self._choices(own)),
            gr.update(interactive=own.ready()),
            gr.update(visible=bool(own.method)),
            own.panel() or gr.skip(),
            gr.update(choices=shown, value=own.method or None, visible=len(shown) > 1),
            given.ranking(own),
            gr.update(interactive=bool(own.past)),
            *own.hottest(),
            *(gr.update(value=path) for path in files),
        ]  # fmt: skip
