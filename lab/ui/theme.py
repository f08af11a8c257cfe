"""How the page looks: gradio's theme, the style sheet, the head and its switch between light and dark."""

from __future__ import annotations

import gradio as gr

from . import assets

THEME = gr.themes.Base(
    primary_hue="sky",
    secondary_hue="sky",
    neutral_hue="slate",
    font=("system-ui", "sans-serif"),
    font_mono=("ui-monospace", "monospace"),
    radius_size="sm",
)
THEME.set(  # dark enough for white text on it, and for text of its colour on white
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    color_accent="*primary_700",
    slider_color="*primary_700",
    slider_color_dark="*primary_400",
    link_text_color="*primary_700",
    link_text_color_hover="*primary_800",
    link_text_color_visited="*primary_700",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_800",
    button_primary_border_color="*primary_700",
    button_primary_border_color_dark="*primary_700",
)

CSS = assets.text("html/page.css")
HEAD = assets.text("html/head.html")
HEAD_JS = "element.querySelector('button').addEventListener('click', () => document.body.classList.toggle('dark'));"
