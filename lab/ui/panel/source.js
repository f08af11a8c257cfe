// The first card: the image with its truth, and how to read what stands beside it.

const sourceCard = () => {
  const stack = frame(), head = make("b"), told = make("span"), borders = make("p"), together = make("span");
  const origin = make("small", {title: "where these images come from, and on what terms"});
  const key = (name, words, needs = "") => make("li", {class: needs}, make("i", {class: name}), words);
  const guide = make("div", {class: "guide"},
    make("h2", {}, "Move a line"),
    make("p", {}, "Images that score above the ", make("b", {}, "bad"),
      " line are called bad, those between the two lines ", make("b", {}, "look at it"),
      ". Maps, counts and images follow.", together),
    make("ul", {},
      key("rim truth", "outline of the true defect", "truth"), key("rim mask", "pixels marked at the line"),
      key("shape good", "good image", "truth"), key("shape bad", "bad image", "truth"),
      key("shape wrong", "called wrongly", "truth"), key("tri", "false alarms promised there, %")),
    borders,
    make("p", {class: "words"}, "Arrow keys move a line by 0.1 σ, page keys by 1 σ."),
    make("p", {class: "words truth"}, "Surface counts every pixel, on an axis even near 0 and in ratios farther out; "
      + "grey is shared by sound and defective."));
  const card = {stack, node: make("figure", {class: "card pane source"}, make("figcaption", {}, head), stack.node,
    make("div", {class: "foot"}, told, make("br"), origin), guide)};
  card.lay = (state, truth) => {
    const image = state.image && state.set.images[state.at], {slots} = state;
    const known = state.set.images.every(({bad}) => bad !== null);
    write(head, image ? image.nice : "Image");
    write(told, image ? state.image.told : "");
    write(origin, state.set.source);
    write(together, slots.length > 1 ? " All methods move together, each in proportion to its own line." : "");
    guide.classList.toggle("blind", !known);
    borders.replaceChildren(`Borders above: what ${slots[0].title} says. `,
      ...Object.keys(SHAPES).flatMap(verdict => [badge(verdict), " "]),
      ...(known ? [make("b", {class: "tick"}, "✓"), " right ", make("b", {class: "cross"}, "✗"),
        " wrong, against the truth."] : []));
    showImage(stack, state.image, truth);
    stack.words.hidden = !!image;
    write(stack.words, "waiting");
    set(stack.under, "alt", image ? `Test image ${image.nice}, ${state.image.told}` : "");
  };
  return card;
};

// For looking closely: colours over each map's own range, which the server knows nothing of. Said as long as it is on.
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

// Buttons that set every method to the threshold for a promised rate of false alarms.
const promiseButtons = (node, redraw) => {
  const choose = (rate, scale) => {
    Object.assign(moved, {at: null, rate: rate === scale.aim ? null : rate, look: null});
    redraw();
  };
  const buttons = {follow(scale) {
    if (!scale) return;
    const names = JSON.stringify(scale.marks.map(mark => mark.rate));
    if (buttons.names !== names) {
      buttons.names = names;
      node.replaceChildren(
        make("span", {title: "of good images like those it was calibrated on; everything below follows"},
          "false alarms promised"),
        ...scale.marks.map(({rate}) => make("button",
          {type: "button", "data-rate": rate, onclick: () => choose(rate, scale)}, percent(rate))));
    }
    for (const button of node.querySelectorAll("button")) {
      const rate = Number(button.dataset.rate), own = moved.rate === null && moved.at === null;
      const {at, needs} = scale.marks.find(mark => mark.rate === rate);
      set(button, "aria-pressed", moved.rate === rate || (own && rate === scale.aim));
      set(button, "title", at === null
        ? `${percent(rate)} would take ${needs} good images; with fewer, the least that can be promised`
        : `every method at its threshold for ${percent(rate)} false alarms`);
    }
  }};
  return buttons;
};
