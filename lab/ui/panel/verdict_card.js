// The verdict on a method: what it finds and flags at the line, whether that is enough, what the images leave open, and
// what to try where it is not enough.

const FEW_MISSED = 0.2;  // a share of the bad images; more are too many for sorting
const MANY_MISSED = 0.5, MANY_FLAGGED = 1 / 3;  // from these shares on it is of no use
const LEAST_BAD = 5;  // bad images from which on a verdict is given at all
const VERDICTS = {
  usable: ["✓", "Usable for sorting; look at every alarm."],
  useless: ["✗", "Do not use this."],
  flagging: ["✗", "Do not use this: it flags too many good images."],
  open: ["?", "Cannot tell yet."],
};

// {kind, counted, interval}: a key of VERDICTS, what was counted, and what so few images leave open.
const verdictOn = (counts, scale, thresholds, intervals) => {
  const [bad, good, open] = [counts.bad, counts.good, counts.open].map(total), missed = missedOf(counts).length;
  const alarms = counts.good.bad.length, promised = supportedRate(scale, thresholds.bad);
  const promise = promised === null ? "nothing is promised here" : `${percent(promised)} promised on average`;
  const counted = [
    bad && `finds ${bad - missed} of ${bad} bad`,
    good && `wrongly flags ${alarms} of ${good} good (${promise})`,
    open && `of ${open} to judge calls ${counts.open.bad.length} bad, ${counts.open.look.length} worth a look`,
  ].filter(Boolean).join(", ");
  const range = intervals?.missed?.[missed], text = value => (100 * value).toFixed(0);
  const interval = !bad ? "Without bad images nobody can say what it misses."
    : range && `After ${bad} bad ${bad === 1 ? "image" : "images"}, anything from ${text(range[0])} to ${text(range[1])} % of such may be missed.`;
  const kind = bad && missed / bad >= MANY_MISSED ? "useless" : good && alarms / good >= MANY_FLAGGED ? "flagging"
    : bad >= LEAST_BAD && missed / bad <= FEW_MISSED ? "usable" : "open";
  return {kind, counted: counted && `${counted}.`, interval: interval || ""};
};

// Of several methods: what each finds and flags at its line. methods: [{title, counts}], those that have judged all images.
const headlineOf = methods => {
  const known = methods.filter(({counts}) => counts.known && total(counts.bad) + total(counts.good) > 0);
  if (!known.length) return "";
  const [{counts: first}] = known, list = texts => texts.join(", ").replace(/, ([^,]*)$/, " and $1");
  const finds = known.map(({title, counts}) => `${title} finds ${total(counts.bad) - missedOf(counts).length}`);
  const flags = known.map(({counts}) => `${counts.good.bad.length}`);
  return [
    total(first.bad) && `Of ${total(first.bad)} bad images ${list(finds)}.`,
    total(first.good) && `Of ${total(first.good)} good ones called bad: ${list(flags)}.`,
  ].filter(Boolean).join(" ");
};

const signed = value => two(value).replace("-", "−");
const costText = line => `A line at ${signed(line.threshold)} σ costs least (${line.interval.map(signed).join(" to ")} for 95 % of `
  + `such images): ${line.missed} of ${line.n_bad} bad missed, ${line.false_alarms} of ${line.n_good} good flagged.`;

// advise(action): one of the state's suggestions was taken. price(times): resolves to `CheapestLine` where a miss costs
// so many false alarms. move(threshold): in σ of the first method.
const verdictCard = (node, {advise, price, move}) => {
  const [icon, title, counted, interval, advice] = ["i", "b", "p", "p", "ul"].map(tag => make(tag));
  const times = make("select", {"aria-label": "a miss costs so many false alarms"},
    ...[1, 2, 5, 10, 20, 50, 100].map(value => make("option", {value}, `${value}`)));
  const setLine = make("button", {type: "button"}, "Set the cheapest line"), priced = make("span", {role: "status"});
  const cost = make("p", {class: "cost"}, "A miss costs ", times, " times a false alarm. ", setLine, " ", priced);
  node.append(make("h2", {}, icon, " ", title), counted, interval, cost, advice);
  times.value = 10;
  const ask = async () => {
    const line = await price(Number(times.value)).catch(() => null);
    write(priced, line?.threshold === undefined ? line?.error ?? "This line could not be computed; try again." : costText(line));
    if (line?.threshold !== undefined) move(line.threshold);
  };
  setLine.addEventListener("click", ask);
  times.addEventListener("change", ask);
  let key = "";
  return {follow(state, counts, scale, thresholds, intervals) {
    node.hidden = false;
    const {kind, ...sentences} = verdictOn(counts, scale, thresholds, intervals);
    node.dataset.kind = kind;
    write(icon, VERDICTS[kind][0]);
    write(title, VERDICTS[kind][1]);
    write(counted, `${state.slots[0].title} ${sentences.counted}`);
    write(interval, sentences.interval);
    cost.hidden = !total(counts.bad);
    advice.hidden = kind === "usable" || !state.advice.length;
    const wanted = JSON.stringify([state.slots[0].payload_key, state.advice]);
    if (wanted === key) return;
    key = wanted;
    const {top, bottom} = node.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) node.scrollIntoView({block: "start"});  // the answer, before all that led to it
    write(priced, "");
    advice.replaceChildren(...state.advice.map(({text, action}) => make("li", {}, action
      ? make("button", {type: "button", onclick: () => advise(action)}, text) : text)));
  }};
};
