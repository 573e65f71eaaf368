// A file's bytes to upright pixels, as image/ has it: the browser decodes, and nothing is done to the colours.
import { begins, viewOf } from "./bytes.js";
import { webpChunks } from "./container.js";

const STARTS = {
  JPEG: ["ÿØÿ"],
  PNG: ["\x89PNG\r\n\x1a\n\0\0\0\rIHDR"],
  GIF: ["GIF87a", "GIF89a"],
  TIFF: ["II*\0", "MM\0*", "II+\0", "MM\0+"],
};
const AVIF = ["avif", "avis"];
const HEIF = ["heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1"];
const BMP_HEADERS = [12, 40, 52, 56, 64, 108, 124];
const HEAD = 256; // bytes
const MAY_MOVE = ["PNG", "GIF", "WEBP", "AVIF"]; // Formats of one frame or several.

/** What keeps a file from being judged, with a code as in image/. */
export class ImageError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * Return `{format, width, height, frames, pixels}` of a file's bytes; `pixels` are RGB, row by row, on white where the
 * image was transparent. `frames` is null where this browser does not count them.
 */
export async function readPixels(bytes, maxPixels) {
  if (!bytes.length) throw new ImageError("empty", "The file is empty.");
  const format = sniff(bytes.subarray(0, HEAD));
  if (!format) throw new ImageError("unsupported_format", "This is not an image in a format that is read here.");
  const type = `image/${format.toLowerCase()}`;
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes], { type }), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    if (["TIFF", "HEIF", "AVIF"].includes(format)) {
      throw new ImageError("unsupported_format", `This browser cannot decode this image in ${format}; pyrite detect can.`);
    }
    throw new ImageError("corrupt", "The image is damaged, or of a kind that this browser does not read.");
  }
  const { width, height } = bitmap;
  if (width * height > maxPixels) {
    bitmap.close();
    const [across, down, most] = [width, height, maxPixels].map((count) => count.toLocaleString("en"));
    throw new ImageError("too_many_pixels", `The image has ${across} × ${down} pixels; the limit is ${most}.`);
  }
  const pixels = onWhite(draw(bitmap));
  bitmap.close();
  const image = format === "WEBP" ? turn({ width, height, pixels }, orientationOfWebP(bytes)) : { width, height, pixels };
  return { format, frames: await countFrames(bytes, format, type), ...image };
}

/** Say whether this browser gives back the pixels that it was given: some add noise, against being recognised. */
export function keepsPixels() {
  const given = new ImageData(16, 16);
  Object.assign(canvas, { width: 16, height: 16 });
  given.data.forEach((_, i) => (given.data[i] = i % 4 === 3 ? 255 : (i * 37) % 256));
  context.putImageData(given, 0, 0);
  return context.getImageData(0, 0, 16, 16).data.every((value, i) => value === given.data[i]);
}

// One for all images: a new one costs more than all else that is done with a small image.
const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { willReadFrequently: true });

function draw(bitmap) {
  const { width, height } = bitmap;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.clearRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  try {
    return context.getImageData(0, 0, width, height).data;
  } catch {
    throw new ImageError("out_of_memory", "There is not enough memory for this image.");
  }
}

/** Return RGBA as RGB on white, in the integers of Pillow's `alpha_composite`. */
function onWhite(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    const alpha = rgba[from + 3];
    if (alpha === 255) {
      rgb[to] = rgba[from];
      rgb[to + 1] = rgba[from + 1];
      rgb[to + 2] = rgba[from + 2];
      continue;
    }
    for (let i = 0; i < 3; i++) {
      const sum = (rgba[from + i] * alpha + 255 * (255 - alpha) + 128) << 7;
      rgb[to + i] = ((sum >> 8) + sum) >> 15;
    }
  }
  return rgb;
}

function sniff(head) {
  const text = (from, to) => String.fromCharCode(...head.subarray(from, to));
  const start = text(0, 16);
  for (const [format, starts] of Object.entries(STARTS)) if (starts.some((one) => start.startsWith(one))) return format;
  if (start.startsWith("RIFF") && text(8, 12) === "WEBP") return "WEBP";
  const view = viewOf(head);
  if (start.startsWith("BM") && head.length >= 18 && BMP_HEADERS.includes(view.getUint32(14, true))) return "BMP";
  if (text(4, 8) !== "ftyp") return null;
  const brands = [text(8, 12)];
  for (let at = 16; at < Math.min(view.getUint32(0), head.length); at += 4) brands.push(text(at, at + 4));
  if (brands.some((brand) => AVIF.includes(brand))) return "AVIF";
  return brands.some((brand) => HEIF.includes(brand)) ? "HEIF" : null;
}

async function countFrames(bytes, format, type) {
  if (!MAY_MOVE.includes(format)) return 1;
  if (typeof ImageDecoder === "undefined" || !(await ImageDecoder.isTypeSupported(type))) return null;
  const decoder = new ImageDecoder({ data: bytes, type });
  try {
    await Promise.all([decoder.tracks.ready, decoder.completed]);
    return decoder.tracks.selectedTrack?.frameCount ?? null;
  } catch {
    return null;
  } finally {
    decoder.close();
  }
}

// ---- Browsers turn an image as its EXIF data say, but not a WebP.

function orientationOfWebP(bytes) {
  for (const [name, body] of webpChunks(bytes)) if (name === "EXIF") return orientationOf(body);
  return 1;
}

/** Return the tag 0x0112 of EXIF data, 1 to 8; 1 where it is not there, or damaged. */
function orientationOf(exif) {
  const bytes = begins(exif, "Exif\0\0") ? exif.subarray(6) : exif;
  const view = viewOf(bytes);
  try {
    const little = view.getUint16(0) === 0x4949;
    const start = view.getUint32(4, little);
    for (let i = 0; i < view.getUint16(start, little); i++) {
      const at = start + 2 + 12 * i;
      if (view.getUint16(at, little) !== 0x0112) continue;
      const value = view.getUint16(at + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch {
    // It ends too early.
  }
  return 1;
}

/** Return an image upright that lies in its file as this EXIF orientation, 1 to 8, says. */
function turn({ width, height, pixels }, orientation) {
  if (orientation === 1) return { width, height, pixels };
  const turned = orientation > 4;
  const mirrored = [2, 3, 6, 7].includes(orientation);
  const flipped = [3, 4, 7, 8].includes(orientation);
  const [across, down] = turned ? [height, width] : [width, height];
  const upright = new Uint8Array(pixels.length);
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0; x < width; x++, from += 3) {
      const [column, row] = turned ? [y, x] : [x, y];
      const to = 3 * ((flipped ? down - 1 - row : row) * across + (mirrored ? across - 1 - column : column));
      upright.set(pixels.subarray(from, from + 3), to);
    }
  }
  return { width: across, height: down, pixels: upright };
}
