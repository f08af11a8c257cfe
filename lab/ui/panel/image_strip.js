// The test images as buttons: border and shape are the first method's verdict, a tick or cross says whether it is right.

const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";

const imageStrip = (node, pick) => {
  const strip = {buttons: [], key: "", seen: null};
  node.addEventListener("keydown", event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key], at = strip.buttons.indexOf(document.activeElement);
    const next = step && at >= 0 && strip.buttons[at + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
    pick(at + step);
  });
  strip.lay = ({key, images}) => {
    const shown = JSON.stringify([key, images.length]);
    if (shown === strip.key) return;
    Object.assign(strip, {key: shown, seen: null, buttons: images.map((image, number) => stripButton(image, number, pick))});
    const cells = images.flatMap(({group}, number) => {
      const isFirst = group && group !== images[number - 1]?.group;
      return [...(isFirst ? [groupLabel(group, images)] : []), strip.buttons[number]];
    });
    const empty = Array.from({length: 14}, () => make("span", {class: "thumb open"}));
    node.replaceChildren(...(cells.length ? cells : empty));
    node.scrollLeft = 0;
  };
  strip.follow = (images, thumbs, data, thresholds, chosen) => {  // data, thresholds: of the first method, once it has any
    strip.buttons.forEach((button, number) => {
      const {label, bad} = images[number], score = data?.scores?.[number] ?? null;
      const [image, shape, tick] = button.children;
      const verdict = score === null || !thresholds ? null : verdictOf(score, thresholds);
      if (thumbs[number] && image.getAttribute("src") !== thumbs[number]) image.src = thumbs[number];
      const judgement = judge(verdict, bad);
      const text = verdict === null ? `${label}: not judged yet`
        : [`${label}: ${SHAPES[verdict][1]}`, `${short(score)} σ`, data.peaks?.[number], judgement]
          .filter(Boolean).join(", ");
      set(button, "class", `thumb ${verdict ?? "open"}`);
      set(button, "aria-current", number === chosen);
      set(button, "title", text);
      set(image, "alt", text);
      const right = {right: "✓", missed: "✗", "false alarm": "✗"}[judgement] ?? "";
      write(shape, verdict ? SHAPES[verdict][0] : "");
      write(tick, right);
      set(tick, "class", right === "✗" ? "cross" : "tick");
    });
    if (strip.seen !== chosen && strip.buttons[chosen]) scrollToButton(node, strip.buttons[chosen]);
    strip.seen = chosen;
  };
  return strip;
};
const judge = (verdict, bad) => {  // how a verdict compares with the truth; "" where there is nothing to compare
  if (verdict === "look") return "left to a person";
  if (verdict === null || bad === null) return "";
  return (verdict === "bad") === bad ? "right" : bad ? "missed" : "false alarm";
};
const stripButton = ({name}, number, pick) =>
  make("button", {type: "button", class: "thumb open", "data-name": name, onclick: () => pick(number)},
    make("img", {src: BLANK, alt: "", width: 68, height: 68}), make("i", {"aria-hidden": "true"}), make("b"));
const groupLabel = (group, images) => {
  const count = images.filter(other => other.group === group).length;
  return make("span", {class: "group"}, group, make("small", {}, `${count}`));
};
const scrollToButton = (node, button) => {
  const left = button.offsetLeft - node.offsetLeft;
  if (left < node.scrollLeft || left + button.offsetWidth > node.scrollLeft + node.clientWidth)
    node.scrollLeft = left - node.clientWidth / 2;
};
