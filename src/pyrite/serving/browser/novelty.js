// Whether an image looks like those that calibrated a model, as novelty.py has it.
import { round } from "./geometry.js";

const NEIGHBOUR = 10;
const BANDS = [0, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1];
const QUIETEST = Math.fround(1e-6);

/** Return what novelty.json says. */
export function readNovelty({ statistics, features, neighbours, projection, groups, rate }) {
  return {
    statistics: readGaussians(statistics),
    features: features && readGaussians(features),
    neighbours: neighbours && read(neighbours),
    projection: projection && read(projection),
    groups: Object.values(groups).map(({ distances, merged }) => ({ columns: columnsOf(read(distances)), merged: read(merged).values })),
    rate,
  };
}

/**
 * Return the p-value of an image.
 *
 * @param inputs its model inputs, in RGB
 * @param features what the model's last layer sees of each, if it says
 */
export function typicality(novelty, inputs, features, { width, height }) {
  const distances = [distance(novelty.statistics, mean(inputs.map((pixels) => measure(pixels, width, height))))];
  if (novelty.features && features) {
    const seen = novelty.projection ? multiply(mean(features), novelty.projection) : mean(features);
    distances.push(distance(novelty.features, seen), nearest(novelty.neighbours, seen));
  }
  const shares = novelty.groups.map(({ columns, merged }) => {
    const logs = columns.map((kept, i) => -Math.log(shareFrom(kept, Math.fround(distances[i]))));
    const statistic = logs.reduce((sum, log) => sum + log, 0) / logs.length;
    return shareFrom(merged, Math.fround(round(statistic * 1e6) / 1e6));
  });
  return Math.max(...shares);
}

function shareFrom(ascending, value) {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle] < value) low = middle + 1;
    else high = middle;
  }
  return (1 + ascending.length - low) / (ascending.length + 1);
}

// ---- What it is measured from

function read({ shape, values }) {
  const bytes = Uint8Array.from(atob(values), (sign) => sign.charCodeAt(0));
  return { rows: shape[0], columns: shape[1] ?? 1, values: new Float32Array(bytes.buffer) };
}

function readGaussians({ means, whitening }) {
  const matrix = read(whitening);
  const whitened = rowsOf(read(means)).map((row) => multiply(row, matrix));
  return { whitening: matrix, means: whitened };
}

const rowsOf = ({ rows, columns, values }) => Array.from({ length: rows }, (_, i) => values.subarray(i * columns, (i + 1) * columns));
const columnsOf = ({ rows, columns, values }) =>
  Array.from({ length: columns }, (_, j) => Float32Array.from({ length: rows }, (_, i) => values[i * columns + j]));

function multiply(row, { columns, values }) {
  const made = new Float64Array(columns);
  row.forEach((value, i) => {
    for (let j = 0; j < columns; j++) made[j] += value * values[i * columns + j];
  });
  return made;
}

/** Return how far a row is from the nearest mean. */
function distance({ whitening, means }, row) {
  const own = multiply(row, whitening);
  return Math.sqrt(Math.min(...means.map((other) => own.reduce((sum, value, i) => sum + (value - other[i]) ** 2, 0))));
}

/** Return the cosine distance to the tenth neighbour. */
function nearest({ rows, columns, values }, row) {
  const length = Math.max(Math.sqrt(row.reduce((sum, value) => sum + value * value, 0)), QUIETEST);
  const cosines = new Float64Array(rows);
  for (let i = 0, at = 0; i < rows; i++) for (let j = 0; j < columns; j++, at++) cosines[i] += (row[j] / length) * values[at];
  return 1 - cosines.sort()[rows - Math.min(NEIGHBOUR, rows)];
}

function mean(rows) {
  return rows.length === 1 ? rows[0] : rows[0].map((_, i) => Math.fround(rows.reduce((sum, row) => sum + row[i], 0) / rows.length));
}

// ---- Simple statistics of a model's input

