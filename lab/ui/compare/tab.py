"""The tab *Compare*: choose a set, a category, methods and an image; see their maps and numbers side by side."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from typing import Any

import gradio as gr

from ...errors import LabError
from ...methods import METHODS
from ..api import PRIVATE, QUIET, Updates, add_endpoint, bind_endpoint, errors_shown
from ..comparison import PANEL, Comparison
from ..detector_service import DetectorService
from ..jobs import STATUS, JobRunner
from ..panel.component import live_panel
from ..phrases import error_message
from ..session import Sessions
from ..variant import Variant
from ..view import MAX_METHODS, View
from . import downloadable
from .downloadable import Downloadable
from .offer_box import OfferBox
from .session import CompareSession


class Compare:
    """Builds the tab inside the current Blocks; `load` fills the first view."""

    def __init__(self, service: DetectorService, start: View):
        self.service, self.start = service, start
        self.sessions: Sessions[CompareSession] = Sessions(lambda key: CompareSession(service, start))
        self.default_backbone = service.backbone or "embedded"
        first = Comparison(service, start, JobRunner(private=False))
        with gr.Row():
            self.source = gr.Dropdown(downloadable.sets(), value=start.source, label="Set", min_width=120)
            self.category = gr.Dropdown(
                downloadable.categories(start.source), value=start.category, label="Category", min_width=140
            )
            self.methods = gr.Dropdown(
                [(method.title, key) for key, method in METHODS.items()],
                value=start.methods,
                multiselect=True,
                max_choices=MAX_METHODS,
                label="Methods, two to four",
                scale=3,
                min_width=260,
            )
            self.backbone = gr.Dropdown(
                downloadable.backbones(self.default_backbone),
                value=self.default_backbone,
                label="Backbone",
                min_width=160,
            )
        self.offer_box = OfferBox()
        with gr.Row(equal_height=True, elem_id="state"):
            self.status = gr.HTML(first.runner.status.html(), apply_default_css=False)
            self.button = gr.Button("Cancel", size="sm", scale=0, interactive=False, elem_id="stop")
        self.panel = live_panel(first.panel(start.address), service.send, tab="compare")
        self.choices: list[Any] = [self.source, self.category, self.methods, self.backbone]
        self._wire([self.status, self.button, self.panel, *self.offer_box.components])

    def _wire(self, outputs: list[Any]) -> None:
        quiet, private = (options | {"trigger_mode": "multiple"} for options in (QUIET, PRIVATE))
        bind_endpoint(self.source.input, choose, "categories", self.source, self.category, **quiet).then(
            self.run, self.choices, outputs, **private
        )
        bind_endpoint(self.methods.input, self.run, "compare", self.choices, outputs, **quiet)
        for choice in (self.category, self.backbone):
            choice.input(self.run, self.choices, outputs, **private)
        self.button.click(self.press, self.choices, outputs, **private)
        self.panel.picked(self.pick, None, self.panel, **private)
        add_endpoint(self.scores, "compare_scores")
        add_endpoint(self.cancel, "compare_cancel")
        self.offer_box.take.click(self.download, None, self.offer_box.components, **private).then(
            self.show_download, self.choices, [*self.choices, *outputs], **private
        )
        self.offer_box.cancel.click(self.cancel_download, None, None, **private)

    def load(self, blocks: gr.Blocks) -> None:
        """Wires the first view and the end of a visit."""
        blocks.load(self.open, None, [*self.choices, self.status, self.button, self.panel], **PRIVATE)
        blocks.unload(self.sessions.leave)

    def warm(self) -> None:
        """Makes the first view's detectors and findings before anyone asks."""
        comparison = Comparison(self.service, self.start, JobRunner(private=False))
        job = comparison.run(self.start)
        threading.Thread(target=lambda: [None for _ in job], daemon=True, name="warm").start()

    # --- what the page asks -------------------------------------------------------------------------------------------

    def open(self, request: gr.Request) -> Iterator[Updates]:
        """The view that the address names, else the first one."""
        query, view = dict(request.query_params), self.start
        try:
            view = view.with_query(query if query.get("tab", "compare") == "compare" else {})
        except LabError as error:
            gr.Warning(f"{error_message(error)} This is the first view instead.")
        yield self._menus(view) | {self.methods: view.methods}
        yield from self._show(view, self.sessions.of(request))

    def run(
        self, source: str, category: str, methods: list[str], backbone: str, request: gr.Request
    ) -> Iterator[Updates]:
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
        session = self.sessions.of(request)
        tag = "" if backbone == self.default_backbone else backbone
        view = self._view(source, category, methods, tag, session.comparison.view)
        item = downloadable.missing(view)
        if item and not (yield from self._offer(item, session)):
            return
        session.offer.withdraw()
        yield self.offer_box.hidden()
        yield from self._show(view, session)

    def press(
        self, source: str, category: str, methods: list[str], backbone: str, request: gr.Request
    ) -> Iterator[Updates]:
        """The one button: cancels what runs, else takes up what was left undone."""
        runner = self.sessions.of(request).runner
        if runner.running:
            runner.cancel()
            yield {self.button: gr.update(interactive=False)}
        else:
            yield from self.run(source, category, methods, backbone, request)

    def scores(self, source: str, category: str, methods: list[str], request: gr.Request) -> list[dict[str, Any]]:
        """What up to four methods say of a category's test images; they are fitted first where they are not yet.

        Args:
            source: a set at hand, such as "samples".
            category: one of its `categories`.
            methods: their names, such as "patchcore".

        Returns:
            A list of objects, one a method: method; look and bad (thresholds, σ); auroc with its 95 % interval; margin
            and overlap of the images' scores; images: a list of objects with name, bad, score (σ), verdict.
        """
        session = self.sessions.of(request)
        comparison, runner = session.comparison, session.runner
        view = self._view(source, category, methods, "", comparison.view)
        with errors_shown():
            view.checked()
        for _ in comparison.run(view):
            pass
        scores = [of_variant for variant in view.variants if (of_variant := comparison.scores(variant))]
        if comparison.shown.place != view.place or len(scores) < len(view.variants):
            raise gr.Error(runner.status.message)
        return scores

    def cancel(self, request: gr.Request) -> str:
        """Ends what runs for this visitor.

        Returns:
            What was going on, in words.
        """
        runner = self.sessions.of(request).runner
        runner.cancel()
        return runner.status.message

    def pick(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Another image was chosen in the panel."""
        comparison = self.sessions.of(request).comparison
        with errors_shown():
            comparison.pick(str(event._data["name"]))
        return {self.panel: comparison.panel(comparison.view.address)}

    def download(self, request: gr.Request) -> Iterator[Updates]:
        """Downloads what is offered."""
        session = self.sessions.of(request)
        yield self._offered(session)
        for _ in session.offer.take():
            yield self._offered(session)

    def show_download(
        self, source: str, category: str, methods: list[str], backbone: str, request: gr.Request
    ) -> Iterator[Updates]:
        """Shows the choices once what was missing has been downloaded."""
        if self.sessions.of(request).offer.item:  # it failed, and its status says why
            yield {self.status: gr.skip()}  # gradio empties every part where nothing at all is yielded
        else:
            yield self._menus(View(source, category, ()), backbone)
            yield from self.run(source, category, methods, backbone, request)

    def cancel_download(self, request: gr.Request) -> None:
        self.sessions.of(request).offer.runner.cancel()

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _view(self, source: str, category: str, methods: list[str] | None, backbone: str, before: View) -> View:
        """The view of these choices, on the image shown before where that is of the same category."""
        with errors_shown():
            variants = tuple(map(Variant.parse, methods or ()))
            if backbone:
                variants = tuple(variant.on_backbone(backbone) for variant in variants)
        return View(source, category, variants, before.image if (source, category) == before.place else "")

    def _show(self, view: View, session: CompareSession) -> Iterator[Updates]:
        """Only what changed: the rest of the page is not sent again."""
        comparison, runner = session.comparison, session.runner
        for changed in comparison.run(view):
            label = button_label(runner)
            updates: Updates = {self.button: gr.update(value=label or "Cancel", interactive=bool(label))}
            if STATUS in changed:
                updates[self.status] = runner.status.html()
            if PANEL in changed:
                updates[self.panel] = comparison.panel(comparison.view.address)
            yield updates

    def _offer(self, item: Downloadable, session: CompareSession) -> Generator[Updates, None, bool]:
        """Offers it; returns whether it is here after all."""
        for _ in session.offer.make(item):
            yield self._offered(session)
        return session.offer.arrived is item

    def _offered(self, session: CompareSession) -> Updates:
        return self.offer_box.updates(session.offer, session.comparison.view.place)

    def _menus(self, view: View, backbone: str = "") -> Updates:
        """The menus, as they are by now."""
        return {
            self.source: gr.update(choices=downloadable.sets(), value=view.source),
            self.category: gr.update(choices=downloadable.categories(view.source), value=view.category),
            self.backbone: gr.update(
                choices=downloadable.backbones(self.default_backbone),
                value=backbone or view.backbone or self.default_backbone,
            ),
        }


def button_label(runner: JobRunner) -> str:
    """What the one button beside the status line does now; "" nothing."""
    return "Cancel" if runner.running else "Try again" if runner.unfinished else ""


def choose(source: str) -> dict[str, Any]:
    """The categories of a set, also those that can be downloaded.

    Args:
        source: a set, such as "samples".

    Returns:
        The choices of "Category", and the first of them.
    """
    categories = downloadable.categories(source)
    return gr.update(choices=categories, value=categories[0][1] if categories else None)
