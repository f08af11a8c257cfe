"""The offer below the choices: what was chosen and is not here, its licence and size, and a button that fetches it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ...hub import downloads
from ..detector_service import Place
from ..html.render import render
from .download_offer import DownloadOffer


class OfferBox:
    """The widgets, built inside the current Blocks; hidden while nothing is offered."""

    def __init__(self) -> None:
        with gr.Column(visible=False, elem_id="offer") as self.box:
            self.text = gr.HTML("", apply_default_css=False)
            with gr.Row():
                self.take = gr.Button("Download", size="sm", scale=0, min_width=200)
                self.cancel = gr.Button("Cancel", size="sm", scale=0, min_width=90)
        self.components: list[Any] = [self.box, self.text, self.take, self.cancel]

    def hidden(self) -> dict[Any, Any]:
        return {self.box: gr.update(visible=False)}

    def updates(self, offer: DownloadOffer, shown: Place) -> dict[Any, Any]:
        """component -> how it stands; `shown` is what the page shows meanwhile."""
        item, running = offer.item, offer.runner.running
        if not item:
            return self.hidden()
        label = f"Download {downloads.megabytes(item.size)}" if item.origin else "Ask again"
        status = offer.runner.status
        return {
            self.box: gr.update(visible=True),
            self.text: render("compare/offer.html", offer=item.offer(shown), status=status.message and status.html()),
            self.take: gr.update(value=label, interactive=not running, visible=bool(item.origin) or not running),
            self.cancel: gr.update(visible=running),
        }
