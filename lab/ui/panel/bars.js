// Pixel heat of sound and of defective surface, each its own 100 %, heights as square roots so that tails stay visible.

const BARS = {height: 104, bottom: 86};

const barPlot = on => {  // on: {move(which, value)}
  const ground = draw("svg", {class: "bars", height: BARS.height, role: "img"});
  const plot = {node: make("div", {class: "plot"}, ground)};
  const at = event => plot.axis.value(event.clientX - plot.node.getBoundingClientRect().left);
  let held = false;
  plot.node.addEventListener("pointerdown", event => {
    if (!plot.axis || event.button) return;
    held = true;
    plot.node.setPointerCapture(event.pointerId);
    event.preventDefault();
    on.move("bad", scoreAt(plot.scale, at(event)));
  });
  plot.node.addEventListener("pointermove", event => { if (held) on.move("bad", scoreAt(plot.scale, at(event))); });
  for (const end of ["pointerup", "pointercancel"]) plot.node.addEventListener(end, () => { held = false; });

  plot.lay = (scale, pixels) => {  // pixels: of `evidence.payload`; none before all images are judged
    const width = plot.node.clientWidth;
    if (!pixels) ground.replaceChildren(), plot.axis = null;
    if (!width || !pixels) return;
    Object.assign(plot, {scale, axis: axis(scale, scale.top, width)});
    const {axis: a} = plot, sides = ["normal", "abnormal"], heights = {};
    for (const side of sides) {
      const total = pixels[side].reduce((sum, count) => sum + count, 0);
      heights[side] = pixels[side].map(count => total ? Math.sqrt(count / total) : 0);
    }
    heights.shared = heights.normal.map((height, i) => Math.min(height, heights.abnormal[i]));
    const peak = Math.max(...heights.normal, ...heights.abnormal) || 1;
    const area = side => {
      const steps = heights[side].map((height, i) =>
        `V${(BARS.bottom - (BARS.bottom - 16) * height / peak).toFixed(1)}H${a.x(pixels.edges[i + 1]).toFixed(1)}`);
      const outline = `M${a.x(pixels.edges[0])} ${BARS.bottom}${steps.join("")}V${BARS.bottom}Z`;
      return draw("path", {class: `area ${side}`, d: outline});
    };
    ground.replaceChildren(area("normal"), area("abnormal"), area("shared"),
      draw("line", {x1: 0, x2: width, y1: BARS.bottom, y2: BARS.bottom, class: "rule"}),
      ...a.ticks().map(t => draw("text", {x: a.x(t), y: BARS.height - 3, class: "tick"}, `${t}`.replace("-", "−"))),
      draw("text", {x: width - 2, y: BARS.height - 3, class: "tick end"}, "σ"),
      draw("text", {x: 2, y: 11, class: "start"}, "sound"),
      draw("text", {x: width - 2, y: 11, class: "end"}, "defective"),
      draw("line", {class: "cut", y1: 2, y2: BARS.bottom}));
    const told = `margin ${two(pixels.margin)}, overlap ${two(pixels.overlap)}`;
    set(ground, "aria-label", `heat of sound and of defective surface; ${told}`);
  };
  plot.follow = heat => {
    if (plot.axis) fill(ground.querySelector(".cut"), {x1: plot.axis.x(heat), x2: plot.axis.x(heat)}, []);
  };
  return plot;
};
