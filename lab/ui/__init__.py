"""The page, thin over `lab`: one file per tab; `build` puts them together."""

from __future__ import annotations

import gradio as gr

from . import look
from .compare import Compare
from .page import View
from .service import Service

START = View("samples", "washer", ("patchcore", "padim"), "test/missing_tooth/006")
TITLE = "Annotation-Free Anomaly Lab"


def build(service: Service | None = None) -> gr.Blocks:
    """The whole page; begins at once to fit what the first view shows."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(look.HEAD, js_on_load=look.HEAD_JS, apply_default_css=False)
        with gr.Tabs(), gr.Tab("Compare", id="compare"):
            compare = Compare(service or Service(), START)
        compare.load(blocks)
    compare.warm()
    return blocks


def launch(blocks: gr.Blocks, port: int) -> None:
    """Serves it until interrupted. Nothing on the page asks any other host."""
    blocks.queue(max_size=64).launch(
        server_port=port, theme=look.THEME, css=look.CSS, footer_links=[], run_history=False, ssr_mode=False, pwa=False,
        share=False,
    )  # fmt: skip
