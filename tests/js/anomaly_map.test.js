const assert = require("node:assert/strict");
const {test} = require("node:test");
const zlib = require("node:zlib");
const {load} = require("./load.js");

const {
  decodePNG, levelRange, markedShare, markedTable, outlinePixels, paeth, reduceToCells, sharedSpan, spanTable,
  stretchedTable, unfilter,
} = load(["panel/thresholds.js", "panel/anomaly_map.js"], [
  "decodePNG", "levelRange", "markedShare", "markedTable", "outlinePixels", "paeth", "reduceToCells", "sharedSpan",
  "spanTable", "stretchedTable", "unfilter",
]);

// The PNG filters of one row, as the standard defines them.
const FILTERS = [() => 0, left => left, (left, up) => up, (left, up) => (left + up) >> 1, paeth];
const filterRows = ({width, height, levels}, filters) => {
  const rows = [];
  for (let y = 0; y < height; y++) {
    rows.push(filters[y]);
    for (let x = 0; x < width; x++) {
      const at = (column, row) => column < 0 || row < 0 ? 0 : levels[row * width + column];
      rows.push((at(x, y) - FILTERS[filters[y]](at(x - 1, y), at(x, y - 1), at(x - 1, y - 1))) & 255);
    }
  }
  return Uint8Array.from(rows);
};
const chunk = (type, data) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, Buffer.from(type), data, Buffer.alloc(4)]);
};
const encodePNG = (map, filters) => {
  const header = Buffer.from([0, 0, 0, map.width, 0, 0, 0, map.height, 8, 0, 0, 0, 0]);
  const data = zlib.deflateSync(filterRows(map, filters)), half = data.length >> 1;
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", header),
    chunk("IDAT", data.subarray(0, half)), chunk("IDAT", data.subarray(half)), chunk("IEND", Buffer.alloc(0)),
  ]).toString("base64");
};
const map = {width: 7, height: 5, levels: Uint8Array.from({length: 35}, (_, i) => (i * i * 37 + 11 * i) & 255)};

test("Paeth predicts by the nearest of its three neighbours", () => {
  assert.deepEqual([paeth(10, 20, 10), paeth(20, 10, 10), paeth(10, 10, 5), paeth(9, 3, 6)], [20, 20, 10, 6]);
});

test("every filter of a PNG is undone", () => {
  for (const filters of [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 1, 1, 1, 1], [2, 4, 3, 4, 2]])
    assert.deepEqual(unfilter(filterRows(map, filters), 7, 5), map.levels);
});

test("a PNG in several parts is decoded", async () => {
  assert.deepEqual(await decodePNG(encodePNG(map, [0, 1, 2, 3, 4])), map);
});

test("marked levels are opaque, the others fade", () => {
  const table = new Uint8ClampedArray(1024).fill(100);
  const opacity = new Uint8Array(markedTable(table, 200, 150).buffer).filter((_, i) => i % 4 === 3);
  assert.deepEqual([opacity[149], opacity[150], opacity[199], opacity[200]], [25, 42, 42, 120]);
});

test("stretched colours span the map's own levels", () => {
  const table = new Uint8ClampedArray(1024).map((_, i) => i >> 2);  // level k has the colour k
  const stretched = new Uint8Array(stretchedTable(table, {span: [2, 10], top: 25.5}, [60, 68]).buffer);
  assert.deepEqual([60, 64, 68].map(level => stretched[4 * level]), [20, 60, 100]);
  assert.equal(stretched[0], 0);
});

test("range and marked share of a map", () => {
  assert.deepEqual(levelRange({levels: Uint8Array.of(7, 3, 9)}), [3, 9]);
  assert.equal(markedShare({levels: Uint8Array.of(7, 3, 9, 9)}, 7), 0.75);
});

test("an outline runs along the inside or the outside of what is marked", () => {
  const square = {width: 5, height: 5, levels: Uint8Array.from({length: 25}, (_, i) =>
    +(i % 5 > 0 && i % 5 < 4 && i > 4 && i < 20))};
  assert.deepEqual(outlinePixels(square, 1, false), [6, 7, 8, 11, 13, 16, 17, 18]);
  assert.deepEqual(outlinePixels(square, 1, true), [1, 2, 3, 5, 9, 10, 14, 15, 19, 21, 22, 23]);
});

test("a thumbnail's cell is the highest of its pixels", () => {
  const levels = new Uint8Array(128 * 128);
  levels[128 * 3 + 5] = 200;
  const cells = reduceToCells({width: 128, height: 128, levels});
  assert.equal(cells[64 * 1 + 2], 200);
  assert.equal(cells.filter(Boolean).length, 1);
});

test("maps side by side share one scale: none below what is usual in any, full where all can tell values apart", () => {
  const scales = [{span: [2, 8], top: 16}, {span: [3, 40], top: 80}];
  assert.deepEqual(sharedSpan(scales), [3, 16]);
  assert.deepEqual(sharedSpan([{span: [2, 8], top: 16}]), [2, 8]);
  const table = Uint8ClampedArray.from({length: 1024}, (_, i) => i >> 2);  // each level has its own number
  const scale = {span: [2, 8], top: 16}, own = spanTable(table, scale, scale.span);
  assert.deepEqual([0, 64, 255].map(level => own[4 * level]), [0, 64, 255]);
  const shared = spanTable(table, scale, [3, 16]), level = value => Math.round(value / 16 * 255);
  assert.equal(shared[4 * level(3)], level(2));  // where colour begins, in its own colours
  assert.equal(shared[4 * 255], level(8));
  assert.equal(shared[4 * level(1)] < level(2), true);
});
