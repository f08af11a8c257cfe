// Anomaly maps' pixels of normal and of defective surface, each its own 100 %, heights as square roots so that tails
// stay visible.

const PIXEL_PLOT = {height: 104, top: 16, bottom: 86};

const pixelPlot = onMove => {  // onMove(name, value)
  const svg = draw("svg", {class: "bars", height: PIXEL_PLOT.height, role: "img"});
  const plot = {node: make("div", {class: "plot"}, svg)};
  dragOver(plot, () => true, value => onMove("bad", scoreThresholdAt(plot.scale, value)));

  plot.lay = (scale, pixels) => {  // pixels: of `payload.judged_payload`; none before all images are judged
    const width = plot.node.clientWidth, {height, bottom} = PIXEL_PLOT;
    if (!pixels) svg.replaceChildren(), plot.axis = null;
    if (!width || !pixels) return;
    Object.assign(plot, {scale, axis: sigmaAxis(scale, scale.top, width)});
    const {axis} = plot, heights = barHeights(pixels);
    const peak = Math.max(...heights.normal, ...heights.abnormal) || 1;
    const area = side => {
      const steps = heights[side].map((share, i) =>
        `V${(bottom - (bottom - PIXEL_PLOT.top) * share / peak).toFixed(1)}H${axis.x(pixels.edges[i + 1]).toFixed(1)}`);
      const path = `M${axis.x(pixels.edges[0])} ${bottom}${steps.join("")}V${bottom}Z`;
      return draw("path", {class: `area ${side}`, d: path});
    };
    svg.replaceChildren(area("normal"), area("abnormal"), area("shared"),
      draw("line", {x1: 0, x2: width, y1: bottom, y2: bottom, class: "rule"}),
      ...tickLabels(axis, width, height - 3),
      draw("text", {x: 2, y: 11, class: "start"}, "normal"),
      draw("text", {x: width - 2, y: 11, class: "end"}, "defective"),
      draw("line", {class: "threshold", y1: 2, y2: bottom}));
    const numbers = `margin ${two(pixels.margin)}, overlap ${two(pixels.overlap)}`;
    set(svg, "aria-label", `anomaly maps of normal and of defective surface; ${numbers}`);
  };
  plot.follow = pixelThreshold => {
    if (!plot.axis) return;
    const x = plot.axis.x(pixelThreshold);
    fill(svg.querySelector(".threshold"), {x1: x, x2: x}, []);
  };
  return plot;
};

// Square roots of each bar's share of its side; `shared`: the lower of the two.
const barHeights = pixels => {
  const roots = counts => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    return counts.map(count => total ? Math.sqrt(count / total) : 0);
  };
  const normal = roots(pixels.normal), abnormal = roots(pixels.abnormal);
  return {normal, abnormal, shared: normal.map((height, i) => Math.min(height, abnormal[i]))};
};
