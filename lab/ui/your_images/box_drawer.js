// A drag over the stage draws a box, in shares of the image's sides; buttons take boxes away.

element.addEventListener("click", event => {
  const button = event.target.closest("button[data-action]");
  if (button) trigger("action", {action: button.dataset.action});
});

element.addEventListener("pointerdown", event => {
  const stage = event.target.closest(".stage");
  if (!stage || event.button) return;
  event.preventDefault();
  stage.setPointerCapture(event.pointerId);
  const sides = stage.getBoundingClientRect(), mark = document.createElement("i");
  const share = (value, low, size) => Math.min(1, Math.max(0, (value - low) / size));
  const at = e => [share(e.clientX, sides.left, sides.width), share(e.clientY, sides.top, sides.height)];
  const [x, y] = at(event);
  let box = [x, y, 0, 0];
  stage.append(mark);
  const move = e => {
    const [right, down] = at(e);
    box = [Math.min(x, right), Math.min(y, down), Math.abs(right - x), Math.abs(down - y)];
    ["left", "top", "width", "height"].forEach((side, i) => mark.style[side] = `${100 * box[i]}%`);
  };
  const end = e => {
    stage.removeEventListener("pointermove", move);
    if (e.type === "pointerup" && Math.min(box[2], box[3]) >= 0.01) trigger("action", {action: "add", box});
    else mark.remove();
  };
  stage.addEventListener("pointermove", move);
  ["pointerup", "pointercancel"].forEach(type => stage.addEventListener(type, end, {once: true}));
});
