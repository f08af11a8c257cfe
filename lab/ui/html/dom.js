// Elements in one line: make("p", {class: "note", onclick: f}, "text", child). The scripts of a component run as one
// function, in the order in which its Python file names them; `element`, `trigger`, `props`, `server` and `watch` are
// gradio's.

const fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};
const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const write = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const set = (node, name, value) => { if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value); };

const SHAPES = {good: ["●", "good"], look: ["▲", "look at it"], bad: ["■", "bad"]};
const SIGMA = "σ: robust standard deviations of good images the method did not learn from; 0 is their median";

const badge = (verdict, label = SHAPES[verdict][1]) =>
  make("span", {class: `badge ${verdict}`}, make("i", {"aria-hidden": "true"}, SHAPES[verdict][0]), ` ${label}`);
const short = value =>
  (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(1)).replace(/^-0\.0$/, "0.0").replace("-", "−");
const percent = rate => `${rate * 100 >= 9.95 ? (rate * 100).toFixed(0) : Number((rate * 100).toFixed(1))} %`;
const two = value => value === null || value === undefined ? "–" : value.toFixed(2);
