// Images as shapes over their scores, good ones above the axis and bad ones below, and a handle for each threshold.

const SCORE_PLOT = {height: 168, top: 46, middle: 94, reach: 42, bottom: 150};
const DOT = 7;  // pixels
const KEY_STEPS = {ArrowRight: 0.1, ArrowUp: 0.1, ArrowLeft: -0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1};  // σ

const scorePlot = (title, on) => {  // on: {move(name, value), pick(number)}
  const svg = draw("svg", {class: "dots", height: SCORE_PLOT.height, "aria-hidden": "true"});
  const handle = name => make("div", {
    class: `grip ${name}`, role: "slider", tabindex: "0", "aria-orientation": "horizontal",
    "aria-label": `${title}: images above this are ${name === "bad" ? "bad" : "to look at, or bad"}`,
  }, make("b"), make("i"));
  const plot = {handles: {look: handle("look"), bad: handle("bad")}, shapes: []};
  plot.node = make("div", {class: "plot line"}, svg, plot.handles.look, plot.handles.bad);

  let dragged = null;
  dragOver(plot, (value, event) => {
    const number = event.target.dataset?.number;
    if (number !== undefined) {
      on.pick(Number(number));
      return false;
    }
    const grip = event.target.closest(".grip");
    const distance = name => Math.abs(plot.axis.x(plot.thresholds[name]) - plot.axis.x(value));
    const isLook = grip ? grip.classList.contains("look") : distance("look") < distance("bad");
    dragged = isLook ? "look" : "bad";
    plot.handles[dragged].focus({preventScroll: true});
  }, value => on.move(dragged, value));
  for (const [name, node] of Object.entries(plot.handles))
    node.addEventListener("keydown", event => {
      if (!plot.axis) return;
      const step = KEY_STEPS[event.key], {lowest, highest} = plot.scale;
      const value = {Home: lowest, End: highest}[event.key] ?? (step && plot.thresholds[name] + step);
      if (value === undefined) return;
      event.preventDefault();
      on.move(name, value);
    });

  // images: [{score, bad, label}], null scores where not judged yet
  plot.lay = (scale, images) => {
    const width = plot.node.clientWidth;
    if (!width) return;
    Object.assign(plot, {scale, images, axis: sigmaAxis(scale, scale.highest, width), shapes: []});
    const {axis} = plot, zones = ["look", "bad"].map(name => draw("rect", {class: `zone ${name}`}));
    svg.replaceChildren(...zones, ...sharedRange(images, axis),
      ...tickLabels(axis, width, SCORE_PLOT.height - 3),
      draw("line", {x1: 0, x2: width, y1: SCORE_PLOT.middle, y2: SCORE_PLOT.middle, class: "rule"}),
      ...promiseMarks(promiseLabels(scale), axis, width));
    const stacks = stackDots(images, axis);
    const step = Math.min(DOT + 1, SCORE_PLOT.reach / Math.max(1, ...stacks.map(({numbers}) => numbers.length)));
    for (const {x, below, numbers} of stacks)
      numbers.forEach((number, rank) => {
        const y = SCORE_PLOT.middle + (below ? 1 : -1) * (DOT / 2 + 2 + rank * step);
        plot.shapes[number] = dot(images[number], number, x, y);
        svg.append(plot.shapes[number]);
      });
  };

  plot.follow = (thresholds, outcome, chosen) => {  // outcome: what the thresholds do, in words
    if (!plot.axis) return;
    plot.thresholds = thresholds;
    const x = {look: plot.axis.x(thresholds.look), bad: plot.axis.x(thresholds.bad)}, width = plot.node.clientWidth;
    const zone = (name, from, to) => fill(svg.querySelector(`.zone.${name}`), {
      x: from, y: SCORE_PLOT.top, width: Math.max(0, to - from), height: SCORE_PLOT.bottom - 12 - SCORE_PLOT.top,
    }, []);
    zone("look", x.look, x.bad);
    zone("bad", x.bad, width);
    for (const [name, node] of Object.entries(plot.handles)) {
      const value = thresholds[name];
      node.style.transform = `translateX(${x[name]}px)`;
      node.style.setProperty("--shift", `${Math.max(0, 34 - x[name]) - Math.max(0, x[name] + 34 - width)}px`);
      write(node.firstChild, `${name} > ${value.toFixed(2)}`);
      set(node, "aria-valuemin", plot.scale.lowest);
      set(node, "aria-valuemax", name === "look" ? thresholds.bad : plot.scale.highest);
      set(node, "aria-valuenow", value);
      set(node, "aria-valuetext", `${value.toFixed(2)} σ; ${outcome}`);
    }
    plot.shapes.forEach((shape, number) => {
      const {score, bad} = plot.images[number], alarm = score > thresholds.bad;
      shape.classList.toggle("wrong", bad !== null && alarm !== bad);
      shape.classList.toggle("chosen", number === chosen);
    });
  };
  return plot;
};

