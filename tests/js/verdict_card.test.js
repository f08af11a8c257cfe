const assert = require("node:assert/strict");
const {test} = require("node:test");
const {load} = require("./load.js");

const {countVerdicts, verdictOn} = load(
  ["html/dom.js", "panel/thresholds.js", "panel/axis.js", "panel/score_plot.js", "panel/counts.js",
    "panel/verdict_card.js"],
  ["countVerdicts", "verdictOn"]);

const thresholds = {look: 1, bad: 2};
const scale = {good_scores: Array.from({length: 20}, (_, i) => i / 10)};
const intervals = {missed: [[0, 0.52], [0.01, 0.72], [0.05, 0.85], [0.15, 0.95], [0.28, 0.99], [0.48, 1]]};
const of = (bad, good, open = []) => {
  const images = [...bad.map(() => true), ...good.map(() => false), ...open.map(() => null)].map(bad => ({bad}));
  return verdictOn(countVerdicts([...bad, ...good, ...open], images, thresholds), scale, thresholds, intervals);
};

test("four of five found and no good one flagged is usable, and what five images leave open is said", () => {
  const {kind, told, leaves} = of([3, 3, 3, 3, 0], Array(20).fill(0));
  assert.equal(kind, "usable");
  assert.equal(told, "finds 4 of 5 bad, wrongly flags 0 of 20 good (4.8 % promised on average).");
  assert.equal(leaves, "After 5 bad images, anything from 1 to 72 % of such may be missed.");
});

test("what finds none is not to be used, nor what flags every third good image", () => {
  assert.equal(of([0, 0, 0, 0, 0], [0, 0]).kind, "useless");
  assert.equal(of([3, 3, 3, 3, 3], [3, 0, 0]).kind, "flagging");
});

test("too few bad images, or none, cannot tell", () => {
  assert.equal(of([3, 3], [0]).kind, "open");
  const {kind, told, leaves} = of([], [0, 3, 0, 0], [3, 1.5, 0]);
  assert.equal(kind, "open");
  assert.match(told, /^wrongly flags 1 of 4 good .*, of 3 to judge calls 1 bad, 1 worth a look\.$/);
  assert.match(leaves, /Without bad images/);
});

test("a line below all good images promises nothing", () => {
  const low = {look: -2, bad: -1};
  const counts = countVerdicts([3, 0], [{bad: true}, {bad: false}], low);
  assert.match(verdictOn(counts, scale, low, intervals).told, /nothing is promised here/);
});
