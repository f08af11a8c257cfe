"""The visits to *Your images*: whose images are whose, how work is told, and every part of the tab as it stands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Set
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...calibration import MIN_IMAGES
from ...lru_cache import LRUCache
from ...methods import METHODS
from ...progress import Report
from ..detector_service import DetectorService
from ..phrases import duration
from ..session import session_key
from . import views
from .session import Own
from .uploads import TOGETHER, VISITS

ALL = "all"
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

    def __init__(self, service: DetectorService):
        self.service, self.desk = service, LRUCache[str, Any](400)
        together = TOGETHER * 10**6
        self.visits: LRUCache[str, Own] = LRUCache(
            together, lambda own: max(own.bytes(), together // VISITS), self._end
        )

    def own(self, request: gr.Request) -> Own:
        key = session_key(request)
        return self.visits.get_or_create(key, lambda: Own(self.service, self.desk, key))

    def leave(self, request: gr.Request) -> None:
        """The visit is over: its images and what was made of them go."""
        if own := self.visits.pop(session_key(request)):
            self._end(own)

    def _end(self, own: Own) -> None:
        own.close()
        self._delete(own, own.sent)

    def _delete(self, own: Own, paths: Set[Path]) -> None:
        """Files of the web server, but for those that others have sent or been offered, too."""
        own.sent = own.sent - paths
        others = {path for other in self.visits.values() for path in other.sent}
        for path in paths - others:
            with contextlib.suppress(OSError):
                path.unlink()
                path.parent.rmdir()

    def _offered(self, own: Own) -> list[str | None]:
        """What may be taken along, copied to where the web server hands it out; older copies go."""
        copies: list[str | None] = [None] * len(self.files)
        if own.method:
            with contextlib.suppress(OSError):  # a full disk: there are answers, and nothing to take along
                made = zip(self.files, own.files(), strict=True)
                copies = [button.move_resource_to_block_cache(path) for button, path in made]
        before, own.offered = own.offered, {Path(path) for path in copies if path}
        own.sent = own.sent | own.offered
        self._delete(own, before - own.offered)
        return copies

    def send(self, asked: Any) -> Any:
        """What a panel fetches by itself; None if not there."""
        match asked:
            case {"payload": str(key)}:
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

    def _news(self, own: Own, job: Callable[[Report], str]) -> Iterator[None]:
        """Of a job; while it goes on the visit is in use and holds more and more."""
        yield from own.work.run(job, lambda: self.visits.refresh(own.key))

    def _follow(self, own: Own, job: Callable[[Report], str]) -> Iterator[Parts]:
        """The end comes all at once: what follows it on a visitor's click is then not overtaken by a part of it."""
        for _ in self._news(own, job):
            if own.work.running:
                yield self._state(own)
        if not own.work.running:
            yield dict(zip(self.told, self._all(own, own.work.told[1]), strict=True))

    def _all(self, own: Own, words: str) -> list[Any]:
        """Every part, in the order of `told`."""
        own.work.told = (None, words, "")
        if own.uploads.held and not own.ready():
            words += f" Step 3 needs {MIN_IMAGES} good images; there are {len(own.uploads.of('good'))}."
        shown = [(METHODS[r.method].title, r.method) for r in own.ranking()]
        return [
            f'<div class="status" role="status"><span>{escape(words)}</span></div>',
            gr.update(visible=False),
            views.given(own),
            gr.update(choices=self._choices(own)),
            gr.update(interactive=own.ready()),
            gr.update(visible=bool(own.method)),
            own.panel() or gr.skip(),
            gr.update(choices=shown, value=own.method or None, visible=len(shown) > 1),
            views.ranking(own),
            gr.update(interactive=bool(own.past)),
            *own.hottest(),
            *(gr.update(value=path) for path in self._offered(own)),
        ]  # fmt: skip
