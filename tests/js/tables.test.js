const assert = require("node:assert/strict");
const {test} = require("node:test");
const {load} = require("./load.js");

const element = {addEventListener() {}, querySelector: () => null, querySelectorAll: () => []};
const browser = {element, watch() {}, IntersectionObserver: class { observe() {} }};
const {compareKeys, sortKey} = load(["html/dom.js", "html/table_cells.js"], ["compareKeys", "sortKey"], browser);

const sorted = (texts, isDescending) =>
  texts.map(sortKey).sort((a, b) => compareKeys(a, b, isDescending)).map(({text}) => text);

test("numbers sort as numbers, before words, and empty cells stay last", () => {
  const texts = ["1400", "-", "beta", "344", "+0.5 ± 0.1", "alpha", "", "-2"];
  assert.deepEqual(sorted(texts, false), ["-2", "+0.5 ± 0.1", "344", "1400", "alpha", "beta", "", "-"]);
  assert.deepEqual(sorted(texts, true), ["1400", "344", "+0.5 ± 0.1", "-2", "beta", "alpha", "-", ""]);
});
