const assert = require("node:assert/strict");
const {test} = require("node:test");
const {load} = require("./load.js");

const {
  askedRate, countVerdicts, namedGroups, offeredRates, outcomeText, percent, promiseLabels, promiseText, rateText, short,
} = load(
  ["html/dom.js", "panel/thresholds.js", "panel/axis.js", "panel/score_plot.js", "panel/counts.js", "panel/tools.js"],
  ["askedRate", "countVerdicts", "namedGroups", "offeredRates", "outcomeText", "percent", "promiseLabels",
    "promiseText", "rateText", "short"]);

const images = [true, true, true, false, false, false].map(bad => ({bad}));
const thresholds = {look: 1, bad: 2};
const scale = {
  good_scores: [0, 1, 2], held_out: "made up",
  upper_rates: [0.632, 0.865, 0.983], promises: [{rate: 0.1, threshold: null, needs: 9}, {rate: 0.5, threshold: 1, needs: 1}],
};

test("images are counted by truth and verdict; those not judged yet are left out", () => {
  const counts = countVerdicts([3, 1.5, 0, 2.5, null, 0], images, thresholds);
  assert.deepEqual(counts.bad, {good: [2], look: [1], bad: [0]});
  assert.deepEqual(counts.good, {good: [5], look: [], bad: [3]});
  assert.equal(outcomeText(counts), "missed 2 of 3, false alarms 1 of 2");
  assert.deepEqual(namedGroups(counts), [["missed", [1, 2]], ["false alarms", [3]]]);
});

test("images without a truth are counted by verdict alone", () => {
  const counts = countVerdicts([3, 1.5, 0], [null, null, null].map(bad => ({bad})), thresholds);
  assert.equal(counts.known, false);
  assert.equal(outcomeText(counts), "1 bad, 1 to look at, 1 good");
  assert.deepEqual(namedGroups(counts), [["bad", [0]], ["look at it", [1]]]);
});

test("images to judge are counted apart from those with a truth, and take nothing from them", () => {
  const mixed = [true, true, false, null, null].map(bad => ({bad}));
  const counts = countVerdicts([3, 0, 0, 2.5, 1.5], mixed, thresholds);
  assert.equal(counts.known, true);
  assert.equal(outcomeText(counts), "missed 1 of 2, false alarms 0 of 1, of those to judge 1 bad, 1 to look at, 0 good");
  assert.deepEqual(namedGroups(counts),
    [["missed", [1]], ["false alarms", []], ["to judge: bad or look", [3, 4]]]);
});

test("nothing is said of bad images where there are none", () => {
  const counts = countVerdicts([3, 0], [false, false].map(bad => ({bad})), thresholds);
  assert.equal(outcomeText(counts), "false alarms 1 of 2");
});

test("a rate is given with its interval", () => {
  assert.equal(rateText(1, 3, [0.008, 0.906]), "33 % (1–91 %)");
  assert.equal(rateText(1, 3), "33 %");
  assert.equal(rateText(0, 0, null), "none to judge");
});

test("numbers have no more digits than they need, and a true minus", () => {
  assert.deepEqual([0.5, 0.0995, 0.099, 0.01, 0].map(percent), ["50 %", "10 %", "9.9 %", "1 %", "0 %"]);
  assert.deepEqual([1.25, -1.5, -0.01, 123.4].map(short), ["1.3", "−1.5", "0.0", "123"]);
});

test("a promise says what the good images support, and what they cannot", () => {
  const text = promiseText(scale, {look: 0.5, bad: 2});
  assert.match(text, /the 3 it was calibrated on \(made up\), 25 % are called bad on average, at most 63 % with 95 % confidence; bad or look 75 %, at most 98 %\./);
  assert.match(text, /no less than 1\/4 = 25 % on average: 10 % would take 9\./);
  assert.match(promiseText(scale, {look: -2, bad: -1}), /^Here nothing is promised/);
});

test("marks on the axis name each rate, and the least where not all can be promised", () => {
  assert.deepEqual(promiseLabels(scale).map(({threshold, text}) => [threshold, text]), [[1, "50"], [2, "25 %"]]);
});

test("rates are offered that so many images can promise, then the least, then what the others need", () => {
  const promises = [{rate: 0.5, threshold: 1, needs: 1, sure_threshold: null, sure_needs: 5},
    {rate: 0.1, threshold: null, needs: 9, sure_threshold: null, sure_needs: 29}];
  const few = {...scale, promises, bad_rate: 0.1};
  assert.deepEqual(offeredRates(few, false), [{rate: 0.5, needs: 0}, {rate: 0.25, needs: 0}, {rate: 0.1, needs: 9}]);
  assert.deepEqual(offeredRates(few, true), [{rate: 0.632, needs: 0}, {rate: 0.5, needs: 5}, {rate: 0.1, needs: 29}]);
  assert.equal(askedRate(few, 0.25), 0.1);
  assert.equal(askedRate(few, 0.5), 0.5);
  const highest = {...few, promises: [{...promises[0], threshold: 2}, promises[1]]};  // the same line as the least
  assert.deepEqual(offeredRates(highest, false), [{rate: 0.5, needs: 0}, {rate: 0.1, needs: 9}]);
});
