"""The tab *Your images*: good ones in, bad ones if there are any, answers out. Three steps on one page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ...inspection.synthetic_defects import DEFECT_TYPES
from .. import assets
from ..api import add_endpoint, bind_endpoint
from ..detector_service import DetectorService
from ..panel.component import live_panel
from . import views
from .answers import QUICK
from .handlers import Asked
from .uploads import LIMITS

SWEPT = (300, 2 * 3600 - 600)
"""Seconds: how often the web server's files are looked through, and how old one is cleared away, whose visit has left
it or not. KEPT says what follows from it."""
KEPT = (
    "They stay in memory and in files of this visit, and are deleted with all that was made of them when you close or "
    "reload the page. What the browser sent, and the copies to take along, are cleared away within two hours at the "
    "latest."
)
INTRO = (
    "<h2>Three steps: good images in, bad ones if you have any, answers out</h2>"
    '<p class="quiet">20 images of good parts are a start. Nobody marks a pixel. '
    f"{LIMITS} {KEPT}</p>"
)


def style() -> str:
    """The style sheet, for the page's own."""
    return assets.text("your_images/your_images.css")


class Yours(Asked):
    """Builds the tab inside the current Blocks; `load` wires the end of a visit."""

    def __init__(self, service: DetectorService):
        super().__init__(service)
        with gr.Column(elem_id="yours"):
            gr.HTML(INTRO, apply_default_css=False)
            with gr.Row():
                drops = {
                    role: gr.File(label=label, file_count="multiple", file_types=["image", ".zip"], height=132,
                                  min_width=220)
                    for role, label in (("good", "1 · Good images"), ("bad", "2 · Bad images, if you have any"),
                                        ("new", "and images to judge"))
                }  # fmt: skip
            with gr.Accordion("Take images with the camera", open=False), gr.Row():
                self.role = gr.Radio(
                    [(head, role) for role, head in views.HEADS.items()], value="good", label="Taken as", min_width=160
                )
                # image_mode None: as it came, without another copy
                self.camera = gr.Image(sources=["webcam"], type="filepath", format="png", image_mode=None,
                                       label="Camera", height=260)  # fmt: skip
            self.given = gr.HTML("", js_on_load=assets.text("your_images/acts.js"), apply_default_css=False)
            with gr.Row(equal_height=True):
                self.method = gr.Dropdown(self._choices(None), value=QUICK, label="3 · Method", min_width=240)
                self.go = gr.Button("Get answers", variant="primary", interactive=False, min_width=200, scale=0,
                                    elem_classes="go")  # fmt: skip
            with gr.Row(elem_id="yours-state"):
                self.status = gr.HTML('<p class="quiet">Nothing here yet: drop good images to begin.</p>',
                                      apply_default_css=False)  # fmt: skip
                self.cancel = gr.Button("Cancel", size="sm", scale=0, visible=False, min_width=90)
            with gr.Column(visible=False, elem_classes="answers") as self.answers:
                self._build_answers()
        self.parts = [
            self.given, self.method, self.go, self.answers, self.panel, self.chosen, self.tried, self.undo, self.x,
            self.y, *self.files,
        ]  # fmt: skip
        self.told: list[Any] = [self.status, self.cancel, *self.parts]
        self._wire(drops)

    def _build_answers(self) -> None:
        self.chosen = gr.Radio([], label="Method shown", visible=False)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.panel = live_panel({}, self.send, tab="yours")
            with gr.Column(scale=1, min_width=320):
                self._build_closer()
        self.tried = gr.HTML("", apply_default_css=False)

    def _build_closer(self) -> None:
        """What is done with the image shown, and what is taken along."""
        with gr.Row():
            self.alarm = gr.Button("A false alarm: learn it as good", size="sm", min_width=220)
            self.undo = gr.Button("Undo", size="sm", interactive=False, min_width=70, scale=0)
        _say("Why?", "Click a spot of the image: the nearest normal patches, from which image, how far, and how "
             "unusual that is.")  # fmt: skip
        with gr.Row(elem_classes="asking"):
            self.x = gr.Number(0.5, label="Spot, from the left", minimum=0, maximum=1, step=0.01, min_width=90)
            self.y = gr.Number(0.5, label="from the top, 0 to 1", minimum=0, maximum=1, step=0.01, min_width=90)
            self.ask = gr.Button("Why this spot?", size="sm", min_width=120, scale=0)
        self.why = gr.HTML("", js_on_load=assets.text("your_images/spots.js"), apply_default_css=False)
        _say("Try a defect", "A growing mark is put on the spot of the image shown if it is a good one, else of your "
             "first good one: from what size on is it found?")  # fmt: skip
        with gr.Row(elem_classes="asking"):
            self.kind = gr.Radio(list(DEFECT_TYPES), value=DEFECT_TYPES[0], label="Mark", min_width=200)
            self.try_it = gr.Button("Try it", size="sm", min_width=120, scale=0)
        self.sizes = gr.HTML("", apply_default_css=False)
        _say("Take along", "The detector runs from the command line and from Python, and gives the same scores there.")
        self.files = [
            gr.DownloadButton(words, size="sm") for words in ("Detector (safetensors)", "Table (CSV)", "Report (HTML)")
        ]

    def _wire(self, drops: dict[str, gr.File]) -> None:
        still: dict[str, Any] = dict(show_progress="hidden", trigger_mode="multiple", concurrency_limit=None)
        for role, drop in drops.items():
            take = self._taker(role)
            bind_endpoint(drop.upload, take, f"yours_{role}", drop, [drop, *self.told], **still).then(
                self.check, None, self.told, api_visibility="private", **still
            )
        snapped = self.camera.input(
            self.snap, [self.camera, self.role], [self.camera, *self.told], api_visibility="private", **still
        )
        bind_endpoint(snapped.then, self.check, "yours_check", None, self.told, **still)
        self.given.acted(self.act, None, self.told, api_visibility="private", **still).then(
            self.check, None, self.told, api_visibility="private", **still
        )
        bind_endpoint(self.go.click, self.answer, "yours_answer", self.method, self.told, **still)
        bind_endpoint(self.cancel.click, self.stop, "yours_cancel", None, self.cancel, **still)
        bind_endpoint(self.chosen.input, self.choose, "yours_show", self.chosen, self.told, **still)
        self.panel.picked(self.pick, None, [self.panel, self.x, self.y], api_visibility="private", **still)
        self.alarm.click(self.false_alarm, None, self.told, api_visibility="private", **still)
        bind_endpoint(self.undo.click, self.take_back, "yours_undo", None, self.told, **still)
        seen = [self.status, self.cancel, self.why]
        bind_endpoint(self.ask.click, self.explain, "yours_why", [self.x, self.y], seen, **still)
        self.why.spotted(self.spot, None, [self.x, self.y], api_visibility="private", **still).then(
            self.explain, [self.x, self.y], seen, api_visibility="private", **still
        )
        tried = [self.status, self.cancel, self.sizes]
        bind_endpoint(self.try_it.click, self.try_mark, "yours_try", [self.kind, self.x, self.y], tried, **still)
        for endpoint, name in (
            (self.leave_out, "yours_leave_out"), (self.show_image, "yours_image"),
            (self.learn_as_good, "yours_false_alarm"), (self.scores, "yours_scores"),
        ):  # fmt: skip
            add_endpoint(endpoint, name)

    def load(self, blocks: gr.Blocks) -> None:
        blocks.unload(self.leave)


def _say(head: str, words: str) -> None:
    gr.HTML(f'<h3>{head}</h3><p class="quiet">{words}</p>', apply_default_css=False)
