// The first card: the image with its truth, and how to read what stands beside it.

const guideNode = (ofAll, borders) => {
  const key = (name, text, needs = "") => make("li", {class: needs}, make("i", {class: name}), text);
  return make("div", {class: "guide"},
    make("h2", {}, "Move a line"),
    make("p", {}, "Images that score above the ", make("b", {}, "bad"),
      " line are called bad, those between the two lines ", make("b", {}, "look at it"),
      ". Maps, counts and images follow.", ofAll),
    make("ul", {},
      key("rim truth", "outline of the true defect", "truth"), key("rim mask", "pixels marked at the line"),
      key("shape good", "good image", "truth"), key("shape bad", "bad image", "truth"),
      key("shape wrong", "called wrongly", "truth"), key("tri", "false alarms promised there, %")),
    borders,
    make("p", {class: "words"}, "Arrow keys move a line by 0.1 σ, page keys by 1 σ."),
    make("p", {class: "words truth"}, "Surface counts every pixel, on an axis even near 0 and in ratios farther out; "
      + "grey is shared by normal and defective."));
};

const imageCard = () => {
  const frame = imageFrame(), title = make("b"), truthLabel = make("span"), borders = make("p"), ofAll = make("span");
  const source = make("small", {title: "where these images come from, and on what terms"});
  const guide = guideNode(ofAll, borders);
  const node = make("figure", {class: "card pane source"}, make("figcaption", {}, title), frame.node,
    make("div", {class: "foot"}, truthLabel, make("br"), source), guide);
  return {node, lay({image, set: {images, source: origin}, chosen, slots}, truth) {
    const label = image ? images[chosen].label : "", known = images.every(({bad}) => bad !== null);
    write(title, label || "Image");
    write(truthLabel, image ? image.truth_label : "");
    write(source, origin);
    write(ofAll, slots.length > 1 ? " All methods move together, each in proportion to its own line." : "");
    guide.classList.toggle("no-truth", !known);
    borders.replaceChildren(`Borders above: what ${slots[0].title} says. `,
      ...Object.keys(SHAPES).flatMap(verdict => [badge(verdict), " "]),
      ...(known ? [make("b", {class: "tick"}, "✓"), " right ", make("b", {class: "cross"}, "✗"),
        " wrong, against the truth."] : []));
    showImage(frame, image, truth);
    frame.message.hidden = !!image;
    write(frame.message, "waiting");
    set(frame.image, "alt", image ? `Test image ${label}, ${image.truth_label}` : "");
  }};
};
