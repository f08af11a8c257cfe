"""The widgets of the tab *Your images*, each created by the part that it belongs to, and what they show of a visit."""

import functools
import math
from collections.abc import Callable
from typing import Any

import gradio as gr

from ...calibration import MIN_IMAGES
from ...checks import data_check
from ...inspection.synthetic_defects import DEFECT_TYPES
from ...methods import METHODS
from .. import assets
from ..html import image_data
from ..html.render import render
from ..panel import payload
from ..panel.component import live_panel
from ..phrases import duration
from . import report
from .ignored_boxes import mask_of
from .limits import LIMITS
from .session import YourImagesSession
from .uploads import BAD, GOOD, ROLES

Updates = dict[Any, Any]  # component -> its new value
FILE_SWEEP = (300, 2 * 3600 - 600)
"""Seconds: how often the web server looks through its files, and how old one is that it deletes, whether or not its
visit is over. RETENTION says what follows from it."""
RETENTION = (
    "They stay in memory and in files of this visit, and are deleted with all that was made of them when you close or "
    "reload the page. What the browser sent, and the copies to take along, are cleared away within two hours at the "
    "latest."
)
_html = functools.partial(gr.HTML, apply_default_css=False)
AUTO, ALL_METHODS = "auto", "all"
BUDGETS = {ALL_METHODS: 60.0, f"{ALL_METHODS}-300": 300.0, f"{ALL_METHODS}-inf": math.inf}  # seconds, to try methods in
ENOUGH_BAD = 10  # bad images from which on misses are told apart from chance
DOWNLOADS = {"detector": "Detector (safetensors)", "table": "Table (CSV)", "report": "Report (HTML)"}


class ImageControls:
    """Steps one and two: drop zones, camera, and the images given."""

    def __init__(self) -> None:
        zone: dict[str, Any] = dict(file_count="multiple", file_types=["image", ".zip"], height=132, min_width=220)
        self.samples = gr.Button("Try it with images of circuit boards, drawn by the lab", size="sm", scale=0)
        with gr.Row():
            self.drop_zones = {role: gr.File(label=role.drop_zone, **zone) for role in ROLES.values()}
        with gr.Accordion("Take photos with the camera", open=False), gr.Row():
            roles = [(role.label, role.name) for role in ROLES.values()]
            self.camera_role = gr.Radio(roles, value=GOOD.name, label="Taken as", min_width=160)
            # image_mode None: as it came, without another copy
            photo: dict[str, Any] = dict(sources=["webcam"], type="filepath", format="png", image_mode=None)
            self.camera = gr.Image(label="Camera", height=260, **photo)
        self.images = _html("", js_on_load=assets.text("your_images/image_buttons.js"))
        with gr.Accordion("Mark what does not matter", open=False):
            self.ignored = _html(ignored(None), js_on_load=assets.text("your_images/box_drawer.js"))


class CloseUpControls:
    """*Why?* and *Try a defect*."""

    def __init__(self) -> None:
        _html(assets.text("your_images/why.html"))
        side: dict[str, Any] = dict(minimum=0, maximum=1, step=0.01, min_width=90)
        button: dict[str, Any] = dict(size="sm", min_width=120, scale=0)
        with gr.Row(elem_classes="fields"):
            self.x = gr.Number(0.5, label="Spot, from the left", **side)
            self.y = gr.Number(0.5, label="from the top, 0 to 1", **side)
            self.explain = gr.Button("Why this spot?", **button)
        self.explanation = _html("", js_on_load=assets.text("your_images/spot_picker.js"))
        _html(assets.text("your_images/try_defect.html"))
        with gr.Row(elem_classes="fields"):
            self.defect_type = gr.Radio(list(DEFECT_TYPES), value=DEFECT_TYPES[0], label="Mark", min_width=200)
            self.try_defect = gr.Button("Try it", **button)
        self.trials = _html("")


