// Pillow's `resize` of 8-bit images, bit for bit: two passes in fixed point, with the filter's weights as integers.
// See Resample.c and Geometry.c in its source.

const BITS = 32 - 8 - 2;

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

const FILTERS = {
  bilinear: [1, (x) => (Math.abs(x) < 1 ? 1 - Math.abs(x) : 0)],
  bicubic: [
    2,
    (signed) => {
      const [a, x] = [-0.5, Math.abs(signed)];
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  ],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

/** Return an RGB image `{width, height, pixels}` in another size, by a filter of `FILTERS` or `nearest`. */
export function resize(image, width, height, filter) {
  if (filter === "nearest") return pickNearest(image, width, height);
  let made = image;
  if (width !== image.width) made = resizeRows(made, width, filter);
  if (height !== image.height) made = resizeColumns(made, height, filter);
  return made;
}

/** Return of each output place where its input begins, how many there are, and their weights. */
function weigh(from, to, filter) {
  const [support, weight] = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const reach = support * stretch;
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const count = Math.min(from, Math.trunc(centre + reach + 0.5)) - first;
    const weights = Array.from({ length: count }, (_, i) => weight((i + first - centre + 0.5) * (1 / stretch)));
    const sum = weights.reduce((total, one) => total + one, 0);
    const fixed = weights.map((one) => {
      const share = (sum === 0 ? one : one / sum) * (1 << BITS);
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    return [first, Int32Array.from(fixed)];
  });
}

function resizeRows({ width, height, pixels }, to, filter) {
  const weights = weigh(width, to, filter);
  const made = new Uint8ClampedArray(3 * to * height);
  for (let y = 0, out = 0; y < height; y++) {
    for (const [first, fixed] of weights) {
      let red = 1 << (BITS - 1);
      let green = red;
      let blue = red;
      for (let i = 0, at = 3 * (y * width + first); i < fixed.length; i++, at += 3) {
        red += pixels[at] * fixed[i];
        green += pixels[at + 1] * fixed[i];
        blue += pixels[at + 2] * fixed[i];
      }
      made[out++] = red >> BITS; // It clips by itself.
      made[out++] = green >> BITS;
      made[out++] = blue >> BITS;
    }
  }
  return { width: to, height, pixels: made };
}

function resizeColumns({ width, height, pixels }, to, filter) {
  const made = new Uint8ClampedArray(3 * width * to);
  const row = 3 * width;
  const sums = new Int32Array(row);
  weigh(height, to, filter).forEach(([first, fixed], y) => {
    sums.fill(1 << (BITS - 1));
    fixed.forEach((weight, i) => {
      const at = (first + i) * row;
      for (let x = 0; x < row; x++) sums[x] += pixels[at + x] * weight;
    });
    for (let x = 0; x < row; x++) made[y * row + x] = sums[x] >> BITS;
  });
  return { width, height: to, pixels: made };
}

function pickNearest({ width, height, pixels }, across, down) {
  const columns = places(width, across);
  const made = new Uint8Array(3 * across * down);
  places(height, down).forEach((row, y) =>
    columns.forEach((column, x) => {
      const at = 3 * (row * width + column);
      made.set(pixels.subarray(at, at + 3), 3 * (y * across + x));
    }),
  );
  return { width: across, height: down, pixels: made };
}

/** Add up, as Pillow does, rather than multiply: both round. */
function places(from, to) {
  const step = from / to;
  const found = [];
  for (let i = 0, at = step * 0.5; i < to; i++, at += step) found.push(Math.trunc(at));
  return found;
}
