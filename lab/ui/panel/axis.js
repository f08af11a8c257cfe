// Axes in σ: even steps near zero, even ratios farther out.

const TICKS = [0, 5, 20, 100, 2, 10, 50, 200, 500, 1000, -2];  // the first ones matter most
const TICK_SPACE = 24;  // pixels between two of them

const sigmaAxis = (scale, highest, width, padding = 8) => {
  const warp = value => Math.asinh(value / scale.bend), low = warp(scale.lowest), range = warp(highest) - low;
  const room = width - 2 * padding;
  const x = value => padding + clamp((warp(value) - low) / range, 0, 1) * room;
  return {
    x,
    value: position => scale.bend * Math.sinh(low + clamp((position - padding) / room, 0, 1) * range),
    ticks() {
      const ticks = [];
      const isFree = tick => ticks.every(other => Math.abs(x(other) - x(tick)) > TICK_SPACE);
      for (const tick of TICKS) if (tick > scale.lowest && x(tick) < width - 20 && isFree(tick)) ticks.push(tick);
      return ticks;
    },
  };
};
const tickLabels = (axis, width, y) => [
  ...axis.ticks().map(tick => draw("text", {x: axis.x(tick), y, class: "tick"}, `${tick}`.replace("-", "−"))),
  draw("text", {x: width - 2, y, class: "tick end"}, "σ"),
];

// Pointer events that drag over a plot: `on(value, event)` gets the value of its axis under the pointer. `begin(value,
// event)` returns false where a press is no drag.
const dragOver = (plot, begin, on) => {
  const valueAt = event => plot.axis.value(event.clientX - plot.node.getBoundingClientRect().left);
  let dragging = false;
  plot.node.addEventListener("pointerdown", event => {
    if (!plot.axis || event.button || begin(valueAt(event), event) === false) return;
    dragging = true;
    plot.node.setPointerCapture(event.pointerId);
    event.preventDefault();
    on(valueAt(event));
  });
  plot.node.addEventListener("pointermove", event => { if (dragging) on(valueAt(event)); });
  for (const name of ["pointerup", "pointercancel"]) plot.node.addEventListener(name, () => { dragging = false; });
};
