// The line: images as shapes over their scores, good ones above the axis and bad ones below, and two handles.

const PLOT = {height: 168, top: 46, middle: 94, reach: 42, bottom: 150};
const STEPS = {ArrowRight: 0.1, ArrowUp: 0.1, ArrowLeft: -0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1};  // σ

const linePlot = (title, on) => {  // on: {move(which, value), pick(number)}
  const ground = draw("svg", {class: "dots", height: PLOT.height, "aria-hidden": "true"});
  const grip = which => make("div", {
    class: `grip ${which}`, role: "slider", tabindex: "0", "aria-orientation": "horizontal",
    "aria-label": `${title}: images above this are ${which === "bad" ? "bad" : "to look at, or bad"}`,
  }, make("b"), make("i"));
  const plot = {grips: {look: grip("look"), bad: grip("bad")}, shapes: []};
  plot.node = make("div", {class: "plot line"}, ground, plot.grips.look, plot.grips.bad);

  const at = event => plot.axis.value(event.clientX - plot.node.getBoundingClientRect().left);
  let held = null;
  plot.node.addEventListener("pointerdown", event => {
    if (!plot.axis || event.button) return;
    const number = event.target.dataset?.number;
    if (number !== undefined) return on.pick(Number(number));
    const near = which => Math.abs(plot.axis.x(plot.line[which]) - plot.axis.x(at(event)));
    held = event.target.closest(".grip")?.classList.contains("look") ? "look"
      : event.target.closest(".grip") ? "bad" : near("look") < near("bad") ? "look" : "bad";
    plot.node.setPointerCapture(event.pointerId);
    plot.grips[held].focus({preventScroll: true});
    event.preventDefault();
    on.move(held, at(event));
  });
  plot.node.addEventListener("pointermove", event => { if (held) on.move(held, at(event)); });
  for (const end of ["pointerup", "pointercancel"]) plot.node.addEventListener(end, () => { held = null; });
  for (const [which, node] of Object.entries(plot.grips))
    node.addEventListener("keydown", event => {
      if (!plot.axis) return;
      const step = STEPS[event.key];
      const value = {Home: plot.scale.least, End: plot.scale.most}[event.key] ?? (step && plot.line[which] + step);
      if (value === undefined) return;
      event.preventDefault();
      on.move(which, value);
    });

  // images: [{score, bad, nice}], null scores where not judged yet
  plot.lay = (scale, images) => {
    const width = plot.node.clientWidth;
    if (!width) return;
    Object.assign(plot, {scale, images, axis: axis(scale, scale.most, width), shapes: []});
    const {axis: a} = plot, size = 7, cells = new Map();
    for (const [number, image] of images.entries()) {
      if (image.score === null) continue;
      const key = `${Math.round(a.x(image.score) / size)} ${image.bad === true}`;
      cells.set(key, [...(cells.get(key) ?? []), number]);
    }
    const tallest = Math.max(1, ...[...cells.values()].map(held => held.length));
    const step = Math.min(size + 1, PLOT.reach / tallest);
    const zones = ["look", "bad"].map(name => draw("rect", {class: `zone ${name}`}));
    ground.replaceChildren(...zones, ...shared(images, a));
    for (const t of a.ticks())
      ground.append(draw("text", {x: a.x(t), y: PLOT.height - 3, class: "tick"}, `${t}`.replace("-", "−")));
    ground.append(draw("text", {x: width - 2, y: PLOT.height - 3, class: "tick end"}, "σ"));
    ground.append(draw("line", {x1: 0, x2: width, y1: PLOT.middle, y2: PLOT.middle, class: "rule"}));
    let free = width;
    for (const {at: mark, words, told} of marksOf(scale).reverse()) {  // a label that has no room is left to the hover
      const x = a.x(mark), wide = 3.4 * words.length, label = x + wide < free;
      if (label) free = x - wide - 3;
      ground.append(draw("g", {class: "mark"}, draw("title", {}, told),
        draw("path", {d: `M${x} ${PLOT.bottom - 11}v-5`}), draw("text", {x, y: PLOT.bottom - 1}, label ? words : "")));
    }
    for (const [key, held] of cells)
      held.forEach((number, rank) => {
        const {score, bad, nice} = images[number], x = Number(key.split(" ")[0]) * size, r = size / 2 - 0.4;
        const y = PLOT.middle + (bad === true ? 1 : -1) * (size / 2 + 2 + rank * step);
        const shape = bad === true ? draw("rect", {x: x - r, y: y - r, width: 2 * r, height: 2 * r})
          : draw("circle", {cx: x, cy: y, r});
        fill(shape, {class: `dot ${bad === true ? "bad" : bad === false ? "good" : "open"}`, "data-number": number},
          [draw("title", {}, `${nice}: ${short(score)} σ`)]);
        ground.append(shape);
        plot.shapes[number] = shape;
      });
  };

  plot.follow = (line, told, chosen) => {  // told: what the line does, in words
    if (!plot.axis) return;
    plot.line = line;
    const x = {look: plot.axis.x(line.look), bad: plot.axis.x(line.bad)}, width = plot.node.clientWidth;
    const zone = (name, from, to) => fill(ground.querySelector(`.zone.${name}`), {
      x: from, y: PLOT.top, width: Math.max(0, to - from), height: PLOT.bottom - 12 - PLOT.top,
    }, []);
    zone("look", x.look, x.bad);
    zone("bad", x.bad, width);
    for (const [which, node] of Object.entries(plot.grips)) {
      node.style.transform = `translateX(${x[which]}px)`;
      node.style.setProperty("--shift", `${Math.max(0, 34 - x[which]) - Math.max(0, x[which] + 34 - width)}px`);
      write(node.firstChild, `${which} > ${line[which].toFixed(2)}`);
      set(node, "aria-valuemin", plot.scale.least);
      set(node, "aria-valuemax", which === "look" ? line.bad : plot.scale.most);
      set(node, "aria-valuenow", line[which]);
      set(node, "aria-valuetext", `${line[which].toFixed(2)} σ; ${told}`);
    }
    plot.shapes.forEach((shape, number) => {
      const {score, bad} = plot.images[number], alarm = score > line.bad;
      shape.classList.toggle("wrong", bad !== null && alarm !== bad);
      shape.classList.toggle("chosen", number === chosen);
    });
  };
  return plot;
};

// Scores that good and bad images share: from the lowest bad one to the highest good one.
const shared = (images, a) => {
  const side = bad => images.filter(p => p.bad === bad && p.score !== null).map(p => p.score);
  const from = Math.min(...side(true)), to = Math.max(...side(false));
  if (!(from < to)) return [];
  return [draw("rect", {class: "shared", x: a.x(from), width: a.x(to) - a.x(from), y: PLOT.middle - 4, height: 8},
    draw("title", {}, `from ${short(from)} to ${short(to)} σ both good and bad images occur`))];
};

// What so many good images can promise; where they cannot, the least they can.
const marksOf = scale => {
  const n = scale.good.length, least = 1 / (n + 1);
  const marks = scale.marks.filter(m => m.at !== null).map(m => ({
    at: m.at, words: percent(m.rate).replace(" %", ""),
    told: `above this at most ${percent(m.rate)} of good images are promised to lie`,
  }));
  if (scale.marks.some(m => m.at === null) && !marks.some(m => m.at === mostGood(scale)))
    marks.push({at: mostGood(scale), words: percent(least).replace(" %", ""),
      told: `${percent(least)} is the least that ${n} good images can promise`});
  if (marks.length) marks[marks.length - 1].words += " %";
  return marks;
};
