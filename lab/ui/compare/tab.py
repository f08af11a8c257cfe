"""The tab *Compare*: choose a set, a category, methods and an image; see their maps and numbers side by side."""

import threading
from typing import Any

import gradio as gr

from ...errors import LabError
from ...hub import downloads
from ...methods import METHODS
from .. import variant_address
from ..api import (
    PRIVATE,
    QUIET,
    Steps,
    Updates,
    add_endpoint,
    bind_endpoint,
    errors_shown,
    event_value,
    page_error,
    warn_of_address,
)
from ..comparison import PANEL, Comparison
from ..detector_service import DetectorService
from ..html.render import render
from ..jobs import STATUS, JobRunner
from ..panel.component import live_panel
from ..sessions import Sessions
from ..view import MAX_METHODS, View
from . import downloadable
from .downloadable import DownloadOffer


class CompareSession:
    """One visitor's comparison with its runner, and the offer to download, which has one of its own."""

    def __init__(self, service: DetectorService, start: View):
        self.runner, self.offer = JobRunner(private=False), DownloadOffer()
        self.comparison = Comparison(service, start, self.runner)

    def close(self) -> None:
        self.runner.close()
        self.offer.runner.close()


class Compare:
    """Builds the tab inside the current Blocks; `load` fills the first view."""

    def __init__(self, service: DetectorService, start: View):
        self.start = start
        self.sessions: Sessions[CompareSession] = Sessions(lambda key: CompareSession(service, start))
        self.default_backbone = service.backbone or "embedded"
        self.first = Comparison(service, start, JobRunner(private=False))
        methods, sets = [(method.title, key) for key, method in METHODS.items()], downloadable.sets()
        categories, backbones = downloadable.categories(start.source), downloadable.backbones(self.default_backbone)
        several: dict[str, Any] = {"multiselect": True, "max_choices": MAX_METHODS, "label": "Methods, two to four"}
        with gr.Row():
            self.source = gr.Dropdown(sets, value=start.source, label="Set", min_width=120)
            self.category = gr.Dropdown(categories, value=start.category, label="Category", min_width=140)
            self.methods = gr.Dropdown(methods, value=start.methods, scale=3, min_width=260, **several)
            self.backbone = gr.Dropdown(backbones, value=self.default_backbone, label="Backbone", min_width=160)
        with gr.Column(visible=False, elem_id="offer") as self.offer:  # what was chosen and is not here
            self.offer_text = gr.HTML("", apply_default_css=False)
            with gr.Row():
                self.take = gr.Button("Download", size="sm", scale=0, min_width=200)
                self.stop = gr.Button("Cancel", size="sm", scale=0, min_width=90)
        with gr.Row(equal_height=True, elem_id="state"):
            self.status = gr.HTML(self.first.runner.status.html(), apply_default_css=False)
            self.button = gr.Button("Cancel", size="sm", scale=0, interactive=False, elem_id="stop")
        self.panel = live_panel(self.first.panel(start.address), service.send, tab="compare")
        self.choices: list[Any] = [self.source, self.category, self.methods, self.backbone]
        self._wire()

    def _wire(self) -> None:
        offer = [self.offer, self.offer_text, self.take, self.stop]
        outputs = [self.status, self.button, self.panel, *offer]
        quiet, private = (options | {"trigger_mode": "multiple"} for options in (QUIET, PRIVATE))
        place = [self.source, self.category]
        sets = bind_endpoint(self.source.input, choose, "categories", place, self.category, **quiet)
        sets.then(self.run, self.choices, outputs, **private)
        bind_endpoint(self.methods.input, self.run, "compare", self.choices, outputs, **quiet)
        for choice in (self.category, self.backbone):
            choice.input(self.run, self.choices, outputs, **private)
        self.button.click(self.press, self.choices, outputs, **private)
        self.panel.picked(self.pick, None, self.panel, **private)
        add_endpoint(self.scores, "compare_scores")
        add_endpoint(self.cancel, "compare_cancel")
        downloaded = self.take.click(self.download, None, offer, **private)
        downloaded.then(self.show_fetched, self.choices, [*self.choices, *outputs], **private)
        self.stop.click(self.cancel_download, None, None, **private)

    def load(self, blocks: gr.Blocks) -> None:
        """Wires the first view and the end of a visit."""
        blocks.load(self.open, None, [*self.choices, self.status, self.button, self.panel], **PRIVATE)
        blocks.unload(self.sessions.leave)

    def warm(self) -> None:
        """Makes the first view's detectors and findings before anyone asks."""
        job = self.first.run(self.start)
        threading.Thread(target=lambda: [None for _ in job], daemon=True, name="warm").start()

    def open(self, request: gr.Request) -> Steps:
        """The view that the address names, else the first one."""
        query, view = dict(request.query_params), self.start
        try:
            view = view.with_query(query if query.get("tab", "compare") == "compare" else {})
        except LabError as error:
            warn_of_address(error)
        yield self._menus(view) | {self.methods: view.methods}
        yield from self._show(view, self.sessions.of(request))

    def run(self, source: str, category: str, methods: list[str], backbone: str, request: gr.Request) -> Steps:
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
        if item := downloadable.missing(view):
            for _ in session.offer.make(item):
                yield self._offered(session)
            if session.offer.arrived is not item:
                return
        session.offer.withdraw()
        yield {self.offer: gr.update(visible=False)}
        comparison, runner = session.comparison, session.runner
        if (
            view == comparison.view
            and view.place == comparison.shown.place
            and not runner.unfinished
            and runner.status.message
        ):
            yield self._updates(session, {STATUS, PANEL})  # a menu was opened and left
        else:
            yield from self._show(view, session)

    def press(self, source: str, category: str, methods: list[str], backbone: str, request: gr.Request) -> Steps:
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
            raise page_error(runner.status.message)
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
            comparison.pick(str(event_value(event, "name")))
        return {self.panel: comparison.panel(comparison.view.address)}

    def download(self, request: gr.Request) -> Steps:
        """Downloads what is offered."""
        session = self.sessions.of(request)
        yield self._offered(session)
        for _ in session.offer.take():
            yield self._offered(session)

    def show_fetched(self, source: str, category: str, methods: list[str], backbone: str, request: gr.Request) -> Steps:
        """Shows the choices once what was missing has been downloaded."""
        if self.sessions.of(request).offer.item:  # it failed, and its status says why
            yield {self.status: gr.skip()}  # gradio empties every part where nothing at all is yielded
        else:
            yield self._menus(View(source, category, ()), backbone)
            yield from self.run(source, category, methods, backbone, request)

    def cancel_download(self, request: gr.Request) -> None:
        self.sessions.of(request).offer.runner.cancel()

    def _view(self, source: str, category: str, methods: list[str] | None, backbone: str, before: View) -> View:
        """The view of these choices, on the image shown before where that is of the same category."""
        with errors_shown():
            variants = tuple(map(variant_address.from_text, methods or ()))
            if backbone:
                variants = tuple(variant.on_backbone(backbone) for variant in variants)
        return View(source, category, variants, before.image if (source, category) == before.place else "")

    def _show(self, view: View, session: CompareSession) -> Steps:
        """Only what changed: the rest of the page is not sent again."""
        for changed in session.comparison.run(view):
            yield self._updates(session, changed)

    def _updates(self, session: CompareSession, changed: set[str]) -> Updates:
        comparison, runner = session.comparison, session.runner
        label = button_label(runner)
        updates: Updates = {self.button: gr.update(value=label or "Cancel", interactive=bool(label))}
        if STATUS in changed:
            updates[self.status] = runner.status.html()
        if PANEL in changed:
            updates[self.panel] = comparison.panel(comparison.view.address)
        return updates

    def _offered(self, session: CompareSession) -> Updates:
        """What is offered to download, beside what is shown meanwhile."""
        item, runner = session.offer.item, session.offer.runner
        if not item:
            return {self.offer: gr.update(visible=False)}
        running, status, text = runner.running, runner.status, item.offer(session.comparison.view.place)
        label = f"Download {downloads.megabytes(item.size)}" if item.origin else "Ask again"
        return {
            self.offer: gr.update(visible=True),
            self.offer_text: render("compare/offer.html", offer=text, status=status.message and status.html()),
            self.take: gr.update(value=label, interactive=not running, visible=bool(item.origin) or not running),
            self.stop: gr.update(visible=running),
        }

    def _menus(self, view: View, backbone: str = "") -> Updates:
        """The menus, as they are by now."""
        backbones, chosen = downloadable.backbones(self.default_backbone), backbone or view.backbone
        return {
            self.source: gr.update(choices=downloadable.sets(), value=view.source),
            self.category: gr.update(choices=downloadable.categories(view.source), value=view.category),
            self.backbone: gr.update(choices=backbones, value=chosen or self.default_backbone),
        }


def button_label(runner: JobRunner) -> str:
    """What the one button beside the status line does now; "" nothing."""
    return "Cancel" if runner.running else "Try again" if runner.unfinished else ""


def choose(source: str, category: str) -> dict[str, Any]:
    """The categories of a set, also those that can be downloaded.

    Args:
        source: a set, such as "samples".
        category: the one chosen so far.

    Returns:
        The choices of "Category", and the one chosen so far, or the first where the set has none of that name.
    """
    categories = downloadable.categories(source)
    values = [value for _, value in categories]
    return gr.update(choices=categories, value=category if category in values else values[0] if values else None)
