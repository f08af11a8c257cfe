// What a threshold means, computed again in the browser. `lab/calibration.py` and `lab/ui/panel/payload.py` compute the
// same in Python; tests/test_javascript.py compares the two. A scale is `payload.scale_payload`.

const interpolate = (x, xs, ys) => {  // as numpy.interp
  if (x <= xs[0]) return ys[0];
  let j = xs.length - 1;
  if (x >= xs[j]) return ys[j];
  while (xs[j] > x) j--;
  return (ys[j + 1] - ys[j]) / (xs[j + 1] - xs[j]) * (x - xs[j]) + ys[j];
};
const pixelThresholdAt = (scale, threshold) => interpolate(threshold, ...scale.knots);
const scoreThresholdAt = (scale, pixelThreshold) => interpolate(pixelThreshold, scale.knots[1], scale.knots[0]);
const levelAt = (scale, threshold) => {  // the lowest level that is marked at a threshold on scores
  const level = Math.ceil(Math.round(pixelThresholdAt(scale, threshold) / (scale.top / 255) * 1e6) / 1e6);
  return Math.min(255, Math.max(1, level));
};
const supportedRate = (scale, threshold) => {  // as Calibration.promise; null: none
  const n = scale.good_scores.length, above = scale.good_scores.filter(score => score > threshold).length;
  return above < n ? (above + 1) / (n + 1) : null;
};
const upperRate = (scale, threshold) => {  // as Calibration.promise_at(...).upper: with 95 % confidence no more
  const above = scale.good_scores.filter(score => score > threshold).length;
  return above < scale.good_scores.length ? scale.upper_rates[above] : null;
};
const verdictOf = (score, thresholds) => score > thresholds.bad ? "bad" : score > thresholds.look ? "look" : "good";
const highestGoodScore = scale => scale.good_scores[scale.good_scores.length - 1];

// One choice moves all methods: {threshold, look, rate, sure}, both thresholds in σ of the first method. null: each
// method's own. `rate`: the promised rate of false alarms, in place of a threshold; `sure`: with 95 % confidence, else on
// average.
const OWN_THRESHOLDS = {threshold: null, look: null, rate: null, sure: false};

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const unit = scale => scale.bad > 0 ? scale.bad : 1;
const convert = (value, name, from, to) =>  // as far from the method's own threshold, in units of its own `bad`
  from === to ? value : to[name] + (value - from[name]) / unit(from) * unit(to);
const round = value => Math.round(100 * value) / 100;  // two decimals, as an address has them

const thresholdsOf = (scale, first, choice) => {
  const promise = choice.rate !== null && scale.promises.find(({rate}) => rate === choice.rate);
  let {bad, look} = scale;
  if (promise) bad = promise[choice.sure ? "sure_threshold" : "threshold"] ?? highestGoodScore(scale);
  else if (choice.threshold !== null) bad = convert(choice.threshold, "bad", first, scale);
  if (choice.look !== null) look = convert(choice.look, "look", first, scale);
  bad = clamp(bad, scale.lowest, scale.highest);
  return {bad, look: Math.min(bad, Math.max(scale.lowest, look))};
};
const chooseThreshold = (choice, name, value, scale, first) => {  // one of `scale`'s two handles moves to `value`
  const threshold = clamp(round(convert(value, name, scale, first)), first.lowest, first.highest);
  return name === "bad" ? {...choice, threshold, rate: null, sure: false}
    : {...choice, look: Math.min(threshold, thresholdsOf(first, first, choice).bad)};
};
const rebase = ({threshold, look, ...promised}, before, after) => {  // another method stands first
  const moved = (value, name) => value === null ? null : round(convert(value, name, before, after));
  return {threshold: moved(threshold, "bad"), look: moved(look, "look"), ...promised};
};
