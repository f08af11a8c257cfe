"""The tab *Your images*: good ones in, bad ones if there are any, answers out. Three steps on one page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ...lru_cache import LRUCache
from ..api import add_endpoint, bind_endpoint
from ..detector_service import DetectorService
from ..session import Sessions
from . import limits
from .fitting import FittedMethod
from .handlers import Handlers
from .served_files import ServedFiles
from .session import YourImagesSession
from .widgets import Widgets

MAX_PUBLISHED = 400  # fitted methods that panels may fetch
CLICK_LINK = """() => document.querySelector("#yours-%s").click()"""


class YourImages:
    """Builds the tab inside the current Blocks; `load` wires the end of a visit."""

    def __init__(self, service: DetectorService):
        self.published: LRUCache[str, FittedMethod] = LRUCache(MAX_PUBLISHED)
        served_files, total = ServedFiles(), int(limits.MAX_TOTAL_MEGABYTES * limits.MEGABYTE)
        self.sessions = Sessions(
            lambda key: YourImagesSession(service, self.published, served_files),
            total,
            lambda session: max(session.answers.bytes(), total // limits.MAX_VISITS),
        )
        self.widgets = Widgets(self.send)
        self.handlers = Handlers(self.sessions, self.widgets)
        self._wire()

    def load(self, blocks: gr.Blocks) -> None:
        blocks.unload(self.sessions.leave)

    def send(self, request: Any) -> Any:
        """What a panel fetches by itself; None if not there."""
        match request:
            case {"payload": str(key)}:
                fitted = self.published.get(key)
                return fitted.payload if fitted else None
            case {"thumbs": str(key), "from": int(start)}:
                fitted = self.published.get(key)
                return [image.thumbnail for image in fitted.judged[max(start, 0) :]] if fitted else []
        return None

    def _wire(self) -> None:
        widgets, ask = self.widgets, self.handlers
        images, answers = widgets.image_controls, widgets.answers
        close_up, downloads = answers.close_up, answers.downloads
        quiet: dict[str, Any] = dict(show_progress="hidden", trigger_mode="multiple", concurrency_limit=None)
        private: dict[str, Any] = dict(quiet, api_visibility="private")
        outputs, spot = widgets.outputs, widgets.spot

        for role, zone in images.drop_zones.items():
            taken = bind_endpoint(zone.upload, ask.take(role), f"yours_{role.name}", zone, [zone, *outputs], **quiet)
            taken.then(ask.check, None, outputs, **private)
        photo = images.camera.input(
            ask.take_photo, [images.camera, images.camera_role], [images.camera, *outputs], **private
        )
        bind_endpoint(photo.then, ask.check, "yours_check", None, outputs, **quiet)
        pressed = images.images.action(ask.press_image_button, None, outputs, **private)
        pressed.then(ask.check, None, outputs, **private)

        bind_endpoint(widgets.go.click, ask.answer, "yours_answer", widgets.method, outputs, **quiet)
        bind_endpoint(widgets.cancel.click, ask.cancel, "yours_cancel", None, widgets.cancel, **quiet)
        bind_endpoint(answers.method.input, ask.choose_method, "yours_show", answers.method, outputs, **quiet)
        answers.panel.picked(ask.choose_image, None, [answers.panel, *spot], **private)
        answers.false_alarm.click(ask.learn_shown_as_good, None, outputs, **private)
        bind_endpoint(answers.undo.click, ask.undo, "yours_undo", None, outputs, **quiet)

        explained = [*widgets.job_outputs, close_up.explanation]
        bind_endpoint(close_up.explain.click, ask.explain, "yours_why", spot, explained, **quiet)
        clicked = close_up.explanation.spot(ask.choose_spot, None, spot, **private)
        clicked.then(ask.explain, spot, explained, **private)
        tried = [*widgets.job_outputs, close_up.trials]
        defect = [close_up.defect_type, *spot]
        bind_endpoint(close_up.try_defect.click, ask.try_defect, "yours_try", defect, tried, **quiet)

        for name, button in downloads.buttons.items():
            write = ask.download(name)
            written = bind_endpoint(button.click, write, f"yours_{name}", None, downloads.links[name], **quiet)
            written.success(None, None, None, js=CLICK_LINK % name, **private)
        add_endpoint(ask.leave_out, "yours_leave_out")
        add_endpoint(ask.show_image, "yours_image")
        add_endpoint(ask.learn_as_good, "yours_false_alarm")
        add_endpoint(ask.scores, "yours_scores")
