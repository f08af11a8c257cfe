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

// The rates offered, [{rate, needs}]: those that so many good images can promise, then the least that they can, then the
// others, with the number of good images that they need.
const offeredRates = (scale, sure) => {
  const kind = sure ? "sure_" : "", can = scale.promises.filter(promise => promise[`${kind}threshold`] !== null);
  const cannot = scale.promises.filter(promise => promise[`${kind}threshold`] === null);
  const lowest = can.length ? can[can.length - 1][`${kind}threshold`] : null, highest = highestGoodScore(scale);
  const least = sure ? scale.upper_rates[0] : 1 / (scale.good_scores.length + 1);
  return [
    ...can.map(({rate}) => ({rate, needs: 0})),
    ...(cannot.length && lowest !== highest ? [{rate: least, needs: 0}] : []),
    ...cannot.map(promise => ({rate: promise.rate, needs: promise[`${kind}needs`]})),
  ];
};

// Buttons that set every method to its threshold for a promised rate of false alarms.
const promiseButtons = (node, onChoose) => {  // onChoose(rate, sure, scale); rate null: the method's own threshold
  let shown = "", current = OWN_THRESHOLDS;
  return {follow(scale, choice) {
    if (!scale) return;
    const offered = offeredRates(scale, choice.sure), key = JSON.stringify(offered), n = scale.good_scores.length;
    if (shown !== key) {
      shown = key;
      node.replaceChildren(
        make("span", {title: "of good images like those it was calibrated on; everything below follows"},
          "false alarms promised"),
        ...offered.map(({rate, needs}) => make("button", {type: "button", "data-rate": rate,
          onclick: () => onChoose(askedRate(scale, rate), current.sure, scale)},
          needs ? `${percent(rate)} (needs ${needs})` : percent(rate))),
        make("label", {title: "a rate is kept on average over all sets of good images that might have been taken; or by "
            + "this very method, with 95 % confidence, which takes more images"},
          make("input", {type: "checkbox", onchange: event =>
            onChoose(current.rate ?? scale.bad_rate, event.target.checked, scale)}), "with 95 % confidence"));
    }
    current = choice;
    node.querySelector("input").checked = choice.sure;
    const how = choice.sure ? "with 95 % confidence" : "on average", can = offered.filter(({needs}) => !needs);
    const wanted = choice.rate ?? (choice.threshold === null ? scale.bad_rate : null);
    const kept = wanted === null ? null : can.find(({rate}) => rate === wanted) ?? can[can.length - 1];
    [...node.querySelectorAll("button")].forEach((button, i) => {
      const {rate, needs} = offered[i];
      button.disabled = needs > 0;
      set(button, "aria-pressed", offered[i] === kept);
      set(button, "title", needs ? `${percent(rate)} ${how} needs ${needs} good images; there are ${n}`
        : `every method at its threshold for ${percent(rate)} false alarms ${how}`);
    });
  }};
};
// The least rate is had by asking for the one that is out of reach.
const askedRate = (scale, rate) => scale.promises.some(promise => promise.rate === rate) ? rate : scale.bad_rate;

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
