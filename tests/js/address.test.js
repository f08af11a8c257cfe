const assert = require("node:assert/strict");
const {test} = require("node:test");
const {load} = require("./load.js");

const {addressQuery, readAddress, viewOf} = load(["panel/address.js"], ["addressQuery", "readAddress", "viewOf"]);

const unpromised = {promise: null, confidence: null};
const state = {address: {set: "samples", methods: "padim,cdo", backbone: null}, chosen: 1,
  set: {images: [{slug: "a-0"}, {slug: "b-1"}]}};

test("an address is read by the tab that it names, by Compare where it names none", () => {
  const query = "?tab=take-apart&threshold=2.5&look=x";
  assert.deepEqual(readAddress(query, "take-apart"), {isMine: true, threshold: 2.5, look: null, ...unpromised});
  assert.deepEqual(readAddress(query, "compare"), {isMine: false, threshold: null, look: null, ...unpromised});
  assert.equal(readAddress("?promise=5", "compare").promise, 5);
});

test("a view is written in its order, without what is null", () => {
  const view = viewOf(state, {threshold: 2.5, look: 1, rate: null}, "compare");
  const query = "?tab=compare&set=samples&methods=padim,cdo&image=b-1&threshold=2.5&look=1";
  assert.equal(addressQuery("", "compare", view), query);
  assert.deepEqual(readAddress(query, "compare"), {isMine: true, threshold: 2.5, look: 1, ...unpromised});
});

test("a promised rate stands in place of a threshold", () => {
  const query = addressQuery("?threshold=3", "compare", viewOf(state, {threshold: 3, look: null, rate: 0.05}, "compare"));
  assert.ok(query.endsWith("&image=b-1&promise=5"));
  const sure = addressQuery("", "compare", viewOf(state, {threshold: null, look: null, rate: 0.05, sure: true}, "compare"));
  assert.ok(sure.endsWith("&promise=5&confidence=95"));
  assert.equal(readAddress(sure, "compare").confidence, 95);
});

test("other names stay within the tab, those of gradio everywhere", () => {
  assert.equal(addressQuery("?tab=compare&note=1&set=x", "compare", {tab: "compare", set: "y"}),
    "?tab=compare&set=y&note=1");
  assert.equal(addressQuery("?tab=papers&table=cdo/IV&__theme=dark", "compare", {tab: "compare"}),
    "?tab=compare&__theme=dark");
});
