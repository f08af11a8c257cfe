// What the line does to the set: counts, rates, the wrong images, and what the good ones can promise.

const count = (scores, images, line) => {  // counts.good.look: numbers of the good images that are "look"
  const none = () => ({good: [], look: [], bad: []}), counts = {good: none(), bad: none(), open: none()};
  images.forEach(({bad}, number) => {
    const score = scores?.[number] ?? null;
    if (score !== null) counts[bad === null ? "open" : bad ? "bad" : "good"][verdictOf(score, line)].push(number);
  });
  counts.known = counts.open.good.length + counts.open.look.length + counts.open.bad.length === 0;
  return counts;
};
const total = side => side.good.length + side.look.length + side.bad.length;
const missedOf = counts => [...counts.bad.good, ...counts.bad.look].sort((a, b) => a - b);
const groups = counts => counts.known
  ? [["missed", missedOf(counts)], ["false alarms", counts.good.bad]]
  : [["bad", counts.open.bad], ["look at it", counts.open.look]];

const outcome = counts => counts.known
  ? `missed ${missedOf(counts).length} of ${total(counts.bad)}, `
    + `false alarms ${counts.good.bad.length} of ${total(counts.good)}`
  : `${counts.open.bad.length} bad, ${counts.open.look.length} to look at, ${counts.open.good.length} good`;

const rateWords = (counts, survey) => {
  if (!counts.known) return [outcome(counts)];
  const rate = (name, found, of, intervals, more) => {
    const interval = intervals?.[found], share = of ? percent(found / of) : "none to judge";
    const range = interval ? ` (${(100 * interval[0]).toFixed(0)}–${percent(interval[1])})` : "";
    return make("span", {title: "share, with its 95 % interval: small sets leave much open"},
      make("b", {}, `${name} ${found}`), ` of ${of}`, make("small", {}, `${share}${range}${more}`));
  };
  const look = counts.bad.look.length;
  return [
    rate("missed", missedOf(counts).length, total(counts.bad), survey?.intervals.missed, look ? `, ${look} look` : ""),
    rate("false alarms", counts.good.bad.length, total(counts.good), survey?.intervals.alarms, ""),
  ];
};

const countTable = () => {
  const cells = {}, rows = ["good", "bad", "open"].map(side => {
    const names = {good: "sound", bad: "defective", open: "images"};
    cells[side] = {row: null, total: make("small")};
    for (const verdict in SHAPES) cells[side][verdict] = make("td");
    cells[side].row = make("tr", {}, make("th", {scope: "row"}, `${names[side]} `, cells[side].total),
      ...Object.keys(SHAPES).map(verdict => cells[side][verdict]));
    return cells[side].row;
  });
  const node = make("table", {class: "counts"},
    make("thead", {}, make("tr", {}, make("th", {scope: "col"}, "called"),
      ...Object.keys(SHAPES).map(verdict => make("th", {scope: "col"}, badge(verdict, verdict))))),
    make("tbody", {}, ...rows));
  return {node, follow(counts) {
    for (const side in cells) {
      cells[side].row.hidden = (side === "open") === counts.known;
      write(cells[side].total, `${total(counts[side])}`);
      for (const verdict in SHAPES) {
        const found = counts[side][verdict].length;
        const wrong = found > 0 && ["good bad", "bad good"].includes(`${side} ${verdict}`);
        write(cells[side][verdict], `${found}${wrong ? " ✗" : ""}`);
        cells[side][verdict].classList.toggle("wrong", wrong);
      }
    }
  }};
};

const figures = (of, numbers) => {
  const one = (name, value, told) => make("div", {title: told}, make("dt", {}, name), make("dd", {}, value));
  const found = [
    make("div", {class: "of"}, make("dt", {}, of)),
    one("margin", two(numbers?.margin), "distance of the two means in units of their common spread; larger is better"),
    one("overlap", two(numbers?.overlap), "area the two distributions share: 0 told apart, 1 alike"),
  ];
  if (numbers?.interval)
    found.push(one("AUROC", `${two(numbers.auroc)} (${two(numbers.interval[0])}–${two(numbers.interval[1])})`,
      "chance that a bad image scores above a good one, with its 95 % interval"));
  return found;
};

const promiseWords = (scale, line) => {
  const n = scale.good.length, least = percent(1 / (n + 1));
  const bad = promised(scale, line.bad), look = promised(scale, line.look);
  const here = bad === null ? "Here nothing is promised: the line lies below all good images."
    : `Of new good images like the ${n} it was calibrated on (${scale.how}), at most ${percent(bad)} are called bad`
      + (look === null || look === bad ? "." : ` and ${percent(look)} bad or look.`);
  const beyond = scale.marks.filter(m => m.at === null).map(m => `${percent(m.rate)} would take ${m.needs}`);
  const limit = [`${n} images can promise no less than 1/${n + 1} = ${least}`, beyond.join(", ")].filter(Boolean);
  return `${here} ${limit.join(": ")}. `
    + "How many bad images are missed, good ones alone cannot promise.";
};

// Thumbnails of the images that a row names, with the marked spots on them; made when first needed.
const wrongThumbs = (node, pick) => {
  const made = [];
  node.replaceChildren();
  return {follow({images, faces, data}, numbers, least) {
    for (const [number, button] of made.entries()) if (button && !numbers.has(number)) button.hidden = true;
    for (const number of numbers) {
      const {nice} = images[number], told = `${nice}, ${short(data.scores[number])} σ`;
      if (!made[number]) {
        made[number] = thumbNode(nice, number, pick);
        node.insertBefore(made[number], made.find((other, i) => i > number && other) ?? null);
      }
      const button = made[number], [image, canvas] = button.firstChild.children;
      if (faces[number] && image.getAttribute("src") !== faces[number]) image.src = faces[number];
      if (data.cells?.[number]) stain(canvas, data.cells[number], least);
      set(button, "title", told);
      set(button, "aria-label", `${told}: show it`);
      button.hidden = false;
    }
  }};
};
const thumbNode = (nice, number, pick) => {
  const spots = make("canvas", {"aria-hidden": "true", width: 1, height: 1});
  return make("button", {type: "button", class: "mini", onclick: () => pick(number)},
    make("span", {}, make("img", {alt: nice, onload: fit}), spots));
};
const fit = event => {  // the spots over the part of the image that the square shows
  const {naturalWidth: w, naturalHeight: h} = event.target, style = event.target.nextSibling.style;
  style.width = `${100 * Math.max(1, w / h)}%`;
  style.height = `${100 * Math.max(1, h / w)}%`;
};
