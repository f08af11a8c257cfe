// The panel: takes states from the server, fetches what they name, and redraws what a handle has moved.

const live = element.querySelector(".live");
const [stripNode, tools, cardsNode] = live.children;
const surveys = new Map(), thumbsOf = new Map();  // by key; what has been fetched stays
const shown = {state: null, cards: new Map(), data: new Map(), scale: null};

const pick = at => {
  const image = shown.state.set.images[at];
  if (image && at !== shown.state.at) trigger("picked", {name: image.name});
};
const strip = imageStrip(stripNode, pick);
const source = sourceCard();
const promises = promiseButtons(tools.querySelector(".promise"), () => redraw());
followPointer(cardsNode, () => shown.cards.values());
followBlend(tools.querySelector("input"), live);
const stretch = stretchSwitch(tools, () => redraw());

const firstScale = () => shown.state.slots.map(slot => shown.data.get(slot.key)?.scale).find(Boolean);
const onMove = (key, which, value) => {
  move(which, value, shown.data.get(key).scale, firstScale());
  redraw();
};

// --- a frame of what is known, at the threshold as it stands ---

let waiting = 0;
const redraw = () => { waiting ||= requestAnimationFrame(() => { waiting = 0; follow(); }); };
const follow = () => {
  const {state} = shown, first = firstScale();
  const lines = new Map(state.slots.map(({key}) => [key, shown.data.get(key)?.scale])
    .filter(([, scale]) => scale).map(([key, scale]) => [key, lineOf(scale, first)]));
  for (const [key, line] of lines) shown.cards.get(key).follow(line, state.at, stretch.checked);
  const lead = state.slots.find(({key}) => shown.data.get(key)?.scores);
  strip.follow(state.set.images, thumbs(state), shown.data.get(lead?.key), lines.get(lead?.key), state.at);
  promises.follow(first);
  clearTimeout(follow.later);
  follow.later = setTimeout(() => tellAddress(state), 250);
};

// --- a new state ---

const thumbs = state => thumbsOf.get(JSON.stringify(state.set.key)) ?? [];
const fetchThumbs = async state => {
  const key = JSON.stringify(state.set.key), held = thumbs(state);
  if (held.busy || held.length >= state.set.drawn) return;
  held.busy = true;
  thumbsOf.set(key, held);
  const found = await server.answer({thumbs: state.set.key, from: held.length}).catch(() => null);
  held.push(...(found ?? []));
  held.busy = false;
  if (found?.length) lay();
};
const fetchSurvey = async key => {
  surveys.set(key, null);
  const payload = await server.answer({survey: key}).catch(() => null);
  if (!payload) return surveys.delete(key);
  surveys.set(key, payload);
  payload.cells = [];
  payload.scores = payload.images.map(image => image.score);
  payload.places = payload.images.map(image => image.place);
  lay();
  for (const [i, image] of payload.images.entries()) {
    payload.cells[i] = shrink(await unpack(image.heat));
    if (i % 16 === 15 || i === payload.images.length - 1) redraw();
  }
};

const gather = async slot => {  // what is known of a slot, its map unpacked
  const before = shown.data.get(slot.key), survey = surveys.get(slot.survey) ?? null;
  const same = before?.packed && before.packed === slot.heat?.heat;
  return {
    scale: slot.scale ?? survey, why: slot.why, survey, cells: survey?.cells,
    packed: slot.heat?.heat, map: same ? before.map : slot.heat ? await unpack(slot.heat.heat) : null,
    score: slot.heat?.score, place: slot.heat?.place,
    scores: survey?.scores ?? slot.judged?.scores, places: survey?.places ?? slot.judged?.places,
  };
};
let latest = 0;
const lay = async () => {
  const state = props.value, turn = ++latest;
  if (!state?.slots) return;
  for (const {survey} of state.slots) if (survey && !surveys.has(survey)) fetchSurvey(survey);
  fetchThumbs(state);
  const found = await Promise.all(state.slots.map(gather));
  const truth = state.image?.truth ? await unpack(state.image.truth) : null;
  if (turn !== latest) return;  // a newer state has come meanwhile
  shown.state = state;
  shown.data = new Map(state.slots.map((slot, i) => [slot.key, found[i]]));
  const scale = firstScale();
  if (scale && shown.scale && shown.scale.bad !== scale.bad) rebase(shown.scale, scale);
  if (shown.data.get(state.slots[0].key).scale) takeWanted(scale);
  shown.scale = scale ?? shown.scale;

  const order = state.slots.map(slot => {
    if (!shown.cards.has(slot.key)) shown.cards.set(slot.key, slotCard(slot, {move: onMove, pick}));
    return shown.cards.get(slot.key);
  });
  const nodes = [source.node, ...order.map(card => card.node)];
  if (nodes.length !== cardsNode.children.length || nodes.some((node, i) => node !== cardsNode.children[i]))
    cardsNode.replaceChildren(...nodes);
  cardsNode.style.setProperty("--n", nodes.length);
  strip.lay(state.set);
  source.lay(state, truth);
  for (const card of order) {
    showImage(card.stack, state.image, truth);
    card.lay(shown.data.get(card.key), state.set.images, thumbs(state));
  }
  follow();
};

const takeWanted = scale => {  // what the address asked for, once the first method knows its scale
  if (wanted.at !== null) Object.assign(moved, {at: Math.min(scale.most, Math.max(scale.least, wanted.at))});
  if (scale.marks.some(mark => mark.rate * 100 === wanted.rate)) moved.rate = wanted.rate / 100;
  if (wanted.look !== null) moved.look = wanted.look;
  Object.assign(wanted, {at: null, look: null, rate: null});
};
const rebase = (before, scale) => {  // another scale stands first
  for (const [name, own] of [["at", "bad"], ["look", "look"]])
    if (moved[name] !== null) moved[name] = Math.round(100 * carry(moved[name], own, before, scale)) / 100;
};

watch("value", lay);
let width = 0;
new ResizeObserver(() => { if (width !== (width = cardsNode.clientWidth)) lay(); }).observe(cardsNode);
lay();
