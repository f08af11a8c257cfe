// What the thresholds do to the set of images: counts, rates, and what the good images can promise.

// {good, bad, open: {good, look, bad: numbers of the images}, known}: by truth, then by verdict; "open": no truth. known:
// whether some have a truth, or none is judged yet.
const countVerdicts = (scores, images, thresholds) => {
  const none = () => ({good: [], look: [], bad: []}), counts = {good: none(), bad: none(), open: none()};
  images.forEach(({bad}, number) => {
    const score = scores?.[number] ?? null, truth = bad === null ? "open" : bad ? "bad" : "good";
    if (score !== null) counts[truth][verdictOf(score, thresholds)].push(number);
  });
  counts.known = total(counts.open) === 0 || total(counts.good) + total(counts.bad) > 0;
  return counts;
};
const total = counts => counts.good.length + counts.look.length + counts.bad.length;
const missedOf = counts => [...counts.bad.good, ...counts.bad.look].sort((a, b) => a - b);
const GROUPS = 3;  // rows of thumbnails below a map, at most
const namedGroups = counts => {
  const wrong = [["missed", missedOf(counts)], ["false alarms", counts.good.bad]], {bad, look} = counts.open;
  if (!counts.known) return [["bad", bad], ["look at it", look]];
  return total(counts.open) ? [...wrong, ["to judge: bad or look", [...bad, ...look].sort((a, b) => a - b)]] : wrong;
};

const openText = ({open}) => `${open.bad.length} bad, ${open.look.length} to look at, ${open.good.length} good`;
const outcomeText = counts => counts.known ? [
  (total(counts.bad) || !total(counts.good)) && `missed ${missedOf(counts).length} of ${total(counts.bad)}`,
  (total(counts.good) || !total(counts.bad)) && `false alarms ${counts.good.bad.length} of ${total(counts.good)}`,
  total(counts.open) && `of those to judge ${openText(counts)}`,
].filter(Boolean).join(", ") : openText(counts);

const rateText = (count, of, interval) => {
  if (!of) return "none to judge";
  const range = interval ? ` (${(100 * interval[0]).toFixed(0)}–${percent(interval[1])})` : "";
  return percent(count / of) + range;
};
const rateNodes = (counts, intervals) => {  // intervals: of `payload.judged_payload`
  if (!counts.known) return [outcomeText(counts)];
  const rate = (name, count, of, bounds, more = "") =>
    make("span", {title: "share, with its 95 % interval: small sets leave much open"},
      make("b", {}, `${name} ${count}`), ` of ${of}`, make("small", {}, rateText(count, of, bounds?.[count]) + more));
  const look = counts.bad.look.length, [bad, good, open] = [counts.bad, counts.good, counts.open].map(total);
  return [
    (bad || !good) && rate("missed", missedOf(counts).length, bad, intervals?.missed, look ? `, ${look} look` : ""),
    (good || !bad) && rate("false alarms", counts.good.bad.length, good, intervals?.alarms),
    open && make("span", {title: "images of which nobody has said whether they are good"},
      make("b", {}, "to judge"), ` ${openText(counts)}`),
  ].filter(Boolean);
};

const countTable = () => {
  const verdicts = Object.keys(SHAPES), names = {good: "normal", bad: "defective", open: "to judge"};
  const rows = Object.entries(names).map(([truth, name]) => {
    const sum = make("small"), cells = verdicts.map(() => make("td"));
    const node = make("tr", {}, make("th", {scope: "row"}, `${name} `, sum), ...cells);
    return {truth, sum, cells, node};
  });
  const node = make("table", {class: "counts"},
    make("thead", {}, make("tr", {}, make("th", {scope: "col"}, "called"),
      ...verdicts.map(verdict => make("th", {scope: "col"}, badge(verdict, verdict))))),
    make("tbody", {}, ...rows.map(row => row.node)));
  return {node, follow(counts) {
    for (const {truth, sum, cells, node: row} of rows) {
      row.hidden = !total(counts[truth]) && (truth === "open" || !counts.known || total(counts.good) + total(counts.bad) > 0);
      write(sum, `${total(counts[truth])}`);
      verdicts.forEach((verdict, i) => {
        const count = counts[truth][verdict].length;
        const wrong = count > 0 && ["good bad", "bad good"].includes(`${truth} ${verdict}`);
        write(cells[i], `${count}${wrong ? " ✗" : ""}`);
        cells[i].classList.toggle("wrong", wrong);
      });
    }
  }};
};

const figureNodes = (title, numbers) => {  // numbers: {margin, overlap, auroc, interval}, undefined before they are there
  const figure = (name, value, description) => make("div", {title: description}, make("dt", {}, name),
    make("dd", {}, value));
  const nodes = [
    make("div", {class: "of"}, make("dt", {}, title)),
    figure("margin", two(numbers?.margin), "distance of the two means in units of their common spread; larger is better"),
    figure("overlap", two(numbers?.overlap), "area the two distributions share: 0 told apart, 1 alike"),
  ];
  if (numbers?.interval)
    nodes.push(figure("AUROC", `${two(numbers.auroc)} (${two(numbers.interval[0])}–${two(numbers.interval[1])})`,
      "chance that a bad image scores above a good one, with its 95 % interval"));
  return nodes;
};

const promiseText = (scale, thresholds) => {
  const n = scale.good_scores.length, least = percent(1 / (n + 1));
  const bad = supportedRate(scale, thresholds.bad), look = supportedRate(scale, thresholds.look);
  const here = bad === null ? "Here nothing is promised: the line lies below all good images."
    : `Of new good images like the ${n} it was calibrated on (${scale.held_out}), ${percent(bad)} are called bad on average,`
      + ` at most ${percent(upperRate(scale, thresholds.bad))} with 95 % confidence`
      + (look === null || look === bad ? "." : `; bad or look ${percent(look)}, at most`
        + ` ${percent(upperRate(scale, thresholds.look))}.`);
  const beyond = scale.promises.filter(({threshold}) => threshold === null)
    .map(({rate, needs}) => `${percent(rate)} would take ${needs}`);
  const limit = [`${n} images can promise no less than 1/${n + 1} = ${least} on average`, beyond.join(", ")].filter(Boolean);
  return `${here} ${limit.join(": ")}. How many bad images are missed, good ones alone cannot promise.`;
};
