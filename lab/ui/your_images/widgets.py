"""The widgets of the tab *Your images*, each created by the part of the tab that it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from ...inspection.synthetic_defects import DEFECT_TYPES
from .. import assets
from ..html.render import render
from ..panel.component import live_panel
from . import views
from .limits import LIMITS
from .roles import GOOD, ROLES, Role
from .session import QUICKEST, YourImagesSession

Updates = dict[Any, Any]
"""component -> its new value"""

FILE_SWEEP = (300, 2 * 3600 - 600)
"""Seconds: how often the web server looks through its files, and how old one is that it deletes, whether or not its
visit is over. RETENTION says what follows from it."""
RETENTION = (
    "They stay in memory and in files of this visit, and are deleted with all that was made of them when you close or "
    "reload the page. What the browser sent, and the copies to take along, are cleared away within two hours at the "
    "latest."
)
DOWNLOADS = {"detector": "Detector (safetensors)", "table": "Table (CSV)", "report": "Report (HTML)"}


class ImageControls:
    """Steps one and two: drop zones, camera, and the images given."""

    def __init__(self) -> None:
        with gr.Row():
            self.drop_zones = {role: _drop_zone(role) for role in ROLES.values()}
        with gr.Accordion("Take images with the camera", open=False), gr.Row():
            roles = [(role.label, role.name) for role in ROLES.values()]
            self.camera_role = gr.Radio(roles, value=GOOD.name, label="Taken as", min_width=160)
            # image_mode None: as it came, without another copy
            self.camera = gr.Image(
                sources=["webcam"], type="filepath", format="png", image_mode=None, label="Camera", height=260
            )
        self.images = gr.HTML("", js_on_load=assets.text("your_images/image_buttons.js"), apply_default_css=False)


class CloseUpControls:
    """*Why?* and *Try a defect*."""

    def __init__(self) -> None:
        _section_head(
            "Why?",
            "Click a spot of the image: the nearest normal patches, from which image, how far, and how unusual that "
            "is.",
        )
        with gr.Row(elem_classes="fields"):
            self.x = gr.Number(0.5, label="Spot, from the left", minimum=0, maximum=1, step=0.01, min_width=90)
            self.y = gr.Number(0.5, label="from the top, 0 to 1", minimum=0, maximum=1, step=0.01, min_width=90)
            self.explain = gr.Button("Why this spot?", size="sm", min_width=120, scale=0)
        self.explanation = gr.HTML("", js_on_load=assets.text("your_images/spot_picker.js"), apply_default_css=False)
        _section_head(
            "Try a defect",
            "A growing mark is put on the spot of the image shown if it is a good one, else of your first good one: "
            "from what size on is it found?",
        )
        with gr.Row(elem_classes="fields"):
            self.defect_type = gr.Radio(list(DEFECT_TYPES), value=DEFECT_TYPES[0], label="Mark", min_width=200)
            self.try_defect = gr.Button("Try it", size="sm", min_width=120, scale=0)
        self.trials = gr.HTML("", apply_default_css=False)


class DownloadControls:
    """A button a file: it has the file written, which the hidden link beside it then downloads."""

    def __init__(self) -> None:
        _section_head(
            "Take along", "The detector runs from the command line and from Python, and gives the same scores there."
        )
        self.buttons = {name: gr.Button(label, size="sm") for name, label in DOWNLOADS.items()}
        self.links = {
            name: gr.DownloadButton(label, elem_classes="hidden-link", elem_id=f"yours-{name}")
            for name, label in DOWNLOADS.items()
        }


class AnswerControls:
    """The panel, and what is done with the image shown. send: what the panel fetches by itself."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        self.method = gr.Radio([], label="Method shown", visible=False)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                self.panel = live_panel({}, send, tab="yours")
            with gr.Column(scale=1, min_width=320):
                with gr.Row():
                    self.false_alarm = gr.Button("A false alarm: learn it as good", size="sm", min_width=220)
                    self.undo = gr.Button("Undo", size="sm", interactive=False, min_width=70, scale=0)
                self.close_up = CloseUpControls()
                self.downloads = DownloadControls()
        self.ranking = gr.HTML("", apply_default_css=False)


class Widgets:
    """All of the tab, built inside the current Blocks."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        with gr.Column(elem_id="yours"):
            gr.HTML(render("your_images/intro.html", limits=LIMITS, retention=RETENTION), apply_default_css=False)
            self.image_controls = ImageControls()
            with gr.Row(equal_height=True):
                self.method = gr.Dropdown(views.method_choices(None), value=QUICKEST, label="3 · Method", min_width=240)
                self.go = gr.Button(
                    "Get answers", variant="primary", interactive=False, min_width=200, scale=0, elem_classes="go"
                )
            with gr.Row(elem_id="yours-state"):
                self.status = gr.HTML(
                    '<p class="quiet">Nothing here yet: drop good images to begin.</p>', apply_default_css=False
                )
                self.cancel = gr.Button("Cancel", size="sm", scale=0, visible=False, min_width=90)
            with gr.Column(visible=False, elem_classes="answers") as self.answers_column:
                self.answers = AnswerControls(send)
        close_up, answers = self.answers.close_up, self.answers
        self.job_outputs: list[Any] = [self.status, self.cancel]
        self.outputs: list[Any] = [
            *(self.status, self.cancel, self.image_controls.images, self.method, self.go, self.answers_column),
            *(answers.panel, answers.method, answers.ranking, answers.undo, close_up.x, close_up.y),
        ]

    def job_updates(self, session: YourImagesSession) -> Updates:
        """How far the job is."""
        running = session.runner.running
        return {self.status: views.status(session), self.cancel: gr.update(visible=running, interactive=running)}

    def updates(self, session: YourImagesSession) -> Updates:
        """Everything, as the visit stands."""
        answers, fitted = self.answers, views.fitted_choices(session)
        shown = gr.update(choices=fitted, value=session.answers.method or None, visible=len(fitted) > 1)
        return {
            **self.job_updates(session),
            self.image_controls.images: views.images(session),
            self.method: gr.update(choices=views.method_choices(session)),
            self.go: gr.update(interactive=session.is_ready()),
            self.answers_column: gr.update(visible=bool(fitted)),
            answers.panel: views.panel(session) or gr.skip(),
            answers.method: shown,
            answers.ranking: views.ranking(session),
            answers.undo: gr.update(interactive=bool(session.answers.undo_steps)),
            **self.spot_updates(session),
        }

    def spot_updates(self, session: YourImagesSession) -> Updates:
        """The spot that a closer look begins with."""
        close_up = self.answers.close_up
        return dict(zip((close_up.x, close_up.y), views.spot(session), strict=True))


def _drop_zone(role: Role) -> gr.File:
    return gr.File(label=role.drop_zone, file_count="multiple", file_types=["image", ".zip"], height=132, min_width=220)


def _section_head(title: str, text: str) -> None:
    gr.HTML(render("your_images/section_head.html", title=title, text=text), apply_default_css=False)
