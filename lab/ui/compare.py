"""The tab *Compare*: choose a set, a category, methods and a picture; see their maps and numbers side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from .. import data
from ..errors import LabError
from ..methods import METHODS
from . import look, panes
from .page import MOST, Page, View
from .service import Service, sentence
from .sharing import Shelf


class Compare:
    """Builds the tab inside the current Blocks; `load` fills the first view."""

    def __init__(self, service: Service, start: View):
        self.service, self.start = service, start
        self.pages: Shelf[str, Page] = Shelf(200)
        first = Page(service, start)
        with gr.Row():
            self.source = gr.Dropdown(list(data.sets()), value=start.source, label="Set", min_width=120)
            self.category = gr.Dropdown(
                data.categories(start.source), value=start.category, label="Category", min_width=140
            )
            self.methods = gr.Dropdown(
                [(method.title, key) for key, method in METHODS.items()], value=list(start.methods), multiselect=True,
                max_choices=MOST, label="Methods, two to four", scale=3, min_width=260,
            )  # fmt: skip
        with gr.Row(equal_height=True, elem_id="state"):
            self.status = gr.HTML(first.status(), apply_default_css=False)
            self.button = gr.Button("Cancel", size="sm", scale=0, interactive=False, elem_id="stop")
        self.strip = gr.HTML(first.strip(), js_on_load=look.STRIP_JS, apply_default_css=False, elem_id="strip")
        gr.HTML(look.BLEND, js_on_load=look.BLEND_JS, apply_default_css=False)
        self.panes = gr.HTML(first.panes(), js_on_load=look.PANES_JS, apply_default_css=False, elem_id="panes")
        gr.HTML(look.RESULTS_HEAD, apply_default_css=False)
        self.slots = []
        with gr.Row(elem_id="results"):
            for number in range(MOST):
                with gr.Column(visible=number < len(start.methods), min_width=260) as column:
                    heading = gr.HTML(apply_default_css=False)
                    plot = gr.Plot(visible=False, show_label=False, container=False)
                    told = gr.HTML(panes.pending("drawn when all test pictures are judged"), apply_default_css=False)
                self.slots.append((column, heading, plot, told))
        self._wire()

    def _wire(self) -> None:
        chosen = [self.source, self.category, self.methods]
        parts = [self.status, self.button, self.strip, self.panes, *(c for slot in self.slots for c in slot)]
        still: dict[str, Any] = dict(show_progress="hidden", trigger_mode="multiple", concurrency_limit=None)
        self.source.input(self.choose, self.source, self.category, **still).then(self.run, chosen, parts, **still)
        self.category.input(self.run, chosen, parts, **still)
        self.methods.input(self.run, chosen, parts, **still)
        self.button.click(self.press, chosen, parts, **still)
        self.strip.picked(self.pick, None, [self.strip, self.panes], **still)

    def load(self, blocks: gr.Blocks) -> None:
        """Wires the first view and the end of a visit."""
        parts = [self.status, self.button, self.strip, self.panes, *(c for slot in self.slots for c in slot)]
        blocks.load(
            self.run, [self.source, self.category, self.methods], parts, show_progress="hidden", concurrency_limit=None
        )
        blocks.unload(self.leave)

    def warm(self) -> None:
        """Makes the first view's detectors and findings before anyone asks."""
        page = Page(self.service, self.start)
        threading.Thread(target=lambda: [None for _ in page.run(self.start)], daemon=True).start()

    # --- what the page asks -------------------------------------------------------------------------------------------

    def page(self, request: gr.Request) -> Page:
        key = request.session_hash or ""
        return self.pages.get(key) or self.pages.put(key, Page(self.service, self.start))

    def choose(self, source: str) -> dict[str, Any]:
        """The categories of a newly chosen set."""
        try:
            found = data.categories(source)
        except LabError as error:
            raise gr.Error(sentence(error)) from None
        return gr.update(choices=found, value=found[0])

    def run(
        self, source: str, category: str, methods: list[str], request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        page = self.page(request)
        picture = page.view.picture if (source, category) == page.view.place else ""
        for changed in page.run(View(source, category, tuple(methods or ()), picture)):
            yield self._drawn(page, changed)

    def press(
        self, source: str, category: str, methods: list[str], request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        """The one button: cancels what runs, else takes up what was left undone."""
        page = self.page(request)
        if page.running:
            page.stop.set()
            yield {self.button: gr.update(interactive=False)}
        else:
            yield from self.run(source, category, methods, request)

    def pick(self, event: gr.EventData, request: gr.Request) -> tuple[str, str]:
        page = self.page(request)
        try:
            page.pick(str(event._data["name"]))
        except Exception as error:  # the page stays as it was and says so
            raise gr.Error(sentence(error)) from None
        return page.strip(), page.panes()

    def leave(self, request: gr.Request) -> None:
        """The visit is over: what still runs for it ends."""
        if page := self.pages.drop(request.session_hash or ""):
            page.stop.set()

    def _drawn(self, page: Page, changed: set[str]) -> dict[Any, Any]:
        """Only what changed: the rest of the page is not sent again."""
        label = page.button()
        told: dict[Any, Any] = {self.button: gr.update(value=label or "Cancel", interactive=bool(label))}
        if "status" in changed:
            told[self.status] = page.status()
        if "strip" in changed:
            told[self.strip] = page.strip()
        if "panes" in changed:
            told[self.panes] = page.panes()
        if "results" in changed:
            told |= self._results(page)
        return told

    def _results(self, page: Page) -> dict[Any, Any]:
        rows: Sequence[Any] = page.results()
        told: dict[Any, Any] = {}
        for number, (column, heading, plot, words) in enumerate(self.slots):
            told[column] = gr.update(visible=number < len(rows))
            if number < len(rows):
                title, figure, html = rows[number]
                told[heading], told[words] = f"<h3>{title}</h3>", html
                told[plot] = gr.update(value=figure, visible=True) if figure else gr.update(visible=False)
        return told
