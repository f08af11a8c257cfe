const assert = require("node:assert/strict");
const {test} = require("node:test");
const {load} = require("./load.js");

const {barHeights, sigmaAxis, stackDots} = load(
  ["panel/thresholds.js", "panel/axis.js", "panel/score_plot.js", "panel/pixel_plot.js"],
  ["barHeights", "sigmaAxis", "stackDots"]);

const scale = {bend: 2, lowest: -3};

test("positions and values are each other's inverse, within the axis", () => {
  const axis = sigmaAxis(scale, 50, 400);
  for (const value of [-3, -1, 0, 2, 10, 49]) assert.ok(Math.abs(axis.value(axis.x(value)) - value) < 1e-9);
  assert.deepEqual([axis.x(-99), axis.x(99)], [8, 392]);
  assert.ok(Math.abs(axis.value(-5) + 3) < 1e-9 && Math.abs(axis.value(1000) - 50) < 1e-9);
});

test("ticks keep their distance, the first ones win", () => {
  for (const [highest, width] of [[8, 200], [50, 400], [2000, 300], [2000, 60]]) {
    const axis = sigmaAxis(scale, highest, width), x = axis.ticks().map(axis.x).sort((a, b) => a - b);
    assert.ok(x.every((position, i) => i === 0 || position - x[i - 1] > 24));
  }
  assert.deepEqual(sigmaAxis(scale, 50, 400).ticks().slice(0, 3), [0, 5, 20]);
});

test("dots of equal scores and sides are stacked", () => {
  const axis = {x: value => 10 * value};
  const images = [[1, true], [1.01, true], [1, false], [null, false], [5, null]].map(([score, bad]) => ({score, bad}));
  assert.deepEqual(stackDots(images, axis), [
    {x: 7, below: true, numbers: [0, 1]}, {x: 7, below: false, numbers: [2]}, {x: 49, below: false, numbers: [4]}]);
});

test("bars are roots of shares, and share the lower of the two", () => {
  const heights = barHeights({normal: [3, 1], abnormal: [0, 0]});
  assert.deepEqual(heights, {normal: [Math.sqrt(0.75), 0.5], abnormal: [0, 0], shared: [0, 0]});
});
