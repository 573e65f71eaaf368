// From pixels to what a model takes, as preprocess.py has it.
import { resize } from "./resample.js";

const LONGEST = 16; // times its shorter side that an image is resized of

/** Return an image `{width, height, pixels}` as the inputs of a model, in RGB one after the other. */
export function prepare(preprocess, image) {
  return GEOMETRIES[preprocess.geometry](preprocess, image);
}

/** Return one logit of those of an image's inputs. */
export function mergeLogits({ geometry, top_share }, logits) {
  if (geometry !== "crops" || logits.length === 1) return logits[0];
  const ordered = Float64Array.from(logits).sort().reverse();
  const kept = ordered.subarray(0, Math.max(1, Math.ceil(top_share * ordered.length)));
  return Math.fround(kept.reduce((sum, logit) => sum + logit, 0) / kept.length);
}

const GEOMETRIES = {
  resize({ width, height, filter }, image) {
    return [resize(image, width, height, filter).pixels];
  },
  shorter_side({ width, height, shorter_side: side, filter }, given) {
    const image = middleOf(given);
    const size =
      image.width <= image.height
        ? [side, Math.floor((side * image.height) / image.width)]
        : [Math.floor((side * image.width) / image.height), side];
    const whole = resize(image, ...size, filter);
    return [crop(whole, round((size[0] - width) / 2), round((size[1] - height) / 2), width, height)];
  },
  crops({ width, height, most }, given) {
    const [down, across] = grid(given.height / height, given.width / width, most, given);
    const lefts = spread(given.width, width, across);
    const image = pad(given, width, height);
    return spread(given.height, height, down).flatMap((top) => lefts.map((left) => crop(image, left, top, width, height)));
  },
};

/** Return the middle of an image that is very long. */
function middleOf(image) {
  const { width, height } = image;
  const longest = LONGEST * Math.min(width, height);
  if (Math.max(width, height) <= longest) return image;
  const [x, y] = [width, height].map((side) => Math.floor(Math.max(0, side - longest) / 2));
  const size = { width: width - 2 * x, height: height - 2 * y };
  return { ...size, pixels: crop(image, x, y, size.width, size.height) };
}

function crop(image, left, top, width, height) {
  const made = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const at = 3 * ((top + y) * image.width + left);
    made.set(image.pixels.subarray(at, at + 3 * width), 3 * y * width);
  }
  return made;
}

/** Return the image mirrored at its end where a side is shorter than a crop, again and again if need be. */
function pad(image, width, height) {
  if (image.width >= width && image.height >= height) return image;
  const size = { width: Math.max(width, image.width), height: Math.max(height, image.height) };
  const mirrored = (length) => (i) => (Math.floor(i / length) % 2 ? length - 1 - (i % length) : i % length);
  const [column, row] = [mirrored(image.width), mirrored(image.height)];
  const pixels = new Uint8Array(3 * size.width * size.height);
  for (let y = 0, to = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++, to += 3) {
      const at = 3 * (row(y) * image.width + column(x));
      pixels.set(image.pixels.subarray(at, at + 3), to);
    }
  }
  return { ...size, pixels };
}

/** Return how many crops there are down and across: as many as cover the image, or the best of fewer. */
function grid(tall, wide, most, image) {
  const [down, across] = [tall, wide].map((times) => Math.max(1, Math.ceil(times)));
  if (down * across <= most) return [down, across];
  let best = null;
  for (let rows = 1; rows <= Math.min(down, most); rows++) {
    const columns = Math.min(across, Math.floor(most / rows));
    const choice = { grid: [rows, columns], count: rows * columns, gap: Math.max(image.height / rows, image.width / columns) };
    if (!best || choice.count > best.count || (choice.count === best.count && choice.gap < best.gap)) best = choice;
  }
  return best.grid;
}

/** Return where crops begin: evenly from one end to the other, and in the middle if there is one. */
function spread(length, size, count) {
  const room = Math.max(0, length - size);
  if (count === 1) return [Math.floor(room / 2)];
  return Array.from({ length: count }, (_, i) => round((i * room) / (count - 1)));
}

/** Round as Python does: of two that are as near, to the even one. */
export function round(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}
