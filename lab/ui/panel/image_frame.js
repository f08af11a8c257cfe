// An image with what lies over it, of the same size whatever is shown, and the legend of its colours.

const imageFrame = () => {
  const node = make("div", {class: "stack"}, make("img", {class: "under", alt: ""}),
    ...["anomaly-map", "truth", "mask"].map(name =>
      make("canvas", {class: name, "aria-hidden": "true", width: 1, height: 1})),
    make("i", {class: "spot"}), make("p"));
  const [image, anomalyMap, truth, mask, spot, message] = node.children;
  return {node, image, anomalyMap, truth, mask, spot, message};
};

const showImage = (frame, image, truth) => {  // image: of the state; truth: its mask, unpacked
  frame.node.style.aspectRatio = image ? `${image.width} / ${image.height}` : "1";
  if (image && frame.image.src !== image.src) frame.image.src = image.src;
  frame.image.hidden = !image;
  if (truth) paintOutline(frame.truth, truth, 1, CYAN, true);
  else clear(frame.truth);
};

const gradient = (scale, table, [low, high]) => {
  const stops = Array.from({length: 21}, (_, i) => {
    const at = 4 * Math.min(255, Math.round((low + (high - low) * i / 20) / scale.top * 255));
    return `rgba(${table[at]},${table[at + 1]},${table[at + 2]},${table[at + 3] / 255})`;
  });
  return `linear-gradient(90deg, ${stops.join(",")}), #8c8c8c`;
};
const colorLegend = (scale, table, span) => {
  const step = scale.top / 255, marker = make("b"), [from, marked, to] = ["span", "em", "span"].map(tag => make(tag));
  const node = make("div", {class: "legend"}, make("i", {style: `background: ${gradient(scale, table, span)}`}),
    marker, from, marked, to);
  return {node, follow(threshold, stretched) {  // stretched: the levels over which the map's colours are stretched
    const [low, high] = stretched ? stretched.map(level => level * step) : span;
    marker.hidden = stretched && threshold > high;
    marker.style.left = `${clamp(100 * (threshold - low) / Math.max(step, high - low), 0, 100)}%`;
    write(from, stretched?.[0] ? short(low) : `<${short(stretched ? step : low)}`);
    write(marked, `marked from ${short(threshold)} σ`);
    write(to, `${stretched && stretched[1] < 255 ? "" : "≥"}${short(high)} σ`);
    const blank = stretched ? "stretched over this map alone" : `no colour below ${short(low)} σ`;
    set(node, "title", `anomaly map at a pixel, in ${SIGMA}; ${blank}`);
  }};
};
