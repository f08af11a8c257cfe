"""The live panel: strip of pictures, panes with heat, and a threshold that moves all of it in the browser.

The server hands it a state whenever something has changed (small; gradio sends the difference), and the panel fetches
what is heavy by itself, once: `send({"survey": key})` -> `evidence.payload`, `send({"thumbs": key, "from": n})` -> data
URIs. Handles, masks, counts and wrong pictures then follow the finger without another request. Heat is on an absolute
scale; a switch stretches each map's colours over its own range, and a warning says so as long as it is on. The state:

    address   what names this view in the address, beside tab, picture and threshold: {name: text}; {} leaves it alone
    set       key (what `send` knows the thumbnails by), drawn (how many there are), source (set and licence), pictures:
              name, nice (for people), slug (for the address), kind (heading in the strip), bad (True, False, None)
    at        number of the chosen picture
    picture   `evidence.shown` of it, None until it is there
    slots     left to right: key, title, paper (hover), why (in place of a map), scale (`evidence.scale`),
              heat (`evidence.picture` of the chosen one), survey (key of the payload, "" until all are judged),
              judged (meanwhile {"scores", "places"} of the pictures, None where not judged yet)

Its event `picked` carries {"name": of a picture} and asks for a state with that picture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("dom", "scale", "heat", "axis", "bars", "counts", "card", "strip", "source", "pointer", "address", "panel")


def style() -> str:
    """The style sheet, for the page's own: one for all panels."""
    return (STATIC / "panel.css").read_text(encoding="utf-8")


def panel(state: dict[str, Any], send: Callable[[Any], Any], *, tab: str) -> gr.HTML:
    """tab: its name in the address, `?tab=...`; only a visible panel writes the address."""

    def answer(asked: Any) -> Any:
        return send(asked)

    return gr.HTML(
        state,
        html_template=(STATIC / "panel.html").read_text(encoding="utf-8").replace("@tab", tab),
        js_on_load="\n".join((STATIC / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS),
        server_functions=[answer],
        apply_default_css=False,
        elem_classes="panel",
    )