/** Return them in the order of `STATISTICS`. */
function measure(pixels, width, height) {
  const count = width * height;
  const luma = new Float32Array(count);
  const redGreen = new Float32Array(count);
  const yellowBlue = new Float32Array(count);
  for (let i = 0, at = 0; i < count; i++, at += 3) {
    const [red, green, blue] = [pixels[at] / 255, pixels[at + 1] / 255, pixels[at + 2] / 255];
    luma[i] = 0.299 * red + 0.587 * green + 0.114 * blue;
    redGreen[i] = red - green;
    yellowBlue[i] = (red + green) / 2 - blue;
  }
  const [one, other] = [moments(redGreen), moments(yellowBlue)];
  const colourfulness = Math.hypot(one.deviation, other.deviation) + 0.3 * Math.hypot(one.mean, other.mean);
  let along = 0;
  let down = 0;
  const edge = [];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (x + 1 < width) along += (luma[i + 1] - luma[i]) ** 2;
      if (y + 1 < height) down += (luma[i + width] - luma[i]) ** 2;
      if (x === 0 || y === 0 || x === width - 1 || y === height - 1) edge.push(luma[i]);
    }
  }
  const contrast = Math.log(moments(edge).deviation + 1e-3) - Math.log(moments(luma).deviation + 1e-3);
  const anisotropy = Math.log(along + QUIETEST) - Math.log(down + QUIETEST);
  return Float32Array.from([colourfulness, ...powers(luma, width, height), anisotropy, contrast]);
}

function moments(values) {
  let sum = 0;
  for (const value of values) sum += value;
  const middle = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - middle) ** 2;
  return { mean: middle, deviation: Math.sqrt(squares / values.length) };
}

/** Return the logarithms of the mean power in bands of spatial frequency, under a Hann window. */
function powers(luma, width, height) {
  const middle = moments(luma).mean;
  const [across, down] = [hann(width), hann(height)];
  const half = (width >> 1) + 1;
  const rows = transformOf(width);
  const columns = transformOf(height);
  const real = new Float64Array(height * half);
  const imaginary = new Float64Array(height * half);
  for (let y = 0; y < height; y++) {
    for (let u = 0; u < half; u++) {
      let [re, im] = [0, 0];
      for (let x = 0; x < width; x++) {
        const value = (luma[y * width + x] - middle) * across[x] * down[y];
        const turn = (u * x) % width;
        re += value * rows.cosines[turn];
        im -= value * rows.sines[turn];
      }
      real[y * half + u] = re;
      imaginary[y * half + u] = im;
    }
  }
  const sums = BANDS.slice(1).map(() => [0, 0]);
  for (let v = 0; v < height; v++) {
    const vertical = (2 * v < height ? v : v - height) / height;
    for (let u = 0; u < half; u++) {
      const radius = Math.hypot(vertical, u / width);
      const band = BANDS.findIndex((edge, i) => radius > edge && radius <= BANDS[i + 1]);
      if (band < 0) continue;
      let [re, im] = [0, 0];
      for (let y = 0; y < height; y++) {
        const turn = (v * y) % height;
        const [a, b, c, d] = [real[y * half + u], imaginary[y * half + u], columns.cosines[turn], -columns.sines[turn]];
        re += a * c - b * d;
        im += a * d + b * c;
      }
      sums[band][0] += re * re + im * im;
      sums[band][1]++;
    }
  }
  return sums.map(([sum, count]) => Math.log((count ? sum / count : 1) + QUIETEST)); // Small images leave some empty.
}

const hann = (length) => Float64Array.from({ length }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 1)) / (length + 1)));

const tables = new Map();

/** Return cosines and sines of all turns of a Fourier transform of this length. */
function transformOf(length) {
  if (!tables.has(length)) {
    const of = (wave) => Float64Array.from({ length }, (_, i) => wave((2 * Math.PI * i) / length));
    tables.set(length, { cosines: of(Math.cos), sines: of(Math.sin) });
  }
  return tables.get(length);
}
