"""The live panel: a strip of images, panes with anomaly maps, and thresholds that move all of it in the browser.

The server hands it a state whenever something has changed (small; gradio sends the difference), and the panel fetches
what is heavy by itself, once: `send({"payload": key})` -> `payload.judged_payload`, `send({"thumbs": key, "from": n})`
-> data URIs. Thresholds, masks, counts and wrong images then follow the finger without another request. Anomaly maps
are on an absolute scale; a switch stretches each map's colours over its own range, and a warning says so while it is
on. The state:

    address   what names this view in the address, beside tab, image and thresholds: {name: text}; {}: it is not written
    set       key (by which `send` knows the thumbnails), drawn (how many there are), source (set and licence), images:
              name, label (for people), slug (for the address), group (heading in the strip), bad (True, False, None)
    chosen    number of the chosen image
    image     `payload.shown_image` of it, None until it is there
    slots     left to right: key, title, paper (hover), status (in place of a map), scale (`payload.scale_payload`),
              finding (`payload.finding_payload` of the chosen image), payload_key ("" until all images are judged),
              judged (meanwhile {"scores", "peaks"} of the images, None where not judged yet)

    advice    of a visitor's own images: what may be tried next, [{text, action}], "" where it is for the visitor to do;
              with it stands the verdict on the first method, which asks `send({"cheapest": payload_key, "times": n})`
              for the `CheapestLine` as a dictionary, or {"error": in words}

Its event `picked` carries {"name": of an image} and asks for a state with that image; `advised` carries {"action"}.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from .. import assets
from ..html.render import render

NAMES = (  # each script defines names for those after it
    "thresholds anomaly_map axis score_plot pixel_plot counts wrong_images image_frame method_card image_strip "
    "image_card tools address verdict_card panel"
)
SCRIPTS = ("html/dom.js", *(f"panel/{name}.js" for name in NAMES.split()))


def live_panel(state: dict[str, Any], send: Callable[[Any], Any], *, tab: str) -> gr.HTML:
    """tab: its name in the address, `?tab=...`; only a visible panel writes the address."""

    def answer(request: Any) -> Any:
        return send(request)

    html, script = str(render("panel/panel.html", tab=tab)), assets.text(*SCRIPTS)
    options: dict[str, Any] = dict(server_functions=[answer], apply_default_css=False, elem_classes="panel")
    return gr.HTML(state, html_template=html, js_on_load=script, **options)
