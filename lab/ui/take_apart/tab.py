"""The tab *Take apart*: a paper's method as published beside the same with something switched off."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import gradio as gr

from ... import data
from ...bench.paper_comparison import format_claim
from ...errors import LabError
from .. import assets, phrases
from ..api import (
    PRIVATE,
    QUIET,
    Handler,
    Steps,
    Updates,
    add_endpoint,
    bind_endpoint,
    errors_shown,
    event_value,
    warn_of_address,
)
from ..comparison import PANEL
from ..detector_service import DetectorService
from ..html import tables
from ..jobs import STATUS, JobStatus
from ..panel.component import live_panel
from ..sessions import Sessions
from ..variant import Variant, controls, description, methods_with_components
from . import drawings
from .controls import build_controls
from .results import results_table
from .session import AS_PUBLISHED, Question, TakeApartSession, studied_place

HEAD = "<p>Switch a part of a method off, and see what it was good for.</p>"
# Updates sent to a tab before it is drawn would be lost: the tab asks for its first view when it is seen. Not before
# the page is whole, though: gradio waits for each visible control to report, and one hidden by then never does.
WHOLE = """() => { window.whole = true; window.dispatchEvent(new Event("whole")); }"""
SEEN = """const seen = () => new IntersectionObserver((entries, observer) => {
  if (entries.some(entry => entry.isIntersecting)) { observer.disconnect(); trigger("seen"); }
}).observe(element);
if (window.whole) seen();
else window.addEventListener("whole", seen, {once: true});"""
STYLE = assets.text("take_apart/charts.css")


class TakeApart:
    """Builds the tab inside the current Blocks; it fills itself when it is first seen."""

    def __init__(self, service: DetectorService, start: Question):
        self.service, self.start = service, start
        self.sessions: Sessions[TakeApartSession] = Sessions(lambda key: TakeApartSession(service, start))
        self.controls, self.groups = dict[str, dict[str, Any]](), dict[str, gr.Column]()
        self.run_buttons = dict[str, gr.Button]()
        titles = [(Variant(method).title, method) for method in methods_with_components()]
        with gr.Row(elem_id="apart"):
            with gr.Column(elem_id="controls", min_width=270):
                self.head = gr.HTML(HEAD, js_on_load=SEEN, apply_default_css=False)
                self.method = gr.Radio(titles, value=start.method, label="Paper")
                sets, categories = list(data.sets()), data.categories(start.source)
                with gr.Row():
                    self.source = gr.Dropdown(sets, value=start.source, label="Set", min_width=110)
                    self.category = gr.Dropdown(categories, value=start.category, label="Category", min_width=110)
                for method in methods_with_components():
                    with gr.Column(visible=method == start.method) as self.groups[method]:
                        self.controls[method] = build_controls(method, start.variant)
                        self.run_buttons[method] = gr.Button("Run", variant="primary")
                with gr.Row(equal_height=True, elem_classes="state"):
                    self.status = gr.HTML(JobStatus(None, "").html(), apply_default_css=False)
                    self.button = gr.Button("Cancel", size="sm", scale=0, interactive=False, elem_classes="stop")
                self.curves = _drawing()
            with gr.Column(elem_id="results", min_width=300):
                self.panel = live_panel(TakeApartSession(service, start).panel(), service.send, tab="take-apart")
                self.distributions = _drawing()
                self.deltas = tables.table_component(tables.board([]))
                self.views = _drawing()
        self._wire()

    def _wire(self) -> None:
        place = [self.source, self.category]
        outputs = [self.status, self.button, self.panel, self.curves, self.distributions, self.deltas, self.views]
        choices, all_outputs = [self.method, *place], [*self.groups.values(), *outputs]
        for method, of_method in self.controls.items():
            inputs = [*place, *of_method.values()]
            run, look = self._asking(method, fit=True), self._asking(method, fit=False)
            click = functools.partial(self.run_buttons[method].click, trigger_mode="multiple")
            bind_endpoint(click, run, f"take_apart_{method}", inputs, outputs, **QUIET)
            changed = [control.input for control in of_method.values()]
            gr.on(changed, look, inputs, outputs, trigger_mode="always_last", **PRIVATE)
        bind_endpoint(self.category.input, self.choose, "take_apart_choose", choices, all_outputs, **QUIET)
        self.method.input(self.choose_paper, choices, [*place, *all_outputs], **PRIVATE)
        sets = self.source.input(categories_of, place, self.category, **PRIVATE)
        sets.then(self.choose, choices, all_outputs, **PRIVATE)
        add_endpoint(self.figures, "take_apart_figures")
        bind_endpoint(self.button.click, self.cancel, "take_apart_cancel", None, outputs, **QUIET)
        self.panel.picked(self.pick, None, [self.panel, self.views], trigger_mode="multiple", **PRIVATE)
        every_control = [control for of_method in self.controls.values() for control in of_method.values()]
        self.head.seen(self.open, None, [*choices, *every_control, *all_outputs], **PRIVATE)

    def load(self, blocks: gr.Blocks) -> None:
        """Wires the page's being whole, and the end of a visit."""
        blocks.load(None, None, None, js=WHOLE, **PRIVATE)
        blocks.unload(self.sessions.leave)

    def _asking(self, method: str, fit: bool) -> Handler:
        """A handler whose arguments are set, category and the method's own settings, by their names."""

        def ask(*arguments: Any) -> Steps:
            source, category, *values, request = arguments
            changes = dict(zip(self.controls[method], values, strict=True))
            yield from self._answer(self.sessions.of(request), (source, category), method, changes, fit)

        names, keyword = self.controls[method], inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, keyword) for name in ("source", "category", *names, "request")]
        ask.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        ask.__annotations__ = {"request": gr.Request}
        settings = "\n".join(f"    {name}: {description(field)}" for name, field in controls(method).items())
        ask.__doc__ = (
            f"Fits {Variant(method).title} as published and as altered, one seed each, and judges the test images with "
            f'both.\n\nArgs:\n    source: a set at hand, such as "samples"\n    category: one of its categories\n'
            f"{settings}\n\nReturns:\n    HTML of the status, label of the button, state of the panel, then HTML of "
            "curves, distributions, table and inner images."
        )
        return ask

    def open(self, request: gr.Request) -> Steps:
        """The question that the address names where it names this tab, else the first one."""
        query, question = dict(request.query_params), self.start
        try:
            question = question.with_query(query) if query.get("tab") == "take-apart" else question
        except LabError as error:
            warn_of_address(error)
        settings = question.variant.settings()
        yield {
            self.method: question.method,
            self.source: gr.update(choices=list(data.sets()), value=question.source),  # some were downloaded meanwhile
            self.category: gr.update(choices=data.categories(question.source), value=question.category),
            **self._visible_group(question.method),
            **{control: getattr(settings, name) for name, control in self.controls[question.method].items()},
        }
        yield from self._show(self.sessions.of(request), question, fit=False)

    def choose_paper(self, method: str, source: str, category: str, request: gr.Request) -> Steps:
        """Another paper: on the category where it was last taken apart, else where its ablation was measured."""
        session = self.sessions.of(request)
        last = session.last.get(method)
        place = (last.source, last.category) if last else studied_place(method)
        if place is None or place[1] not in data.categories(place[0]):
            place = source, category
        categories = {self.category: gr.update(choices=data.categories(place[0]), value=place[1])}
        yield {self.source: place[0], **categories, **self._visible_group(method)}
        yield from self.choose(method, *place, request)

    def choose(self, method: str, source: str, category: str, request: gr.Request) -> Steps:
        """Another paper or category: its controls, and what is fitted of it already.

        Args:
            method: "cdo", "smcc", "rb_ae" or "local_occ".
            source: a set at hand, such as "samples".
            category: one of its categories.

        Returns:
            Which controls are shown, then what `take_apart_cdo` returns.
        """
        session = self.sessions.of(request)
        changes = dict(session.last[method].variant.changes) if method in session.last else {}
        yield self._visible_group(method)
        yield from self._answer(session, (source, category), method, changes, fit=False)

    def cancel(self, request: gr.Request) -> Updates:
        """Ends what runs for this visitor; what was finished stays."""
        self.sessions.of(request).runner.cancel()
        return {self.button: gr.update(interactive=False)}

    def figures(self, request: gr.Request) -> list[dict[str, Any]]:
        """What the last run changed.

        Returns:
            A list of objects, one a figure: figure; as_published, altered and difference (published minus altered;
            null where undefined); paper: its difference as text, or "larger", "smaller", null where it has none.
        """
        names = ("figure", "as_published", "altered", "difference", "paper")
        return [
            dict(zip(names, (*row[:3], row.difference, row.claim and format_claim(row.claim)), strict=True))
            for row in self.sessions.of(request).deltas()
        ]

    def pick(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Another image was chosen in the panel."""
        session = self.sessions.of(request)
        with errors_shown():
            session.comparison.pick(str(event_value(event, "name")))
            return {self.panel: session.panel(), self.views: _inner_views(session)}

    def _answer(
        self, session: TakeApartSession, place: tuple[str, str], method: str, changes: Mapping[str, Any], fit: bool
    ) -> Steps:
        view = session.comparison.view
        with errors_shown():
            question = Question(*place, Variant.of(method, changes), view.image if place == view.place else "")
        yield from self._show(session, question, fit)

    def _visible_group(self, method: str) -> Updates:
        return {group: gr.update(visible=of_method == method) for of_method, group in self.groups.items()}

    def _show(self, session: TakeApartSession, question: Question, fit: bool) -> Steps:
        """Only what changed: the rest of the page is not sent again."""
        session.last[question.method] = question
        sent: Updates = {}
        for changed in session.comparison.run(question.view, fit):
            updates: Updates = {self.button: gr.update(interactive=session.runner.running)}
            if STATUS in changed:
                updates[self.status] = session.status().html()
            drawn: Updates = {self.curves: drawings.curves(session.curves())}
            if PANEL in changed:
                updates[self.panel] = session.panel()
                drawn[self.distributions] = drawings.distributions(session.pixels())
                drawn[self.deltas] = self._results(session)
                drawn[self.views] = _inner_views(session)
            updates |= {part: html for part, html in drawn.items() if sent.get(part) != html}
            sent |= drawn
            yield updates

    def _results(self, session: TakeApartSession) -> str:
        view = session.comparison.view
        altered = view.variants[-1].changes_in_words
        facts = (
            ("set", f"{view.source}, {view.category}"),
            ("seed", str(self.service.seed)),
            ("settings", f"preset live; altered: {altered}" if altered else "preset live"),
        )
        return results_table(session.deltas(), [AS_PUBLISHED, altered], facts, view.methods[0])


def _drawing() -> gr.HTML:
    return gr.HTML("", css_template=STYLE, apply_default_css=False)


def _inner_views(session: TakeApartSession) -> str:
    items, at = session.comparison.shown.items, session.comparison.shown.at
    return drawings.inner_views(session.views(), phrases.readable_name(items[at].name)) if items else ""


def categories_of(source: str, category: str) -> dict[str, Any]:
    """Those at hand of a set; the one chosen stays where the set has it: a menu may have been opened and left."""
    with errors_shown():
        categories = data.categories(source)
    return gr.update(choices=categories, value=category if category in categories else categories[0])
