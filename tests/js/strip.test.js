const assert = require("node:assert/strict");
const {test} = require("node:test");
const {load} = require("./load.js");

const {judge, levelUnder, valueText} = load(
  ["html/dom.js", "panel/thresholds.js", "panel/image_strip.js", "panel/tools.js"], ["judge", "levelUnder", "valueText"]);

test("a verdict is compared with the truth, where there is one", () => {
  const pairs = [["bad", true], ["good", true], ["bad", false], ["good", false], ["look", true], ["bad", null], [null, true]];
  assert.deepEqual(pairs.map(([verdict, bad]) => judge(verdict, bad)),
    ["right", "missed", "false alarm", "right", "left to a person", "", ""]);
});

test("the pointer reads the pixel under it, and the ends of the scale as bounds", () => {
  const map = {width: 2, height: 2, levels: Uint8Array.of(0, 10, 255, 3)};
  assert.deepEqual([[0, 0], [0.9, 0.1], [0.2, 1], [1, 1]].map(([x, y]) => levelUnder(map, x, y)), [0, 10, 255, 3]);
  assert.deepEqual([0, 10, 255].map(level => valueText(level, {top: 25.5})), ["<0.1", "1.0", "≥25.5"]);
});
