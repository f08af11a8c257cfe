// The card of one method: its anomaly map, its scores, and what the thresholds do. `methodCard` builds it once; `lay`
// takes data, `follow` takes thresholds.

const methodCard = (slot, on) => {  // on: {move(key, name, value), pick(number)}
  const onMove = (name, value) => on.move(slot.key, name, value);
  const frame = imageFrame();
  const card = {
    key: slot.key, frame, thumbs: [], rows: [],
    scores: scorePlot(slot.title, {pick: on.pick, move: onMove}), pixels: pixelPlot(onMove),
  };
  const verdictNode = make("span");
  const score = make("span", {class: "score", title: `score of the image, in ${SIGMA}`});
  const head = make("figcaption", {}, make("b", {title: slot.paper}, slot.title), verdictNode, score);
  const foot = make("div", {class: "foot"});
  const [scoreFigures, pixelFigures] = ["", ""].map(() => make("dl", {class: "figures"}, ...figureNodes(" ")));
  const rates = make("p", {class: "rates"}, ...rateNodes(countVerdicts(null, [])));
  const table = countTable(), promise = make("p", {class: "words"});
  const wrong = Array.from({length: GROUPS}, () => make("div", {class: "wrongs"}, make("span"), make("div", {class: "row"})));
  card.node = make("figure", {class: "card pane", "data-method": slot.key}, head, frame.node, foot,
    make("div", {class: "handles"}, card.scores.node), make("div", {}, rates, table.node, scoreFigures),
    make("div", {}, pixelFigures, card.pixels.node), make("div", {}, ...wrong), promise);

  card.lay = (data, images, thumbs) => {  // data: of `gather` in panel.js
    const {map, scale, payload} = data;
    card.node.classList.toggle("done", !!map);
    card.node.classList.toggle("ready", !!scale);
    frame.message.hidden = !!map;
    write(frame.message, data.status);
    set(frame.anomalyMap, "aria-hidden", !map);
    set(frame.anomalyMap, "role", map ? "img" : "none");
    if (!map) clear(frame.anomalyMap), clear(frame.mask);
    if (scale) {
      card.scores.lay(scale, images.map(({bad, label}, i) => ({bad, label, score: data.scores?.[i] ?? null})));
      scoreFigures.replaceChildren(...figureNodes("images: their scores", payload?.numbers));
      pixelFigures.replaceChildren(...figureNodes("surface: anomaly maps, all pixels", payload?.pixels));
      card.pixels.lay(scale, payload?.pixels);
      if (!payload) card.rows = [];
      else if (card.data?.payload !== payload) card.rows = wrong.map(row => wrongImages(row.lastChild, on.pick));
    }
    Object.assign(card, {data, images, thumbs});
  };

  const paintIn = (scale, span) => {  // the table of colours between these values, and its legend
    const wanted = JSON.stringify([scale.color_table, span]);
    if (card.painted === wanted) return;
    card.painted = wanted;
    card.ownTable = colorTable(scale);
    card.table = spanTable(card.ownTable, scale, span);
    card.legend = colorLegend(scale, card.table, span);
    foot.replaceChildren(card.legend.node);
  };

  card.follow = (thresholds, chosen, isStretched, span) => {  // span: values in σ where colour begins and is full
    const {data, images} = card, {scale, map, payload} = data;
    if (!scale) return;
    paintIn(scale, span);
    const marked = levelAt(scale, thresholds.bad), pixelThreshold = marked * (scale.top / 255);
    const counts = countVerdicts(data.scores, images, thresholds);
    const stretched = isStretched && map ? levelRange(map) : null;
    card.scores.follow(thresholds, outcomeText(counts), chosen);
    card.pixels.follow(pixelThreshold);
    card.legend.follow(pixelThreshold, stretched);
    if (map) {
      paint(frame.anomalyMap, map, stretched ? stretchedTable(card.ownTable, scale, stretched)
        : markedTable(card.table, marked, levelAt(scale, thresholds.look)));
      paintOutline(frame.mask, map, marked, WHITE, false);
      showVerdict(verdictOf(data.score, thresholds), marked, stretched);
    }
    table.follow(counts);
    rates.replaceChildren(...rateNodes(counts, payload?.intervals));
    write(promise, promiseText(scale, thresholds));
    const groups = namedGroups(counts);
    wrong.forEach((node, row) => {
      const [name, numbers] = groups[row] ?? ["", []];
      node.hidden = !name;
      write(node.firstChild, payload ? `${name} ${numbers.length || "none"}` : "");
      card.rows[row]?.follow(card, new Set(numbers), marked);
    });
  };

  const showVerdict = (verdict, marked, stretched) => {
    const {score: value, peak, map} = card.data;
    if (verdictNode.dataset.verdict !== verdict) {
      verdictNode.replaceChildren(badge(verdict));
      verdictNode.dataset.verdict = verdict;
    }
    write(score, `${short(value)} σ`);
    set(frame.anomalyMap, "aria-label", [
      `${slot.title}: ${SHAPES[verdict][1]}`, `${short(value)} σ`, peak,
      `${percent(markedShare(map, marked))} of the image marked`, stretched && "colours stretched over this map alone",
    ].filter(Boolean).join(", "));
  };
  return card;
};
