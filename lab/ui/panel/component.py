"""The live panel: strip of images, panes with heat, and a threshold that moves all of it in the browser.

The server hands it a state whenever something has changed (small; gradio sends the difference), and the panel fetches
what is heavy by itself, once: `send({"survey": key})` -> `evidence.payload`, `send({"thumbs": key, "from": n})` -> data
URIs. Handles, masks, counts and wrong images then follow the finger without another request. Heat is on an absolute
scale; a switch stretches each map's colours over its own range, and a warning says so as long as it is on. The state:

    address   what names this view in the address, beside tab, image and threshold: {name: text}; {} leaves it alone
    set       key (what `send` knows the thumbnails by), drawn (how many there are), source (set and licence), images:
              name, nice (for people), slug (for the address), kind (heading in the strip), bad (True, False, None)
    at        number of the chosen image
    image   `evidence.shown` of it, None until it is there
    slots     left to right: key, title, paper (hover), why (in place of a map), scale (`evidence.scale`),
              heat (`evidence.image` of the chosen one), survey (key of the payload, "" until all are judged),
              judged (meanwhile {"scores", "places"} of the images, None where not judged yet)

Its event `picked` carries {"name": of an image} and asks for a state with that image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from .. import assets

SCRIPTS = ("scale", "heat", "axis", "bars", "counts", "card", "strip", "source", "pointer", "address", "panel")


def style() -> str:
    """The style sheet, for the page's own: one for all panels."""
    return assets.text("panel/panel.css")


def live_panel(state: dict[str, Any], send: Callable[[Any], Any], *, tab: str) -> gr.HTML:
    """tab: its name in the address, `?tab=...`; only a visible panel writes the address."""

    def answer(asked: Any) -> Any:
        return send(asked)

    return gr.HTML(
        state,
        html_template=assets.text("panel/panel.html").replace("@tab", tab),
        js_on_load=assets.text("html/dom.js", *(f"panel/{name}.js" for name in SCRIPTS)),
        server_functions=[answer],
        apply_default_css=False,
        elem_classes="panel",
    )
