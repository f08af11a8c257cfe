const assert = require("node:assert/strict");
const {test} = require("node:test");
const {load} = require("./load.js");

const {
  OWN_THRESHOLDS, chooseThreshold, interpolate, levelAt, pixelThresholdAt, rebase, scoreThresholdAt, supportedRate,
  thresholdsOf, verdictOf,
} = load(["panel/thresholds.js"], [
  "OWN_THRESHOLDS", "chooseThreshold", "interpolate", "levelAt", "pixelThresholdAt", "rebase", "scoreThresholdAt",
  "supportedRate", "thresholdsOf", "verdictOf",
]);

const scale = {
  knots: [[-1000, 0, 2, 4, 1004], [-2000, 1, 2, 6, 2006]], top: 25.5, good_scores: [0, 2, 4], look: 2, bad: 4,
  lowest: -3, highest: 20, promises: [{rate: 0.1, threshold: 3, needs: 9}, {rate: 0.01, threshold: null, needs: 99}],
};
const other = {...scale, look: 1, bad: 8, highest: 40, promises: [{rate: 0.1, threshold: 7, needs: 9}]};

test("interpolation is linear between knots and flat beyond them", () => {
  assert.equal(interpolate(1, [0, 2], [10, 20]), 15);
  assert.deepEqual([-1, 0, 2, 3].map(x => interpolate(x, [0, 2], [10, 20])), [10, 10, 20, 20]);
});

test("a threshold on scores and one on pixels name each other", () => {
  for (const threshold of [-2, 0, 1, 3.3, 4, 9]) {
    const pixels = pixelThresholdAt(scale, threshold);
    assert.ok(Math.abs(scoreThresholdAt(scale, pixels) - threshold) < 1e-9);
  }
  assert.equal(pixelThresholdAt(scale, 3), 4);
});

test("the marked level is the next one at the threshold, and within the scale", () => {
  assert.equal(levelAt(scale, 2), 20);  // 2 σ in steps of 0.1 σ
  assert.equal(levelAt(scale, 2.01), 21);  // 2.02 σ
  assert.deepEqual([levelAt(scale, -50), levelAt(scale, 50)], [1, 255]);
});

test("good scores support no rate below one in n + 1", () => {
  assert.deepEqual([-1, 0, 2, 4].map(threshold => supportedRate(scale, threshold)), [null, 0.75, 0.5, 0.25]);
});

test("a score above a threshold passes it, one on it does not", () => {
  const verdicts = [1, 2, 2.1, 4, 4.1].map(score => verdictOf(score, scale));
  assert.deepEqual(verdicts, ["good", "good", "look", "look", "bad"]);
});

test("without a choice every method stands at its own thresholds", () => {
  assert.deepEqual(thresholdsOf(other, scale, OWN_THRESHOLDS), {look: 1, bad: 8});
});

test("one threshold moves all methods in proportion to their own", () => {
  const choice = chooseThreshold(OWN_THRESHOLDS, "bad", 6, scale, scale);
  assert.deepEqual(choice, {threshold: 6, look: null, rate: null, sure: false});
  assert.equal(thresholdsOf(scale, scale, choice).bad, 6);
  assert.equal(thresholdsOf(other, scale, choice).bad, 12);
  assert.equal(chooseThreshold(OWN_THRESHOLDS, "bad", 12, other, scale).threshold, 6);
});

test("a choice stays on the axis, in two decimals, and look never passes bad", () => {
  assert.equal(chooseThreshold(OWN_THRESHOLDS, "bad", 99, scale, scale).threshold, 20);
  assert.equal(chooseThreshold(OWN_THRESHOLDS, "bad", 5.129, scale, scale).threshold, 5.13);
  assert.equal(chooseThreshold(OWN_THRESHOLDS, "look", 9, scale, scale).look, 4);
  assert.deepEqual(thresholdsOf(scale, scale, {threshold: 1, look: null, rate: null}), {look: 1, bad: 1});
});

test("a promised rate takes each method's own threshold, or the least that it can promise", () => {
  assert.equal(thresholdsOf(scale, scale, {...OWN_THRESHOLDS, rate: 0.1}).bad, 3);
  assert.equal(thresholdsOf(other, scale, {...OWN_THRESHOLDS, rate: 0.1}).bad, 7);
  assert.equal(thresholdsOf(scale, scale, {...OWN_THRESHOLDS, rate: 0.01}).bad, 4);
  assert.equal(chooseThreshold({...OWN_THRESHOLDS, rate: 0.1}, "bad", 5, scale, scale).rate, null);
  const promises = [{rate: 0.1, threshold: 2, sure_threshold: 3}, {rate: 0.05, threshold: 3, sure_threshold: null}];
  const bad = rate => thresholdsOf({...scale, promises}, scale, {...OWN_THRESHOLDS, rate, sure: true}).bad;
  assert.deepEqual([bad(0.1), bad(0.05)], [3, 4]);  // the highest good score where there are too few images
});

test("a choice is carried over when another method stands first", () => {
  assert.deepEqual(rebase({threshold: 6, look: 3, rate: null}, scale, other), {threshold: 12, look: 3, rate: null});
  assert.deepEqual(rebase(OWN_THRESHOLDS, scale, other), OWN_THRESHOLDS);
});
