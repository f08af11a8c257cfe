// The panel: takes states from the server, fetches what they name, and redraws what a handle has moved.

const live = element.querySelector(".live");
const [verdictNode, headlineNode, stripNode, tools, cardsNode] = live.children;
const payloads = new Map(), thumbsByKey = new Map();  // what has been fetched stays
const shown = {state: null, cards: new Map(), data: new Map(), scale: null};
const requested = readAddress(location.search, live.dataset.tab);
let choice = OWN_THRESHOLDS;

const pick = number => {
  const image = shown.state.set.images[number];
  if (image && number !== shown.state.chosen) trigger("picked", {name: image.name});
};
const choose = changed => {
  choice = changed;
  redraw();
};
const strip = imageStrip(stripNode, pick);
const verdict = verdictCard(verdictNode, {
  advise: action => trigger("advised", {action}),
  price: times => server.answer({cheapest: shown.state.slots[0].payload_key, times}),
  move: threshold => choose({...OWN_THRESHOLDS, threshold: clamp(threshold, firstScale().lowest, firstScale().highest)}),
});
const firstCard = imageCard();
const promises = promiseButtons(tools.querySelector(".promise"), (rate, sure, scale) =>
  choose({...OWN_THRESHOLDS, sure, rate: rate === scale.bad_rate && !sure ? null : rate}));
const writeAddress = addressWriter(element, live.dataset.tab, requested.isMine);
followPointer(cardsNode, () => shown.cards.values());
followBlend(tools.querySelector("input"), live);
const stretch = stretchSwitch(tools, () => redraw());
const apart = tools.querySelector(".own-colours input");
apart.addEventListener("change", () => redraw());

const firstScale = () => shown.state.slots.map(({key}) => shown.data.get(key)?.scale).find(Boolean);
const onMove = (key, name, value) =>
  choose(chooseThreshold(choice, name, value, shown.data.get(key).scale, firstScale()));

// --- a frame of what is known, at the chosen thresholds ---

let pending = 0;
const redraw = () => { pending ||= requestAnimationFrame(() => { pending = 0; follow(); }); };
const follow = () => {
  const {state, data, cards} = shown, first = firstScale(), thresholds = new Map();
  for (const {key} of state.slots) {
    const scale = data.get(key)?.scale;
    if (scale) thresholds.set(key, thresholdsOf(scale, first, choice));
  }
  const scales = [...thresholds.keys()].map(key => data.get(key).scale), shared = scales.length ? sharedSpan(scales) : null;
  apart.closest("label").hidden = scales.length < 2;
  for (const [key, both] of thresholds)
    cards.get(key).follow(both, state.chosen, stretch.checked, apart.checked ? data.get(key).scale.span : shared);
  const lead = state.slots.find(({key}) => data.get(key)?.scores)?.key;
  strip.follow(state.set.images, thumbsOf(state), data.get(lead), thresholds.get(lead), state.chosen);
  promises.follow(first, choice);
  const judged = state.slots.filter(({key}) => data.get(key)?.payload && thresholds.has(key)).map(({key, title}) =>
    ({key, title, counts: countVerdicts(data.get(key).scores, state.set.images, thresholds.get(key))}));
  if (!state.advice) write(headlineNode, headlineOf(judged));
  else if (judged.length) verdict.follow(state, judged[0].counts, first, thresholds.get(judged[0].key),
    data.get(judged[0].key).payload.intervals);
  clearTimeout(follow.later);
  follow.later = setTimeout(() => writeAddress(state, choice), 250);
};

// --- a new state ---

const thumbsOf = state => thumbsByKey.get(JSON.stringify(state.set.key)) ?? [];
const fetchThumbs = async state => {
  const thumbs = thumbsOf(state);
  if (thumbs.busy || thumbs.length >= state.set.drawn) return;
  thumbs.busy = true;
  thumbsByKey.set(JSON.stringify(state.set.key), thumbs);
  const fetched = await server.answer({thumbs: state.set.key, from: thumbs.length}).catch(() => null);
  thumbs.push(...(fetched ?? []));
  thumbs.busy = false;
  if (fetched?.length) lay();
};
const fetchPayload = async key => {
  payloads.set(key, null);
  const payload = await server.answer({payload: key}).catch(() => null);
  if (!payload) return payloads.delete(key);
  payloads.set(key, payload);
  payload.cells = [];
  payload.scores = payload.images.map(({score}) => score);
  payload.peaks = payload.images.map(({peak}) => peak);
  lay();
  for (const [i, {anomaly_map: png}] of payload.images.entries()) {
    payload.cells[i] = reduceToCells(await decodePNG(png));
    if (i % 16 === 15 || i === payload.images.length - 1) redraw();
  }
};

const gather = async slot => {  // what is known of a slot, its anomaly map unpacked
  const before = shown.data.get(slot.key), payload = payloads.get(slot.payload_key) ?? null;
  const {finding, judged} = slot, png = finding?.anomaly_map;
  return {
    scale: slot.scale ?? payload, status: slot.status, payload, cells: payload?.cells,
    png, map: !png ? null : before?.png === png ? before.map : await decodePNG(png),
    score: finding?.score, peak: finding?.peak,
    scores: payload?.scores ?? judged?.scores, peaks: payload?.peaks ?? judged?.peaks,
  };
};
let turns = 0;
const lay = async () => {
  const state = props.value, turn = ++turns;
  if (!state?.slots) return;
  for (const {payload_key: key} of state.slots) if (key && !payloads.has(key)) fetchPayload(key);
  fetchThumbs(state);
  const data = await Promise.all(state.slots.map(gather));
  const truth = state.image?.truth ? await decodePNG(state.image.truth) : null;
  if (turn !== turns) return;  // a newer state has come meanwhile
  shown.state = state;
  shown.data = new Map(state.slots.map(({key}, i) => [key, data[i]]));
  const scale = firstScale();
  if (scale && shown.scale && shown.scale.bad !== scale.bad) choice = rebase(choice, shown.scale, scale);
  if (data[0].scale) takeRequested(scale);
  shown.scale = scale ?? shown.scale;

  const cards = state.slots.map(slot => {
    if (!shown.cards.has(slot.key)) shown.cards.set(slot.key, methodCard(slot, {move: onMove, pick}));
    return shown.cards.get(slot.key);
  });
  const nodes = [firstCard.node, ...cards.map(({node}) => node)];
  if (nodes.length !== cardsNode.children.length || nodes.some((node, i) => node !== cardsNode.children[i]))
    cardsNode.replaceChildren(...nodes);
  cardsNode.style.setProperty("--n", nodes.length);
  strip.lay(state.set);
  firstCard.lay(state, truth);
  for (const card of cards) {
    showImage(card.frame, state.image, truth);
    card.lay(shown.data.get(card.key), state.set.images, thumbsOf(state));
  }
  follow();
};
const takeRequested = scale => {  // what the address asks for, once the first method has its scale
  const {threshold, look, promise, confidence} = requested;
  if (threshold !== null) choice = {...choice, threshold: clamp(threshold, scale.lowest, scale.highest)};
  if (scale.promises.some(({rate}) => rate * 100 === promise)) choice = {...choice, rate: promise / 100, sure: confidence === 95};
  if (look !== null) choice = {...choice, look};
  Object.assign(requested, {threshold: null, look: null, promise: null, confidence: null});
};

watch("value", lay);
let width = 0;
new ResizeObserver(() => { if (width !== (width = cardsNode.clientWidth)) lay(); }).observe(cardsNode);
lay();