class DownloadControls:
    """A button a file: it has the file written, which the hidden link beside it then downloads."""

    def __init__(self) -> None:
        _html(assets.text("your_images/take_along.html"))
        self.buttons = {name: gr.Button(label, size="sm") for name, label in DOWNLOADS.items()}
        link = functools.partial(gr.DownloadButton, elem_classes="hidden-link")
        self.links = {name: link(label, elem_id=f"yours-{name}") for name, label in DOWNLOADS.items()}


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
        self.ranking = _html("")
        with gr.Row(elem_classes="fields"):
            self.enough = gr.Button("How many images are enough?", size="sm", min_width=220, scale=0)
        self.curve = _html("")


class Widgets:
    """All of the tab, built inside the current Blocks."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        with gr.Column(elem_id="yours"):
            _html(render("your_images/intro.html", limits=LIMITS, retention=RETENTION))
            self.image_controls = ImageControls()
            with gr.Row(equal_height=True):
                self.method = gr.Dropdown(method_choices(None), value=AUTO, label="3 · Method", min_width=240)
                wide: dict[str, Any] = dict(variant="primary", min_width=200, scale=0)
                self.go = gr.Button("Get answers", interactive=False, elem_classes="go", **wide)
            with gr.Row(elem_id="yours-state"):
                self.status = _html('<p class="quiet">Nothing here yet: drop good images to begin.</p>')
                self.cancel = gr.Button("Cancel", size="sm", scale=0, visible=False, min_width=90)
            with gr.Column(visible=False, elem_classes="answers") as self.answers_column:
                self.answers = AnswerControls(send)
        close_up, answers = self.answers.close_up, self.answers
        self.spot: list[Any] = [close_up.x, close_up.y]
        self.spot_outputs: list[Any] = [*self.spot, close_up.explanation, close_up.trials]
        self.job_outputs: list[Any] = [self.status, self.cancel]
        self.outputs: list[Any] = [
            *(*self.job_outputs, self.image_controls.images, self.image_controls.ignored),
            *(self.method, self.go, self.answers_column),
            *(answers.panel, answers.method, answers.ranking, answers.curve, answers.undo, *self.spot_outputs),
        ]

    def job_updates(self, session: YourImagesSession) -> Updates:
        """How far the job is, or what came of it, and what step 3 still needs."""
        running, status = session.runner.running, session.runner.status
        if status.fraction is None and session.uploads.images and not session.is_ready():
            need = f" Step 3 needs {MIN_IMAGES} good images; there are {len(session.good())}."
            status = status._replace(message=status.message + need)
        return {self.status: status.html(), self.cancel: gr.update(visible=running, interactive=running)}

    def updates(self, session: YourImagesSession) -> Updates:
        """Everything, as the visit stands."""
        answers = self.answers
        fitted = [(METHODS[result.method].title, result.method) for result in session.answers.ranking()]
        return {
            **self.job_updates(session),
            self.image_controls.images: images(session),
            self.image_controls.ignored: ignored(session),
            self.method: gr.update(choices=method_choices(session)),
            self.go: gr.update(interactive=session.is_ready()),
            self.answers_column: gr.update(visible=bool(fitted)),
            answers.panel: panel(session) or gr.skip(),
            answers.method: gr.update(choices=fitted, value=session.answers.method or None, visible=len(fitted) > 1),
            answers.ranking: ranking(session),
            answers.curve: "",  # of other images, or another method
            answers.undo: gr.update(interactive=bool(session.answers.undo_steps)),
            **self.spot_updates(session),
        }

    def spot_updates(self, session: YourImagesSession) -> Updates:
        """The spot that a closer look begins with: where the anomaly map of the image shown is greatest. What a closer
        look at another image has found is gone."""
        judged, close_up = session.answers.judged_image, self.answers.close_up
        spot = dict(zip(self.spot, judged.peak if judged else (0.5, 0.5), strict=True))
        return {**spot, close_up.explanation: "", close_up.trials: ""}


def method_choices(session: YourImagesSession | None) -> list[tuple[str, str]]:
    """(label, method) of each method, with the seconds it takes where that is known, and of all together."""
    ready = session if session and session.is_ready() else None
    labels = {m: f": about {duration(ready.expected_seconds(m))}" if ready else "" for m in METHODS}
    choices = [(METHODS[m].title + labels[m], m) for m in METHODS]
    choices.insert(0, ("Choose for me: what suits these images, about a minute", AUTO))
    budget_labels = ("what fits within a minute", "what fits within five minutes", "to the end")
    return [*choices, *((f"Try them all: {text}", name) for text, name in zip(budget_labels, BUDGETS, strict=True))]


def images(session: YourImagesSession) -> str:
    """HTML of the images, a row a role, each a button that leaves it out; then the hints of the data check."""
    rows = [(role.label, uploads) for role in ROLES.values() if (uploads := session.uploads.with_role(role))]
    images = session.uploads.images.values()
    remaining = {message: [image for image in about if image in images] for message, about in session.hints.items()}
    hints = [(message, left) for message, left in remaining.items() if left or not session.hints[message]]
    hints = [*((message, []) for message in session.refused), *hints]
    return render("your_images/images.html", rows=rows, hints=hints) if rows or hints else ""


def ignored(session: YourImagesSession | None) -> str:
    """HTML of the first good image and the boxes in which nothing matters; says what is missing without one."""
    if session is None or not (good := session.good()):
        return render("your_images/ignore.html", image=None)
    boxes, picture = session.ignored_boxes, image_data.data_uri(good[0].summary.small)
    share = f"{mask.mean():.0%}" if (mask := mask_of(boxes, (data_check.SIZE, data_check.SIZE))) is not None else ""
    return render("your_images/ignore.html", image=good[0], picture=picture, boxes=boxes, share=share)


def ranking(session: YourImagesSession) -> str:
    """HTML of the methods tried, best first, then what the others would take; "" before a second one is tried."""
    shown = session.answers.shown
    tried = (
        render("your_images/tried.html", tried=shown.detector.tried, duration=duration)
        if shown and shown.detector.tried
        else ""
    )
    untried = {m: session.expected_seconds(m) for m in METHODS if m not in session.answers.fitted}
    return tried + report.ranking_table(session.answers.ranking(), 3, untried)


def panel(session: YourImagesSession) -> dict[str, Any] | None:
    """The state of the live panel as `panel.component` describes it; None before there are answers."""
    answers, shown = session.answers, session.answers.shown
    if not shown:
        return None
    judged = answers.judged_image or shown.judged[0]  # an image that it has learned from is not judged
    number, method = shown.judged.index(judged), METHODS[answers.method]
    # methods that judge the same images share thumbnails, which the browser then fetches once
    names = [image.name for image in shown.judged]
    same = next(fitted for fitted in answers.fitted.values() if [image.name for image in fitted.judged] == names)
    groups = [{"group": image.role.heading.lower(), "bad": image.role.defective} for image in shown.judged]
    strip = [{"name": name, "label": name, "slug": name, **group} for name, group in zip(names, groups, strict=True)]
    source = f"{len(session.uploads.images)} images of this visit, which go with it"
    slot = {"key": answers.method, "title": method.title, "paper": method.paper, "status": "", "judged": None}
    fitted = {"scale": payload.scale_payload(shown.calibration), "finding": shown.payload["images"][number]}
    return {
        "address": {},
        "set": {"key": same.key, "drawn": len(names), "images": strip, "source": source},
        "chosen": number,
        "image": payload.shown_image(session.uploads.images[judged.name].pixels(), None, judged.role.heading.lower()),
        "slots": [{**slot, **fitted, "payload_key": shown.key}],
        "advice": advice(session),
    }


def advice(session: YourImagesSession) -> list[dict[str, str]]:
    """What may be tried where the answer is not good enough: text, and the method to press for, "" for none."""
    shown, good, bad = session.answers.require_shown(), len(session.good()), len(session.uploads.with_role(BAD))
    suggestions = (
        [] if shown.detector.tried else [("Choose method, size and tiles for these images: about a minute", AUTO)]
    )
    if len(session.answers.fitted) < len(METHODS):
        suggestions.append(("Try the other methods", ALL_METHODS))
    if bad < ENOUGH_BAD:
        suggestions.append((f"Give more bad images: {bad} so far, {ENOUGH_BAD} begin to tell", ""))
    suggestions.append((f"Give more good images: {good} so far, {2 * good} promise half the false alarms", ""))
    return [{"text": text, "action": action} for text, action in suggestions]
