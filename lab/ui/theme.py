"""How the page looks: theme, style sheet, and the few lines of script that need no server."""

from __future__ import annotations

import gradio as gr

THEME = gr.themes.Base(
    primary_hue="sky",
    secondary_hue="sky",
    neutral_hue="slate",
    font=("system-ui", "sans-serif"),
    font_mono=("ui-monospace", "monospace"),
    radius_size="sm",
).set(  # dark enough for white words on it, and for words of it on white
    body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300",
    color_accent="*primary_700", slider_color="*primary_700", slider_color_dark="*primary_400",
    link_text_color="*primary_700", link_text_color_hover="*primary_800", link_text_color_visited="*primary_700",
    button_primary_background_fill="*primary_700", button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700", button_primary_background_fill_hover_dark="*primary_800",
    button_primary_border_color="*primary_700", button_primary_border_color_dark="*primary_700",
)  # fmt: skip

CSS = """
:root { --good: #1f6a9f; --look: #8a6d00; --bad: #b8500b }
.dark { --good: #5cb0e6; --look: #d9b62c; --bad: #f0904a; --color-accent: #38bdf8 }
.gradio-container { width: 100%; color: var(--body-text-color); min-width: 0 !important; max-width: 1320px !important;
  margin: 0 auto !important; padding: 12px 20px 40px !important }
.gradio-container .main.fillable { padding: 0 !important }
.gradio-container .html-container { padding: 0 !important }
#head { display: flex; gap: 4px 16px; align-items: baseline; flex-wrap: wrap }
#head h1 { font-size: 1.35rem; font-weight: 650; margin: 0; letter-spacing: -.01em }
#head p { margin: 0; color: var(--body-text-color-subdued); flex: 1 1 20rem }
#head button { font-size: .85rem; color: var(--body-text-color-subdued); padding: 2px 10px;
  border: 1px solid var(--border-color-primary); border-radius: 6px }
.status { display: flex; gap: 12px; align-items: center; min-height: 2.1rem; font-size: .9rem }
.status span { min-width: 0 }
.status em { color: var(--body-text-color-subdued); font-style: normal; white-space: nowrap }
.status progress { width: 120px; height: 6px; flex: none; appearance: none; border: 0; border-radius: 3px;
  overflow: hidden; background: var(--border-color-primary) }
.status progress::-webkit-progress-bar { background: var(--border-color-primary) }
.status progress::-webkit-progress-value { background: var(--color-accent); transition: width .3s }
.status progress::-moz-progress-bar { background: var(--color-accent) }
#state, .state { flex-wrap: nowrap; align-items: center }
:is(#state, .state) > :first-child { flex: 1; min-width: 0 }
#stop, .stop { flex: none; min-width: 6.5rem; height: 2.1rem } :is(#stop, .stop):disabled { display: none }
#apart { align-items: flex-start; flex-wrap: wrap } #rail { flex: 0 0 280px !important } 
#bench { flex: 1 1 560px; min-width: 0 !important }
#rail .eq { font: italic .88rem/1.5 Cambria, "Times New Roman", serif; margin: 0; padding: 0 10px 8px;
  overflow-wrap: anywhere; background: var(--block-background-fill) }
#rail .gr-group .block { padding-bottom: 2px }
#rail .status { flex-wrap: wrap; gap: 2px 10px } #rail .status progress { width: 100% }
.gradio-container .main .column { gap: 8px } .gradio-container .tabitem { padding: 0; border: 0 }
.gradio-container .tabitem .form .block { padding: 6px 10px 8px }
.gradio-container input[role=combobox], .gradio-container input[role=listbox] { text-overflow: ellipsis }
[title] { cursor: help } button[title] { cursor: pointer }
@media (max-width: 640px) {
  #rail, #bench { flex: 1 1 100% !important }
  .gradio-container { padding: 10px 14px 32px !important }
  #head { column-gap: 8px } #head h1 { font-size: 1rem; flex: 1 } #head button { font-size: .75rem }
  #head p { order: 1; flex: 1 1 100%; font-size: .85rem }
  .gradio-container .tab-container button { padding: 6px 9px; font-size: .9rem }
  .status { flex-wrap: wrap; gap: 2px 10px } .status progress { width: 100% } .status span { flex: 1 1 100% }
}
"""

HEAD = """
<div id="head"><h1>Annotation-Free Anomaly Lab</h1>
<p>Finds what is wrong in an image after seeing only good ones: compare methods side by side.</p>
<button type="button" title="switch between a light and a dark page">light / dark</button></div>
"""
HEAD_JS = "element.querySelector('button').addEventListener('click', () => document.body.classList.toggle('dark'));"
