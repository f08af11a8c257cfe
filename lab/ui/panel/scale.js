// What lab says at a threshold, said again where the finger is: lab/calibrate.py, lab/metrics.py and lab/ui/evidence.py
// say it in Python, and a test holds the two against each other.

const between = (x, xs, ys) => {  // np.interp
  if (x <= xs[0]) return ys[0];
  let j = xs.length - 1;
  if (x >= xs[j]) return ys[j];
  while (xs[j] > x) j--;
  return (ys[j + 1] - ys[j]) / (xs[j + 1] - xs[j]) * (x - xs[j]) + ys[j];
};
const heatAt = (scale, threshold) => between(threshold, ...scale.knots);
const scoreAt = (scale, heat) => between(heat, scale.knots[1], scale.knots[0]);
const levelAt = (scale, threshold) => {
  const level = Math.ceil(Math.round(heatAt(scale, threshold) / (scale.top / 255) * 1e6) / 1e6);
  return Math.min(255, Math.max(1, level));
};
const promised = (scale, threshold) => {  // the false-alarm rate that held-out good images support; null: none
  const below = scale.good.filter(score => score <= threshold).length;
  return below ? 1 - below / (scale.good.length + 1) : null;
};
const verdictOf = (score, line) => score > line.bad ? "bad" : score > line.look ? "look" : "good";
const mostGood = scale => scale.good[scale.good.length - 1];

// One threshold moves all methods: as many of each method's own thresholds as of the first one's, or a promised rate.
const moved = {at: null, look: null, rate: null};  // `at`, `look`: σ of the first method; null: its own

const unit = scale => scale.bad > 0 ? scale.bad : 1;
const carry = (value, own, from, to) =>  // a handle of one scale onto another: as far from its own line, in own lines
  from === to ? value : to[own] + (value - from[own]) / unit(from) * unit(to);
const lineOf = (scale, first) => {
  const mark = moved.rate !== null && scale.marks.find(m => m.rate === moved.rate);
  let bad = scale.bad, look = scale.look;
  if (mark) bad = mark.at ?? mostGood(scale);
  else if (moved.at !== null) bad = carry(moved.at, "bad", first, scale);
  if (moved.look !== null) look = carry(moved.look, "look", first, scale);
  bad = Math.min(scale.most, Math.max(scale.least, bad));
  return {bad, look: Math.min(bad, Math.max(scale.least, look))};
};
const move = (which, value, scale, first) => {  // a handle of `scale` to `value`, kept to what an address can say
  const there = Math.round(100 * carry(value, which, scale, first)) / 100;
  const kept = Math.min(first.most, Math.max(first.least, there));
  if (which === "bad") Object.assign(moved, {at: kept, rate: null});
  else moved.look = Math.min(kept, lineOf(first, first).bad);
};

// Axes: even steps near zero, even ratios far out.
const axis = (scale, most, width, pad = 8) => {
  const bend = x => Math.asinh(x / scale.bend), low = bend(scale.least), room = bend(most) - low;
  return {
    x: value => pad + Math.min(1, Math.max(0, (bend(value) - low) / room)) * (width - 2 * pad),
    value: x => scale.bend * Math.sinh(low + Math.min(1, Math.max(0, (x - pad) / (width - 2 * pad))) * room),
    ticks() {
      const found = [], all = [0, 5, 20, 100, 2, 10, 50, 200, 500, 1000, -2];
      const free = t => found.every(other => Math.abs(this.x(other) - this.x(t)) > 24);
      for (const t of all) if (t > scale.least && this.x(t) < width - 20 && free(t)) found.push(t);
      return found;
    },
  };
};
