// Heat is levels; a level becomes a colour through a table, and marked by comparison with the handles' levels.

// An 8-bit single-channel PNG. Not by way of a canvas: some browsers blur what is read back, to keep visitors unknown.
const unpack = async text => {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0)), view = new DataView(bytes.buffer), parts = [];
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at))
    if (view.getUint32(at + 4) === 0x49444154) parts.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const width = view.getUint32(16), height = view.getUint32(20), levels = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    const filter = raw[row * (width + 1)];
    for (let column = 0, i = row * width; column < width; column++, i++) {
      const left = column ? levels[i - 1] : 0, up = row ? levels[i - width] : 0;
      let guess = [0, left, up, (left + up) >> 1][filter];
      if (filter === 4) {  // Paeth
        const corner = column && row ? levels[i - width - 1] : 0, p = left + up - corner;
        const [a, b, c] = [Math.abs(p - left), Math.abs(p - up), Math.abs(p - corner)];
        guess = a <= b && a <= c ? left : b <= c ? up : corner;
      }
      levels[i] = raw[row * (width + 1) + 1 + column] + guess;
    }
  }
  return {width, height, levels};
};

const colours = scale => Uint8ClampedArray.from(atob(scale.table), c => c.charCodeAt(0));
const MARKED = 120;  // opacity from which on a level is marked; what is not stays below
const lookup = (table, marked, look) => {
  const bent = table.slice();
  for (let level = 0; level < 256; level++) {
    const own = table[4 * level + 3];
    bent[4 * level + 3] = level >= marked ? Math.max(own, MARKED) : own * (level >= look ? 0.42 : 0.25);
  }
  return new Uint32Array(bent.buffer);
};
const ends = ({levels}) => {  // the least and the greatest level of a map
  let least = 255, most = 0;
  for (const level of levels) least = Math.min(least, level), most = Math.max(most, level);
  return [least, most];
};
const stretched = (table, scale, [least, most]) => {  // the colours of the scale's span, over these levels alone
  const bent = table.slice(), [low, high] = scale.span.map(heat => heat / scale.top * 255);
  for (let level = least; level <= most; level++) {
    const at = Math.round(low + (level - least) / Math.max(1, most - least) * (high - low));
    bent.set(table.subarray(4 * at, 4 * at + 4), 4 * level);
  }
  return new Uint32Array(bent.buffer);
};

const onto = (canvas, width, height) => {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  return [new Uint32Array(image.data.buffer), () => context.putImageData(image, 0, 0)];
};
const paint = (canvas, {width, height, levels}, table) => {
  const [pixels, done] = onto(canvas, width, height);
  for (let i = 0; i < levels.length; i++) pixels[i] = table[levels[i]];
  done();
};
const colour = (r, g, b, a = 255) => new Uint32Array(Uint8Array.of(r, g, b, a).buffer)[0];
const WHITE = colour(255, 255, 255), CYAN = colour(0, 229, 255), TINT = colour(255, 140, 40, 190);

// The rim of all levels from `least` on: the last pixels inside, or the first ones outside.
const outline = (canvas, {width, height, levels}, least, ink, outside) => {
  const [pixels, done] = onto(canvas, width, height);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const here = levels[i] >= least;
      if (here === outside) continue;
      const rim = (x > 0 && levels[i - 1] >= least !== here) || (x < width - 1 && levels[i + 1] >= least !== here)
        || (y > 0 && levels[i - width] >= least !== here) || (y < height - 1 && levels[i + width] >= least !== here);
      if (rim) pixels[i] = ink;
    }
  done();
};
const clear = canvas => canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);

// Of thumbnails: each cell the hottest of its pixels, so that no mark is lost.
const SMALL = 64;
const shrink = ({width, height, levels}) => {
  const cells = new Uint8Array(SMALL * SMALL);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const cell = (y * SMALL / height | 0) * SMALL + (x * SMALL / width | 0);
      if (levels[i] > cells[cell]) cells[cell] = levels[i];
    }
  return cells;
};
const stain = (canvas, cells, least) => {
  const [pixels, done] = onto(canvas, SMALL, SMALL);
  for (let i = 0; i < cells.length; i++) if (cells[i] >= least) pixels[i] = TINT;
  done();
};
