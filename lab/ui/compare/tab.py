"""The tab *Compare*: choose a set, a category, methods and an image; see their maps and numbers side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from ...errors import LabError
from ...lru_cache import LRUCache
from ...methods import METHODS
from .. import variant
from ..api import add_endpoint, bind_endpoint, session_key
from ..comparison import Page
from ..detector_service import DetectorService
from ..panel.component import live_panel
from ..phrases import error_message
from ..view import MOST, View
from . import downloadable
from .download_offer import Offer


class Compare:
    """Builds the tab inside the current Blocks; `load` fills the first view."""

    def __init__(self, service: DetectorService, start: View):
        self.service, self.start = service, start
        self.pages: LRUCache[str, Page] = LRUCache(200)
        self.default = service.backbone or "embedded"
        first = Page(service, start)
        with gr.Row():
            self.source = gr.Dropdown(downloadable.sets(), value=start.source, label="Set", min_width=120)
            self.category = gr.Dropdown(
                downloadable.categories(start.source), value=start.category, label="Category", min_width=140
            )
            self.methods = gr.Dropdown(
                [(method.title, key) for key, method in METHODS.items()], value=list(start.methods), multiselect=True,
                max_choices=MOST, label="Methods, two to four", scale=3, min_width=260,
            )  # fmt: skip
            self.backbone = gr.Dropdown(
                downloadable.backbones(self.default), value=self.default, label="Backbone", min_width=160
            )
        self.offer = Offer(lambda request: self.page(request).view)
        with gr.Row(equal_height=True, elem_id="state"):
            self.status = gr.HTML(first.status(), apply_default_css=False)
            self.button = gr.Button("Cancel", size="sm", scale=0, interactive=False, elem_id="stop")
        self.panel = live_panel(first.panel(), service.send, tab="compare")
        self.chosen: list[Any] = [self.source, self.category, self.methods, self.backbone]
        self.parts: list[Any] = [self.status, self.button, self.panel]
        every = [*self.parts, *self.offer.parts]
        still: dict[str, Any] = dict(show_progress="hidden", trigger_mode="multiple", concurrency_limit=None)
        hidden = still | {"api_visibility": "private"}
        bind_endpoint(self.source.input, choose, "categories", self.source, self.category, **still).then(
            self.run, self.chosen, every, **hidden
        )
        bind_endpoint(self.methods.input, self.run, "compare", self.chosen, every, **still)
        for choice in (self.category, self.backbone):
            choice.input(self.run, self.chosen, every, **hidden)
        self.button.click(self.press, self.chosen, every, **hidden)
        self.panel.picked(self.pick, None, self.panel, **hidden)
        for endpoint, name in ((self.scores, "compare_scores"), (self.cancel, "compare_cancel")):
            add_endpoint(endpoint, name)
        self.offer.wire(self.arrived, self.chosen, [*self.chosen, *every], **still)

    def load(self, blocks: gr.Blocks) -> None:
        """Wires the first view and the end of a visit."""
        blocks.load(
            self.open, None, self.chosen + self.parts, show_progress="hidden", concurrency_limit=None,
            api_visibility="private",
        )  # fmt: skip
        blocks.unload(self.leave)

    def warm(self) -> None:
        """Makes the first view's detectors and findings before anyone asks."""
        page = Page(self.service, self.start)
        threading.Thread(target=lambda: [None for _ in page.run(self.start)], daemon=True, name="warm").start()

    # --- what the page asks -------------------------------------------------------------------------------------------

    def page(self, request: gr.Request) -> Page:
        return self.pages.get_or_create(session_key(request), lambda: Page(self.service, self.start))

    def open(self, request: gr.Request) -> Iterator[dict[Any, Any]]:
        """The view that the address names, else the first one."""
        query = dict(request.query_params)
        try:
            view = self.start.asked(query if query.get("tab", "compare") == "compare" else {})
        except LabError as error:
            gr.Warning(f"{error_message(error)} This is the first view instead.")
            view = self.start
        yield self._choices(view) | {self.methods: list(view.plain)}
        yield from self._filled(view, request)

    def run(
        self, source: str, category: str, methods: list[str], backbone: str, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        """Fits up to four methods to a category's good images, where they are not fitted yet, and judges its others.

        What of the choices is not here is offered, and the page stays as it is.

        Args:
            source: a set, such as "samples".
            category: one of its `categories`.
            methods: their names, such as "patchcore".
            backbone: the tag of the network that methods look through, such as "embedded".

        Returns:
            HTML of the status, label of the button, state of the panel, and the offer; `compare_scores` gives the
            numbers plainly.
        """
        before = self.page(request).view
        image = before.image if (source, category) == before.place else ""
        tag = "" if backbone == self.default else backbone
        view = View(source, category, tuple(variant.on(m, tag) for m in methods or ()), image)
        want = downloadable.missing(view)
        if want and not (yield from self.offer.make(want, request)):
            return
        yield self.offer.hide(request)
        yield from self._filled(view, request)

    def arrived(
        self, source: str, category: str, methods: list[str], backbone: str, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        """What was offered has come, or has not: then its own words say why."""
        if self.offer.visit(request).want:
            yield {self.status: gr.skip()}  # after nothing at all gradio would empty every part
        else:
            yield self._choices(View(source, category, ()), backbone)
            yield from self.run(source, category, methods, backbone, request)

    def _choices(self, view: View, backbone: str = "") -> dict[Any, Any]:
        """The menus, as they are by now."""
        return {
            self.source: gr.update(choices=downloadable.sets(), value=view.source),
            self.category: gr.update(choices=downloadable.categories(view.source), value=view.category),
            self.backbone: gr.update(
                choices=downloadable.backbones(self.default), value=backbone or view.backbone or self.default
            ),
        }

    def press(
        self, source: str, category: str, methods: list[str], backbone: str, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        """The one button: cancels what runs, else takes up what was left undone."""
        page = self.page(request)
        if page.running:
            page.cancel()
            yield {self.button: gr.update(interactive=False)}
        else:
            yield from self.run(source, category, methods, backbone, request)

    def scores(self, source: str, category: str, methods: list[str], request: gr.Request) -> list[dict]:
        """What up to four methods say of a category's test images; they are fitted first where they are not yet.

        Args:
            source: a set at hand, such as "samples".
            category: one of its `categories`.
            methods: their names, such as "patchcore".

        Returns:
            A list of objects, one a method: method; look and bad (thresholds, σ); auroc with its 95 % interval; margin
            and overlap of the images' scores; images: a list of objects with name, bad, score (σ), verdict.
        """
        page, view = self.page(request), View(source, category, tuple(methods))
        try:
            view.checked()
        except LabError as error:
            raise gr.Error(error_message(error)) from None
        for _ in page.run(view):
            pass
        told = [scores for m in view.methods if (scores := page.scores(m))]
        if page.shown.place != view.place or len(told) < len(view.methods):
            raise gr.Error(page.latest.told[1])
        return told

    def cancel(self, request: gr.Request) -> str:
        """Ends what runs for this visitor.

        Returns:
            What was going on, in words.
        """
        page = self.page(request)
        page.cancel()
        return page.latest.told[1]

    def pick(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        page = self.page(request)
        try:
            page.pick(str(event._data["name"]))
        except Exception as error:  # the page stays as it was and says so
            raise gr.Error(error_message(error)) from None
        return page.panel()

    def leave(self, request: gr.Request) -> None:
        """The visit is over: what still runs for it ends."""
        if page := self.pages.pop(session_key(request)):
            page.cancel()
        self.offer.leave(request)

    def _filled(self, view: View, request: gr.Request) -> Iterator[dict[Any, Any]]:
        """Only what changed: the rest of the page is not sent again."""
        page = self.page(request)
        for changed in page.run(view):
            label = page.button()
            told: dict[Any, Any] = {self.button: gr.update(value=label or "Cancel", interactive=bool(label))}
            if "status" in changed:
                told[self.status] = page.status()
            if "panel" in changed:
                told[self.panel] = page.panel()
            yield told


def choose(source: str) -> dict[str, Any]:
    """The categories of a set, also those that can be downloaded.

    Args:
        source: a set, such as "samples".

    Returns:
        The choices of "Category", and the first of them.
    """
    found = downloadable.categories(source)
    return gr.update(choices=found, value=found[0][1] if found else None)
