"""How the page looks: gradio's theme, the style sheet, the head and its switch between light and dark."""

from typing import Any

import gradio as gr

from . import assets

FONTS: dict[str, Any] = {"font": ("system-ui", "sans-serif"), "font_mono": ("ui-monospace", "monospace")}
COLOURS = {  # dark enough for white text on it, and for text of its colour on white
    "*neutral_600": "body_text_color_subdued",
    "*neutral_300": "body_text_color_subdued_dark",
    "*primary_400": "slider_color_dark",
    "*primary_700": "color_accent slider_color link_text_color link_text_color_visited button_primary_background_fill "
    "button_primary_background_fill_dark button_primary_border_color button_primary_border_color_dark",
    "*primary_800": "link_text_color_hover button_primary_background_fill_hover "
    "button_primary_background_fill_hover_dark",
}
THEME = gr.themes.Base(primary_hue="sky", secondary_hue="sky", neutral_hue="slate", radius_size="sm", **FONTS)
THEME.set(**{name: colour for colour, names in COLOURS.items() for name in names.split()})

CSS = assets.text("html/page.css")
HEAD = assets.text("html/head.html")
HEAD_JS = "element.querySelector('button').addEventListener('click', () => document.body.classList.toggle('dark'));"