// Dots that would lie on each other: [{x, below: of bad images, numbers: of the images}].
const stackDots = (images, axis) => {
  const stacks = new Map();
  for (const [number, {score, bad}] of images.entries()) {
    if (score === null) continue;
    const column = Math.round(axis.x(score) / DOT), below = bad === true, key = `${column} ${below}`;
    if (!stacks.has(key)) stacks.set(key, {x: column * DOT, below, numbers: []});
    stacks.get(key).numbers.push(number);
  }
  return [...stacks.values()];
};
const dot = ({score, bad, label}, number, x, y) => {
  const r = DOT / 2 - 0.4, truth = bad === true ? "bad" : bad === false ? "good" : "open";
  const shape = bad === true ? draw("rect", {x: x - r, y: y - r, width: 2 * r, height: 2 * r})
    : draw("circle", {cx: x, cy: y, r});
  return fill(shape, {class: `dot ${truth}`, "data-number": number}, [draw("title", {}, `${label}: ${short(score)} σ`)]);
};

// Scores that good and bad images share: from the lowest bad one to the highest good one.
const sharedRange = (images, axis) => {
  const scores = side => images.filter(({bad, score}) => bad === side && score !== null).map(({score}) => score);
  const from = Math.min(...scores(true)), to = Math.max(...scores(false));
  if (!(from < to)) return [];
  const box = {x: axis.x(from), width: axis.x(to) - axis.x(from), y: SCORE_PLOT.middle - 4, height: 8};
  return [draw("rect", {class: "shared", ...box},
    draw("title", {}, `from ${short(from)} to ${short(to)} σ both good and bad images occur`))];
};

// The rates that so many good images can promise; where they cannot promise all, the least they can.
const promiseLabels = scale => {
  const n = scale.good_scores.length, least = percent(1 / (n + 1)), highest = highestGoodScore(scale);
  const labels = scale.promises.filter(({threshold}) => threshold !== null).map(({rate, threshold}) => ({
    threshold, text: percent(rate).replace(" %", ""),
    description: `above this ${percent(rate)} of good images are promised to lie on average`,
  }));
  if (labels.length < scale.promises.length && !labels.some(({threshold}) => threshold === highest))
    labels.push({threshold: highest, text: least.replace(" %", ""),
      description: `${least} is the least that ${n} good images can promise`});
  if (labels.length) labels[labels.length - 1].text += " %";
  return labels;
};
const promiseMarks = (labels, axis, width) => {
  let free = width;
  return labels.reverse().map(({threshold, text, description}) => {
    const x = axis.x(threshold), half = 3.4 * text.length, fits = x + half < free;  // one without room is a tooltip only
    if (fits) free = x - half - 3;
    return draw("g", {class: "mark"}, draw("title", {}, description),
      draw("path", {d: `M${x} ${SCORE_PLOT.bottom - 11}v-5`}),
      draw("text", {x, y: SCORE_PLOT.bottom - 1}, fits ? text : ""));
  });
};
