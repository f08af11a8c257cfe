// The controls above the cards, and the spot that follows the pointer over all of them.

const followBlend = (input, node) => {
  const apply = () => node.style.setProperty("--blend", input.value);
  input.addEventListener("input", apply);
  apply();
};

// For looking closely: colours over each map's own range. The server does not know of it; a warning stays while it is on.
const STRETCHED = "Each map has a scale of its own: colours can no longer be compared between images or methods, and "
  + "say nothing about good or bad. Lines, outlines and verdicts are as before.";
const stretchSwitch = (tools, redraw) => {
  const box = tools.querySelector(".own-range input"), warning = tools.querySelector(".warning");
  box.addEventListener("change", () => {
    write(warning, box.checked ? STRETCHED : "");
    redraw();
  });
  return box;
};

// Buttons that set every method to its threshold for a promised rate of false alarms.
const promiseButtons = (node, onChoose) => {  // onChoose(rate, sure, scale); rate null: the method's own threshold
  let shown = "", current = OWN_THRESHOLDS;
  return {follow(scale, choice) {
    if (!scale) return;
    const rates = JSON.stringify(scale.promises.map(({rate}) => rate));
    if (shown !== rates) {
      shown = rates;
      node.replaceChildren(
        make("span", {title: "of good images like those it was calibrated on; everything below follows"},
          "false alarms promised"),
        ...scale.promises.map(({rate}) => make("button",
          {type: "button", "data-rate": rate, onclick: () => onChoose(rate, current.sure, scale)}, percent(rate))),
        make("label", {title: "a rate is kept on average over all sets of good images that might have been taken; or by "
            + "this very method, with 95 % confidence, which takes more images"},
          make("input", {type: "checkbox", onchange: event =>
            onChoose(current.rate ?? scale.bad_rate, event.target.checked, scale)}), "with 95 % confidence"));
    }
    current = choice;
    node.querySelector("input").checked = choice.sure;
    for (const button of node.querySelectorAll("button")) {
      const rate = Number(button.dataset.rate), isOwn = choice.rate === null && choice.threshold === null;
      const promise = scale.promises.find(promise => promise.rate === rate), kind = choice.sure ? "sure_" : "";
      const how = choice.sure ? "with 95 % confidence" : "on average";
      set(button, "aria-pressed", choice.rate === rate || (isOwn && rate === scale.bad_rate));
      set(button, "title", promise[`${kind}threshold`] === null
        ? `${percent(rate)} ${how} would take ${promise[`${kind}needs`]} good images; with fewer, the least that can be promised`
        : `every method at its threshold for ${percent(rate)} false alarms ${how}`);
    }
  }};
};

// The same spot in every frame, with the value of each anomaly map there.
const followPointer = (node, cards) => {
  const point = event => {
    const frame = event.target.closest(".stack");
    node.classList.toggle("pointed", !!frame);
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    node.style.setProperty("--x", `${100 * x}%`);
    node.style.setProperty("--y", `${100 * y}%`);
    node.classList.toggle("right", x > 0.6);
    for (const {frame: {spot}, data} of cards())
      if (data?.map) set(spot, "data-value", `${valueText(levelUnder(data.map, x, y), data.scale)} σ`);
  };
  node.addEventListener("pointermove", point);
  node.addEventListener("pointerdown", point);
  node.addEventListener("pointerleave", () => node.classList.remove("pointed"));
};
const levelUnder = ({width, height, levels}, x, y) => {  // x, y: shares of the width and height
  const index = (share, count) => clamp(Math.floor(share * count), 0, count - 1);
  return levels[index(y, height) * width + index(x, width)];
};
const valueText = (level, {top}) =>
  level === 255 ? `≥${short(top)}` : level ? short(level * (top / 255)) : `<${short(top / 255)}`;
