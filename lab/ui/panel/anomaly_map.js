// An anomaly map arrives as levels, 0 to 255, in a PNG. A table gives each level its colour; a level is marked by
// comparing it with the level of the threshold.

// {width, height, levels} of an 8-bit single-channel PNG in base64. Not read back from a canvas: some browsers blur
// what is read from one, so that it cannot identify a visitor.
const decodePNG = async base64 => {
  const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0)), view = new DataView(bytes.buffer), parts = [];
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at))
    if (view.getUint32(at + 4) === 0x49444154)  // IDAT
      parts.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const filtered = new Uint8Array(await new Response(stream).arrayBuffer());
  const width = view.getUint32(16), height = view.getUint32(20);
  return {width, height, levels: unfilter(filtered, width, height)};
};
const unfilter = (filtered, width, height) => {  // rows of a PNG, each behind the number of its filter
  const levels = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    const start = row * (width + 1) + 1, filter = filtered[start - 1];
    for (let column = 0, i = row * width; column < width; column++, i++) {
      const left = column ? levels[i - 1] : 0, up = row ? levels[i - width] : 0;
      const corner = column && row ? levels[i - width - 1] : 0;
      const predicted = filter === 4 ? paeth(left, up, corner) : [0, left, up, (left + up) >> 1][filter];
      levels[i] = filtered[start + column] + predicted;
    }
  }
  return levels;
};
const paeth = (left, up, corner) => {
  const sum = left + up - corner;
  const [a, b, c] = [Math.abs(sum - left), Math.abs(sum - up), Math.abs(sum - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
};

// --- colours: tables of 256 RGBA ---

const MARKED_OPACITY = 120;  // at least, of marked levels; the others stay below
const FADED = {look: 0.42, good: 0.25};  // share of the opacity of levels that are not marked

const colorTable = scale => Uint8ClampedArray.from(atob(scale.color_table), c => c.charCodeAt(0));
const markedTable = (table, marked, look) => {  // marked, look: the lowest level of each
  const changed = table.slice();
  for (let level = 0; level < 256; level++) {
    const opacity = table[4 * level + 3];
    changed[4 * level + 3] = level >= marked ? Math.max(opacity, MARKED_OPACITY)
      : opacity * (level >= look ? FADED.look : FADED.good);
  }
  return new Uint32Array(changed.buffer);
};
// The values in σ between which maps that stand side by side are coloured alike, so that more colour is more anomalous:
// none below what is usual in any of them, full where all of them can still tell values apart.
const sharedSpan = scales => {
  const low = Math.max(...scales.map(({span}) => span[0])), least = Math.min(...scales.map(({top}) => top));
  return [low, Math.max(low + 1, Math.min(least, Math.max(...scales.map(({span}) => span[1]))))];
};
const spanTable = (table, scale, [low, high]) => {  // a scale's own colours, over another span
  const [from, to] = scale.span, changed = table.slice();
  for (let level = 0; level < 256; level++) {
    const own = from + (level * scale.top / 255 - low) / (high - low) * (to - from);
    const source = clamp(Math.round(own / scale.top * 255), 0, 255);
    changed.set(table.subarray(4 * source, 4 * source + 4), 4 * level);
  }
  return changed;
};
const levelRange = ({levels}) => {
  let lowest = 255, highest = 0;
  for (const level of levels) lowest = Math.min(lowest, level), highest = Math.max(highest, level);
  return [lowest, highest];
};
const stretchedTable = (table, scale, [lowest, highest]) => {  // all colours of the scale over these levels alone
  const changed = table.slice(), [low, high] = scale.span.map(value => value / scale.top * 255);
  for (let level = lowest; level <= highest; level++) {
    const source = Math.round(low + (level - lowest) / Math.max(1, highest - lowest) * (high - low));
    changed.set(table.subarray(4 * source, 4 * source + 4), 4 * level);
  }
  return new Uint32Array(changed.buffer);
};
const markedShare = ({levels}, marked) => levels.reduce((sum, level) => sum + (level >= marked), 0) / levels.length;

// --- canvases ---

const packColor = (r, g, b, a = 255) => new Uint32Array(Uint8Array.of(r, g, b, a).buffer)[0];
const WHITE = packColor(255, 255, 255);
const CYAN = packColor(0, 229, 255);
const TINT = packColor(255, 140, 40, 190);

const drawPixels = (canvas, width, height, fillIn) => {  // fillIn: sets the pixels, Uint32 (width * height)
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  fillIn(new Uint32Array(image.data.buffer));
  context.putImageData(image, 0, 0);
};
const clear = canvas => canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
const paint = (canvas, {width, height, levels}, table) => drawPixels(canvas, width, height, pixels => {
  for (let i = 0; i < levels.length; i++) pixels[i] = table[levels[i]];
});
const paintOutline = (canvas, map, threshold, color, outside) => drawPixels(canvas, map.width, map.height, pixels => {
  for (const i of outlinePixels(map, threshold, outside)) pixels[i] = color;
});
// Where the levels from a threshold on end: the last pixels inside, or the first ones outside.
const outlinePixels = ({width, height, levels}, threshold, outside) => {
  const found = [];
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const inside = levels[i] >= threshold, differs = j => levels[j] >= threshold !== inside;
      if (inside !== outside && ((x > 0 && differs(i - 1)) || (x < width - 1 && differs(i + 1))
        || (y > 0 && differs(i - width)) || (y < height - 1 && differs(i + width)))) found.push(i);
    }
  return found;
};

// --- on thumbnails: each cell is the highest of its pixels, so that no mark is lost ---

const CELLS = 64;  // on each side
const reduceToCells = ({width, height, levels}) => {
  const cells = new Uint8Array(CELLS * CELLS);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const cell = (y * CELLS / height | 0) * CELLS + (x * CELLS / width | 0);
      if (levels[i] > cells[cell]) cells[cell] = levels[i];
    }
  return cells;
};
const paintCells = (canvas, cells, threshold) => drawPixels(canvas, CELLS, CELLS, pixels => {
  for (let i = 0; i < cells.length; i++) if (cells[i] >= threshold) pixels[i] = TINT;
});
