// The test images as buttons; border and shape are the first method's verdict, a tick or cross whether it is right.

const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";

const imageStrip = (node, pick) => {
  const strip = {buttons: [], key: ""};
  node.addEventListener("keydown", event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key], at = strip.buttons.indexOf(document.activeElement);
    const next = step && at >= 0 && strip.buttons[at + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    pick(at + step);
  });
  strip.lay = set => {
    const key = JSON.stringify([set.key, set.images.length]);
    if (key !== strip.key) {
      strip.key = key;
      strip.seen = null;
      const cells = [];
      strip.buttons = set.images.map(({name, kind}, number) => {
        if (kind && kind !== set.images[number - 1]?.kind) {
          const count = set.images.filter(other => other.kind === kind).length;
          cells.push(make("span", {class: "kind"}, kind, make("small", {}, `${count}`)));
        }
        const button = make("button",
          {type: "button", class: "thumb open", "data-name": name, onclick: () => pick(number)},
          make("img", {src: BLANK, alt: "", width: 68, height: 68}), make("i", {"aria-hidden": "true"}), make("b"));
        cells.push(button);
        return button;
      });
      const places = () => make("span", {class: "thumb open"});
      node.replaceChildren(...(cells.length ? cells : Array.from({length: 14}, places)));
      node.scrollLeft = 0;
    }
  };
  strip.follow = (images, thumbs, data, line, chosen) => {
    strip.buttons.forEach((button, number) => {
      const {nice, bad} = images[number], score = data?.scores?.[number] ?? null;
      const [image, shape, tick] = button.children;
      const verdict = score === null || !line ? null : verdictOf(score, line);
      if (thumbs[number] && image.getAttribute("src") !== thumbs[number]) image.src = thumbs[number];
      const right = bad === null || verdict === null || verdict === "look" ? null : (verdict === "bad") === bad;
      const wrong = bad ? "missed" : "false alarm";
      const how = right === null ? (verdict === "look" ? "left to a person" : "") : right ? "right" : wrong;
      const told = verdict === null ? [`${nice}: not judged yet`]
        : [`${nice}: ${SHAPES[verdict][1]}`, `${short(score)} σ`, data.places?.[number], how];
      set(button, "class", `thumb ${verdict ?? "open"}`);
      set(button, "aria-current", number === chosen);
      set(button, "title", told.filter(Boolean).join(", "));
      set(image, "alt", told.filter(Boolean).join(", "));
      write(shape, verdict ? SHAPES[verdict][0] : "");
      write(tick, right === null ? "" : right ? "✓" : "✗");
      set(tick, "class", right === false ? "cross" : "tick");
    });
    const button = strip.buttons[chosen];
    if (!button || strip.seen === chosen) return;
    strip.seen = chosen;
    const left = button.offsetLeft - node.offsetLeft;
    if (left < node.scrollLeft || left + button.offsetWidth > node.scrollLeft + node.clientWidth)
      node.scrollLeft = left - node.clientWidth / 2;
  };
  return strip;
};
