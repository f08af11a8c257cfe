// The same spot in every pane, with its heat in each; and one blend for all.

const followPointer = (node, cards) => {
  const point = event => {
    const stack = event.target.closest(".stack");
    node.classList.toggle("pointed", !!stack);
    if (!stack) return;
    const box = stack.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    node.style.setProperty("--x", `${100 * x}%`);
    node.style.setProperty("--y", `${100 * y}%`);
    node.classList.toggle("right", x > 0.6);
    for (const {stack: {spot}, data} of cards()) {
      if (!data?.map) continue;
      const {width, height, levels} = data.map, {top} = data.scale;
      const clamp = (share, count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
      const level = levels[clamp(y, height) * width + clamp(x, width)];
      const heat = level === 255 ? `≥${short(top)}` : level ? short(level * (top / 255)) : `<${short(top / 255)}`;
      set(spot, "data-heat", `${heat} σ`);
    }
  };
  node.addEventListener("pointermove", point);
  node.addEventListener("pointerdown", point);
  node.addEventListener("pointerleave", () => node.classList.remove("pointed"));
};
const followBlend = (input, node) => {
  const tell = () => node.style.setProperty("--blend", input.value);
  input.addEventListener("input", tell);
  tell();
};
