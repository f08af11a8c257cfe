const assert = require("node:assert/strict");
const {test} = require("node:test");
const {load} = require("./load.js");

const {countVerdicts, headlineOf, verdictOn} = load(
  ["html/dom.js", "panel/thresholds.js", "panel/axis.js", "panel/score_plot.js", "panel/counts.js",
    "panel/verdict_card.js"],
  ["countVerdicts", "headlineOf", "verdictOn"]);

const thresholds = {look: 1, bad: 2};
const scale = {good_scores: Array.from({length: 20}, (_, i) => i / 10)};
const intervals = {missed: [[0, 0.52], [0.01, 0.72], [0.05, 0.85], [0.15, 0.95], [0.28, 0.99], [0.48, 1]]};
const of = (bad, good, open = []) => {
  const images = [...bad.map(() => true), ...good.map(() => false), ...open.map(() => null)].map(bad => ({bad}));
  return verdictOn(countVerdicts([...bad, ...good, ...open], images, thresholds), scale, thresholds, intervals);
};

test("four of five found and no good one flagged is usable, and what five images leave open is said", () => {
  const {kind, counted, interval} = of([3, 3, 3, 3, 0], Array(20).fill(0));
  assert.equal(kind, "usable");
  assert.equal(counted, "finds 4 of 5 bad, wrongly flags 0 of 20 good (4.8 % promised on average).");
  assert.equal(interval, "After 5 bad images, anything from 1 to 72 % of such may be missed.");
});

test("what finds none is not to be used, nor what flags every third good image", () => {
  assert.equal(of([0, 0, 0, 0, 0], [0, 0]).kind, "useless");
  assert.equal(of([3, 3, 3, 3, 3], [3, 0, 0]).kind, "flagging");
});

test("too few bad images, or none, cannot tell", () => {
  assert.equal(of([3, 3], [0]).kind, "open");
  const {kind, counted, interval} = of([], [0, 3, 0, 0], [3, 1.5, 0]);
  assert.equal(kind, "open");
  assert.match(counted, /^wrongly flags 1 of 4 good .*, of 3 to judge calls 1 bad, 1 worth a look\.$/);
  assert.match(interval, /Without bad images/);
});

test("a line below all good images promises nothing", () => {
  const low = {look: -2, bad: -1};
  const counts = countVerdicts([3, 0], [{bad: true}, {bad: false}], low);
  assert.match(verdictOn(counts, scale, low, intervals).counted, /nothing is promised here/);
});

test("a headline says what each method finds and flags at its line", () => {
  const images = [true, true, false].map(bad => ({bad}));
  const methods = [["A", [3, 0, 0]], ["B", [3, 3, 3]]].map(([title, scores]) =>
    ({title, counts: countVerdicts(scores, images, thresholds)}));
  assert.equal(headlineOf(methods), "Of 2 bad images A finds 1 and B finds 2. Of 1 good ones called bad: 0 and 1.");
  assert.equal(headlineOf([]), "");
});
