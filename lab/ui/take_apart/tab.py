"""The tab *Take apart*: a paper's method as published beside the same with something switched off."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr

from ... import data
from ...bench import paper_comparison
from ...errors import LabError
from ...lru_cache import LRUCache
from .. import assets, phrases, variant
from ..api import add_endpoint, bind_endpoint, session_key
from ..detector_service import DetectorService
from ..html import tables
from ..panel.component import live_panel
from ..phrases import error_message
from . import charts, inner_views, results
from .controls import rail
from .session import AS_PUBLISHED, Apart, Question

HEAD = "<p>Switch a part of a method off, and see what it was good for.</p>"
# Updates sent to a tab before it is drawn would be lost: the tab asks for its first view when it is seen. Not before
# the page is whole, though: gradio waits for each visible control to report, and one hidden by then never does.
WHOLE = """() => { window.whole = true; window.dispatchEvent(new Event("whole")); }"""
SEEN = """const seen = () => new IntersectionObserver((all, observer) => {
  if (all.some(one => one.isIntersecting)) { observer.disconnect(); trigger("seen"); }
}).observe(element);
if (window.whole) seen();
else window.addEventListener("whole", seen, {once: true});"""
STYLE = assets.text("take_apart/charts.css")


class TakeApart:
    """Builds the tab inside the current Blocks; it fills itself when it is first seen."""

    def __init__(self, service: DetectorService, start: Question):
        self.service, self.start = service, start
        self.pages: LRUCache[str, Apart] = LRUCache(200)
        self.controls: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, gr.Column] = {}
        runs: dict[str, gr.Button] = {}
        with gr.Row(elem_id="apart"):
            with gr.Column(elem_id="rail", min_width=270):
                head = gr.HTML(HEAD, js_on_load=SEEN, apply_default_css=False)
                self.method = gr.Radio(
                    [(variant.kind(m).title, m) for m in variant.taken()], value=start.method, label="Paper"
                )
                with gr.Row():
                    self.source = gr.Dropdown(list(data.sets()), value=start.source, label="Set", min_width=110)
                    self.category = gr.Dropdown(
                        data.categories(start.source), value=start.category, label="Category", min_width=110
                    )
                for m in variant.taken():
                    with gr.Column(visible=m == start.method) as self.groups[m]:
                        self.controls[m] = rail(m, start)
                        runs[m] = gr.Button("Run", variant="primary")
                with gr.Row(equal_height=True, elem_classes="state"):
                    self.status = gr.HTML(phrases.status_html(None, ""), apply_default_css=False)
                    self.button = gr.Button("Cancel", size="sm", scale=0, interactive=False, elem_classes="stop")
                self.curves = self._part()
            with gr.Column(elem_id="bench", min_width=300):
                self.panel = live_panel(Apart(service, start).panel(), service.send, tab="take-apart")
                self.laid = self._part()
                self.deltas = tables.table_component(tables.board([]))
                self.views = self._part()
        self.place: list[Any] = [self.source, self.category]
        self.parts: list[Any] = [self.status, self.button, self.panel, self.curves, self.laid, self.deltas, self.views]
        self.still: dict[str, Any] = dict(show_progress="hidden", concurrency_limit=None)
        for m, run in runs.items():
            self._wire(m, run)
        chosen = functools.partial(gr.on, [self.method.input, self.category.input])
        bind_endpoint(chosen, self.choose, "take_apart_choose", [self.method, *self.place],
           [*self.groups.values(), *self.parts], **self.still)  # fmt: skip
        self.source.input(categories, self.source, self.category, api_visibility="private", **self.still).then(
            self.choose, [self.method, *self.place], [*self.groups.values(), *self.parts], api_visibility="private",
            **self.still,
        )  # fmt: skip
        hidden: dict[str, Any] = dict(api_visibility="private", **self.still)
        add_endpoint(self.figures, "take_apart_figures")
        bind_endpoint(self.button.click, self.cancel, "take_apart_cancel", None, self.parts, **self.still)
        self.panel.picked(self.pick, None, [self.panel, self.views], trigger_mode="multiple", **hidden)
        every = [control for group in self.controls.values() for control in group.values()]
        outputs = [self.method, *self.place, *self.groups.values(), *every, *self.parts]
        head.seen(self.open, None, outputs, **hidden)

    def load(self, blocks: gr.Blocks) -> None:
        """Wires the page's being whole, and the end of a visit."""
        blocks.load(None, None, None, js=WHOLE, api_visibility="private", **self.still)
        blocks.unload(self.leave)

    def _part(self) -> gr.HTML:
        return gr.HTML("", css_template=STYLE, apply_default_css=False)

    def _wire(self, method: str, run: gr.Button) -> None:
        controls = self.controls[method]
        told = [*self.place, *controls.values()]
        ask = self._asking(method, "run")
        bind_endpoint(run.click, ask, f"take_apart_{method}", told, self.parts, trigger_mode="multiple", **self.still)
        gr.on(
            [control.input for control in controls.values()], self._asking(method, "look"), told, self.parts,
            trigger_mode="always_last", api_visibility="private", **self.still,
        )  # fmt: skip

    def _asking(self, method: str, what: str) -> Callable:
        """A handler whose arguments are set, category and the method's own settings, by their names."""
        names = ["source", "category", *self.controls[method]]

        def ask(*given: Any) -> Iterator[dict[Any, Any]]:
            source, category, *values, request = given
            yield from self._asked(request, what, source, category, method, dict(zip(names[2:], values, strict=True)))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        ask.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in [*names, "request"]])  # type: ignore[attr-defined]
        ask.__annotations__ = {"request": gr.Request}
        fields = variant.controls(method)
        told = "\n".join(f"    {n}: {variant.does(f)}" for n, f in fields.items())
        ask.__doc__ = (
            f"Fits {variant.kind(method).title} as published and as altered, one seed each, and judges the test "
            f'images with both.\n\nArgs:\n    source: a set at hand, such as "samples"\n    category: one of its '
            f"categories\n{told}\n\nReturns:\n    HTML of the status, label of the button, state of the panel, then "
            "HTML of curves, distributions, table and inner images."
        )
        return ask

    # --- what the page asks -------------------------------------------------------------------------------------------

    def page(self, request: gr.Request) -> Apart:
        return self.pages.get_or_create(session_key(request), lambda: Apart(self.service, self.start))

    def open(self, request: gr.Request) -> Iterator[dict[Any, Any]]:
        """The question that the address names where it names this tab, else the first one."""
        query, view = dict(request.query_params), self.start
        try:
            view = self.start.asked(query) if query.get("tab") == "take-apart" else view
        except LabError as error:
            gr.Warning(f"{error_message(error)} This is the first view instead.")
        changes = variant.read(view.methods[-1])[1]
        told: dict[Any, Any] = {
            self.method: view.method,
            self.source: gr.update(choices=list(data.sets()), value=view.source),  # by now: some were downloaded
            self.category: gr.update(choices=data.categories(view.source), value=view.category),
        }  # fmt: skip
        told |= {group: gr.update(visible=m == view.method) for m, group in self.groups.items()}
        for n, control in self.controls[view.method].items():
            told[control] = changes.get(n, getattr(variant.published(view.method), n))
        yield told
        page = self.page(request)
        yield from self._filled(page, page.look(view))

    def choose(self, method: str, source: str, category: str, request: gr.Request) -> Iterator[dict[Any, Any]]:
        """Another paper or category: its controls, and what is fitted of it already.

        Args:
            method: "cdo", "smcc", "rb_ae" or "local_occ".
            source: a set at hand, such as "samples".
            category: one of its categories.

        Returns:
            Which controls are shown, then what `take_apart_cdo` returns.
        """
        page = self.page(request)
        changes = variant.read(page.asked.get(method, method))[1]
        yield {group: gr.update(visible=m == method) for m, group in self.groups.items()}
        yield from self._asked(request, "look", source, category, method, changes)

    def cancel(self, request: gr.Request) -> dict[Any, Any]:
        """Ends what runs for this visitor; what was finished stays."""
        self.page(request).cancel()
        return {self.button: gr.update(interactive=False)}

    def figures(self, request: gr.Request) -> list[dict]:
        """What the last run changed.

        Returns:
            A list of objects, one a figure: figure; as_published, altered and difference (published minus altered;
            null where undefined); paper: its difference as text, or "larger", "smaller", null where it has none.
        """
        return [
            dict(figure=row.figure, as_published=row.full, altered=row.altered, difference=row.delta,
                 paper=paper_comparison.format_claim(row.claim) if row.claim else None)
            for row in self.page(request).deltas()
        ]  # fmt: skip

    def pick(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        page = self.page(request)
        try:
            page.pick(str(event._data["name"]))
            return {self.panel: page.panel(), self.views: self._views(page)}
        except Exception as error:  # the page stays as it was and says so
            raise gr.Error(error_message(error)) from None

    def leave(self, request: gr.Request) -> None:
        """The visit is over: what still runs for it ends."""
        if page := self.pages.pop(session_key(request)):
            page.cancel()

    def _asked(
        self, request: gr.Request, what: str, source: str, category: str, method: str, changes: Mapping[str, Any]
    ) -> Iterator[dict[Any, Any]]:
        page = self.page(request)
        image = page.view.image if (source, category) == page.view.place else ""
        try:
            view = Question.of(source, category, method, changes, image)
        except LabError as error:
            raise gr.Error(error_message(error)) from None
        yield from self._filled(page, page.run(view) if what == "run" else page.look(view))

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _filled(self, page: Apart, steps: Iterator[set[str]]) -> Iterator[dict[Any, Any]]:
        """Only what changed: the rest of the page is not sent again."""
        sent: dict[Any, str] = {}
        for changed in steps:
            told: dict[Any, Any] = {self.button: gr.update(interactive=page.running)}
            if "status" in changed:
                told[self.status] = page.status()
            if "panel" in changed:
                told[self.panel] = page.panel()
            drawings = {self.curves: charts.curves(page.curves())}
            if "panel" in changed:
                drawings[self.laid] = charts.laid(page.pixels())
                drawings[self.deltas] = self._deltas(page)
                drawings[self.views] = self._views(page)
            told |= {part: html for part, html in drawings.items() if sent.get(part) != html}
            sent |= drawings
            yield told

    def _views(self, page: Apart) -> str:
        items = page.shown.items
        return inner_views.shown(page.views(), phrases.readable_name(items[page.shown.at].name)) if items else ""

    def _deltas(self, page: Apart) -> str:
        view = page.view
        facts = (
            ("set", f"{view.source}, {view.category}"), ("seed", str(self.service.seed)),
            ("settings", "preset live" + "".join(f"; altered: {variant.without(m)}" for m in view.methods[1:])),
        )  # fmt: skip
        return results.shown(page.deltas(), [AS_PUBLISHED, variant.without(view.methods[-1])], facts, view.method)


def categories(source: str) -> dict[str, Any]:
    """Those at hand of a newly chosen set."""
    try:
        found = data.categories(source)
    except LabError as error:
        raise gr.Error(error_message(error)) from None
    return gr.update(choices=found, value=found[0])
