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
).set(body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400")

CSS = """
:root { --good: #2476ad; --look: #8a6d00; --bad: #b8500b; --blend: .7 }
.dark { --good: #5cb0e6; --look: #d9b62c; --bad: #f0904a }
.gradio-container { width: 100%; min-width: 0 !important; max-width: 1320px !important;
  margin: 0 auto !important; padding: 12px 20px 40px !important }
.gradio-container .main.fillable { padding: 0 !important }
.gradio-container .html-container { padding: 0 !important }
#head { display: flex; gap: 4px 16px; align-items: baseline; flex-wrap: wrap }
#head h1 { font-size: 1.35rem; font-weight: 650; margin: 0; letter-spacing: -.01em }
#head p { margin: 0; color: var(--body-text-color-subdued); flex: 1 1 20rem }
#head button, .slider { font-size: .85rem; color: var(--body-text-color-subdued) }
#head button { border: 1px solid var(--border-color-primary); border-radius: 6px; padding: 2px 10px }
.status { display: flex; gap: 12px; align-items: center; min-height: 2.4rem; font-size: .9rem }
.status span { min-width: 0 }
.status em { color: var(--body-text-color-subdued); font-style: normal; white-space: nowrap }
.status progress { width: 120px; height: 6px; flex: none; appearance: none; border: 0; border-radius: 3px;
  overflow: hidden; background: var(--border-color-primary) }
.status progress::-webkit-progress-bar { background: var(--border-color-primary) }
.status progress::-webkit-progress-value { background: var(--color-accent); transition: width .3s }
.status progress::-moz-progress-bar { background: var(--color-accent) }
#state { flex-wrap: nowrap; align-items: center } #state > :first-child { flex: 1; min-width: 0 }
#stop { flex: none; min-width: 6.5rem; height: 2.1rem } #stop:disabled { display: none }
.strip { display: flex; gap: 6px; overflow-x: auto; padding: 4px 2px 10px; min-height: 100px; align-items: stretch;
  scrollbar-width: thin; contain: inline-size }
.strip .kind { writing-mode: vertical-rl; transform: rotate(180deg); font-size: .75rem; text-align: center; flex: none;
  color: var(--body-text-color-subdued); padding: 0 2px; line-height: 1.1; max-height: 84px }
.strip .kind small { margin-top: 4px; opacity: .8 }
.thumb { position: relative; flex: none; padding: 0; width: 84px; height: 84px; border: 4px solid transparent;
  border-radius: 6px; background: var(--background-fill-secondary); cursor: pointer }
.thumb img { width: 76px; height: 76px; border-radius: 2px; display: block; margin: 0 }
.thumb.open { border-color: var(--border-color-primary); border-width: 1px; padding: 3px }
.thumb.good { border-style: solid; border-color: var(--good) }
.thumb.look { border-style: dashed; border-color: var(--look) }
.thumb.bad { border-style: double; border-color: var(--bad) }
.thumb[aria-current=true] { outline: 3px solid var(--body-text-color); outline-offset: 1px }
.thumb:focus-visible { outline: 3px solid var(--color-accent); outline-offset: 1px }
.thumb > i, .thumb > b { position: absolute; bottom: 2px; background: var(--body-background-fill); border-radius: 3px;
  font-size: .75rem; line-height: 1; padding: 2px 3px; font-style: normal }
.thumb > i { left: 2px } .thumb > b { right: 2px }
.good > i { color: var(--good) } .look > i { color: var(--look) } .bad > i { color: var(--bad) }
.tick { color: var(--body-text-color) } .cross { color: var(--bad) }
.note { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .8rem; color: var(--body-text-color-subdued);
  min-height: 1.4rem }
.note .licence { margin-left: auto }
.badge { font-weight: 600; white-space: nowrap } .badge i { font-style: normal }
.slider { display: flex; gap: 10px; align-items: center; max-width: 26rem }
.slider input { flex: 1; accent-color: var(--color-accent) }
.panes { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(210px, 100%), 1fr)); gap: 16px;
  max-width: calc(var(--n) * 430px) }
.pane { margin: 0; min-width: 0 }
.pane figcaption { display: flex; gap: 0 10px; align-items: baseline; min-height: 1.9rem; flex-wrap: wrap;
  line-height: 1.3 }
.pane figcaption span:last-child:not(:first-child) { margin-left: auto }
.score { font-variant-numeric: tabular-nums }
[title] { cursor: help } button[title] { cursor: pointer }
.stack { position: relative; overflow: hidden; border-radius: 6px; background: #808080 }
.stack img { display: block; width: 100%; height: auto; margin: 0; border-radius: 0 }
.stack .under { filter: grayscale(1) }
.stack .heat { position: absolute; inset: 0; opacity: var(--blend); height: 100% }
.stack p { position: absolute; inset: 0; margin: 0; display: grid; place-items: center; text-align: center;
  padding: 12%; font-size: .9rem;
  background: color-mix(in srgb, var(--body-background-fill) 80%, transparent); color: var(--body-text-color) }
.spot { position: absolute; width: 14px; height: 14px; margin: -7px; border: 2px solid #fff; border-radius: 50%;
  box-shadow: 0 0 0 1px #000; left: var(--x, -50%); top: var(--y, -50%); pointer-events: none; display: none }
.panes.pointed .spot { display: block }
.foot { min-height: 2.6rem; padding-top: 8px; font-size: .8rem; color: var(--body-text-color-subdued) }
.section { font-size: 1.05rem; font-weight: 650; margin: 8px 0 0 }
#results h3 { margin: 0; font-size: 1rem; font-weight: 600 }
#results .pending { height: 300px; display: grid; place-items: center; color: var(--body-text-color-subdued);
  font-size: .9rem;
  border: 1px dashed var(--border-color-primary); border-radius: 6px; text-align: center; padding: 1rem }
.numbers { display: flex; flex-wrap: wrap; gap: 8px 22px; margin: 4px 0 8px; min-height: 3rem }
.numbers dt { font-size: .75rem; color: var(--body-text-color-subdued) }
.numbers dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums } .numbers small { font-weight: 400 }
.words { font-size: .8rem; color: var(--body-text-color-subdued); margin: 0; max-width: 60ch }
@media (max-width: 640px) {
  .gradio-container { padding: 10px 14px 32px !important }
  .status { flex-wrap: wrap; gap: 2px 10px } .status progress { width: 100% } .status span { flex: 1 1 100% }
  .panes { grid-template-columns: 1fr } .note .licence { margin-left: 0 }
}
"""

STRIP_JS = """
const go = b => { element.querySelectorAll('.thumb').forEach(t => t.setAttribute('aria-current', t === b));
  trigger('picked', {name: b.dataset.name}); };
element.addEventListener('click', e => { const b = e.target.closest('.thumb'); if (b) go(b); });
element.addEventListener('keydown', e => {
  const step = {ArrowRight: 1, ArrowLeft: -1}[e.key], all = [...element.querySelectorAll('.thumb')];
  const next = step && all[all.indexOf(document.activeElement) + step];
  if (next) { e.preventDefault(); next.focus(); go(next); } });
let seen;
watch('value', () => { const b = element.querySelector('[aria-current=true]'), strip = element.querySelector('.strip');
  if (!b || b.dataset.name === seen) return;
  seen = b.dataset.name;
  const left = b.offsetLeft - strip.offsetLeft;
  if (left < strip.scrollLeft || left + b.offsetWidth > strip.scrollLeft + strip.clientWidth)
    strip.scrollLeft = left - strip.clientWidth / 2; });
"""

PANES_JS = """
element.addEventListener('pointermove', e => {
  const stack = e.target.closest('.stack'), panes = element.querySelector('.panes');
  panes?.classList.toggle('pointed', !!stack);
  if (!stack) return;
  const box = stack.getBoundingClientRect();
  element.style.setProperty('--x', 100 * (e.clientX - box.left) / box.width + '%');
  element.style.setProperty('--y', 100 * (e.clientY - box.top) / box.height + '%'); });
element.addEventListener('pointerleave', () => element.querySelector('.panes')?.classList.remove('pointed'));
"""

BLEND = """
<label class="slider" title="left: the grey picture alone; right: full heat over it">picture
<input type="range" min="0" max="1" step="0.01" value="0.7" aria-label="blend of picture and heat"> heat</label>
"""
BLEND_JS = """
element.querySelector('input').addEventListener('input', e =>
  document.documentElement.style.setProperty('--blend', e.target.value));
"""

HEAD = """
<div id="head"><h1>Annotation-Free Anomaly Lab</h1>
<p>Finds what is wrong in a picture after seeing only good ones: compare methods side by side.</p>
<button type="button" title="switch between a light and a dark page">light / dark</button></div>
"""
HEAD_JS = "element.querySelector('button').addEventListener('click', () => document.body.classList.toggle('dark'));"

RESULTS_HEAD = """
<h2 class="section" title="heat of every pixel of the test pictures, inside and outside the defects' outlines, in σ">
How far apart sound and defective surface lie, over all test pictures</h2>
<p class="words" style="max-width: none">Maps stay clear up to the first dashed line, below which 95 % of sound surface
lies; above the second a pixel is marked as defective. Both lines come from good pictures alone.</p>
"""
