// One method: its map, its line, what the line does. `slotCard` builds it once; `lay` takes data, `follow` a threshold.

const frame = () => {  // the image and what lies over it; the same size whatever comes
  const node = make("div", {class: "stack"}, make("img", {class: "under", alt: ""}),
    make("canvas", {class: "heat", "aria-hidden": "true", width: 1, height: 1}),
    make("canvas", {class: "truth", "aria-hidden": "true", width: 1, height: 1}),
    make("canvas", {class: "mask", "aria-hidden": "true", width: 1, height: 1}),
    make("i", {class: "spot"}), make("p"));
  const [under, heat, truth, mask, spot, words] = node.children;
  return {node, under, heat, truth, mask, spot, words};
};

const showImage = (stack, image, truth) => {
  stack.node.style.aspectRatio = image ? `${image.width} / ${image.height}` : "1";
  if (image && stack.under.src !== image.src) stack.under.src = image.src;
  stack.under.hidden = !image;
  if (truth) outline(stack.truth, truth, 1, CYAN, true);
  else clear(stack.truth);
};

const legend = scale => {
  const [low, high] = scale.span, table = colours(scale), stops = [], step = scale.top / 255;
  for (let i = 0; i <= 20; i++) {
    const at = 4 * Math.min(255, Math.round((low + (high - low) * i / 20) / scale.top * 255));
    stops.push(`rgba(${table[at]},${table[at + 1]},${table[at + 2]},${table[at + 3] / 255})`);
  }
  const node = make("div", {class: "legend"},
    make("i", {style: `background: linear-gradient(90deg, ${stops.join(",")}), #8c8c8c`}), make("b"),
    make("span"), make("em"), make("span"));
  return {node, follow(heat, own) {  // own: the levels over which a map is stretched
    const [from, to] = own ? own.map(level => level * step) : [low, high], room = Math.max(step, to - from);
    node.children[1].hidden = own && heat > to;
    node.children[1].style.left = `${Math.min(100, Math.max(0, 100 * (heat - from) / room))}%`;
    write(node.children[2], own?.[0] ? short(from) : `<${short(own ? step : low)}`);
    write(node.children[3], `marked from ${short(heat)} σ`);
    write(node.children[4], `${own && own[1] < 255 ? "" : "≥"}${short(to)} σ`);
    const blank = own ? "stretched over this map alone" : `no colour below ${short(low)} σ`;
    set(node, "title", `heat of a pixel, in ${SIGMA}; ${blank}`);
  }};
};

const slotCard = (slot, on) => {  // on: {move(key, which, value), pick(number)}
  const stack = frame();
  const card = {
    key: slot.key, stack, line: linePlot(slot.title, {pick: on.pick, move: (w, v) => on.move(slot.key, w, v)}),
    bars: barPlot({move: (w, v) => on.move(slot.key, w, v)}), thumbs: [],
  };
  const score = make("span", {class: "score", title: `score of the image, in ${SIGMA}`});
  const head = make("figcaption", {}, make("b", {title: slot.paper}, slot.title), make("span"), score);
  const foot = make("div", {class: "foot"});
  const [about, surface] = ["", ""].map(() => make("dl", {class: "figures"}));
  const rates = make("p", {class: "rates"}), table = countTable(), promise = make("p", {class: "words"});
  const wrong = ["", ""].map(() => make("div", {class: "wrongs"}, make("span"), make("div", {class: "row"})));
  card.node = make("figure", {class: "card pane", "data-method": slot.key}, head, stack.node, foot,
    make("div", {class: "handles"}, card.line.node), make("div", {}, rates, table.node, about),
    make("div", {}, surface, card.bars.node), make("div", {}, ...wrong), promise);
  rates.append(...rateWords(count(null, []), null));
  about.append(...figures(" "));
  surface.append(...figures(" "));

  card.lay = (data, images, thumbs) => {  // data: {scale, map, score, place, why, scores, survey, cells}
    card.data = data;
    card.images = images;
    card.node.classList.toggle("done", !!data.map);
    card.node.classList.toggle("ready", !!data.scale);
    stack.words.hidden = !!data.map;
    write(stack.words, data.why);
    set(stack.heat, "aria-hidden", !data.map);
    set(stack.heat, "role", data.map ? "img" : "none");
    if (!data.map) clear(stack.heat), clear(stack.mask);
    if (!data.scale) return;
    if (card.scale !== data.scale.table) {
      card.scale = data.scale.table;
      card.table = colours(data.scale);
      card.legend = legend(data.scale);
      foot.replaceChildren(card.legend.node);
    }
    const {survey} = data;
    card.line.lay(data.scale, images.map((p, i) => ({bad: p.bad, nice: p.nice, score: data.scores?.[i] ?? null})));
    about.replaceChildren(...figures("images: their scores", survey?.numbers));
    surface.replaceChildren(...figures("surface: heat of all pixels", survey?.pixels));
    card.bars.lay(data.scale, survey?.pixels);
    if (card.survey !== survey) card.thumbs = survey ? wrong.map(group => wrongThumbs(group.lastChild, on.pick)) : [];
    card.survey = survey;
    card.faces = thumbs;
  };

  card.follow = (line, chosen, stretch) => {
    const {data, images} = card, {scale} = data;
    if (!scale) return;
    const least = levelAt(scale, line.bad), heat = least * (scale.top / 255);
    const counts = count(data.scores, images, line), told = outcome(counts);
    card.line.follow(line, told, chosen);
    card.bars.follow(heat);
    const own = stretch && data.map ? ends(data.map) : null;
    card.legend.follow(heat, own);
    if (data.map) {
      const table = own ? stretched(card.table, scale, own) : lookup(card.table, least, levelAt(scale, line.look));
      paint(stack.heat, data.map, table);
      outline(stack.mask, data.map, least, WHITE, false);
      const verdict = verdictOf(data.score, line);
      if (head.children[1].dataset.verdict !== verdict) {
        head.children[1].replaceChildren(badge(verdict));
        head.children[1].dataset.verdict = verdict;
      }
      write(score, `${short(data.score)} σ`);
      const share = data.map.levels.reduce((sum, level) => sum + (level >= least), 0) / data.map.levels.length;
      set(stack.heat, "aria-label", [`${slot.title}: ${SHAPES[verdict][1]}`, `${short(data.score)} σ`, data.place,
        `${percent(share)} of the image marked`, own && "colours stretched over this map alone"].filter(Boolean).join(", "));
    }
    table.follow(counts);
    rates.replaceChildren(...rateWords(counts, data.survey));
    write(promise, promiseWords(scale, line));
    groups(counts).forEach(([name, numbers], row) => {
      write(wrong[row].firstChild, data.survey ? `${name} ${numbers.length || "none"}` : "");
      card.thumbs[row]?.follow(card, new Set(numbers), least);
    });
  };
  return card;
};
