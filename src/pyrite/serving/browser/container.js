// Where a file keeps EXIF, XMP, IPTC data and texts, as container.py has it: a look at its bytes alone.
import { begins, decode, find, join, latin1, viewOf } from "./bytes.js";
import { readPng } from "./png.js";

const MAX_PARTS = 100_000; // Segments, chunks or blocks of one file.
const MAX_XMP = 4_000_000; // bytes
const MAX_COMMENTS = 64;
const EXIF = "Exif\0\0";
const XMP = "http://ns.adobe.com/xap/1.0/\0";
const XMP_REST = "http://ns.adobe.com/xmp/extension/\0";
const PHOTOSHOP = "Photoshop 3.0\0";
const GIF_XMP = "\x0bXMP DataXMP";
const GIF_XMP_END = String.fromCharCode(1, ...Array.from({ length: 55 }, (_, i) => 255 - i));

/** What a file holds beside its pixels, in its order; `whole` is a file whose parts are left to the library. */
export class Blocks {
  exif = [];
  xmp = [];
  iptc = [];
  texts = []; // Place, keyword and text.
  whole = false;

  get isEmpty() {
    return !this.whole && [this.exif, this.xmp, this.iptc, this.texts].every((parts) => !parts.length);
  }

  /** Add a block of EXIF, however often its name stands before it. */
  addExif(block) {
    while (begins(block, EXIF)) block = block.subarray(EXIF.length);
    if (block.length) this.exif.push(block);
  }

  /** Add the rows of datasets among Photoshop's image resources, or the block itself where it is one. */
  addIptc(block) {
    if (block[0] === 0x1c) return this.iptc.push(block);
    const view = viewOf(block);
    for (let at = 0; (at = find(block, "8BIM", at)) >= 0 && at + 12 <= block.length; ) {
      const named = block[at + 6];
      const kind = view.getUint16(at + 4);
      // A name of even length with its own, and a size.
      at += 6 + (named ? named + 2 - (named % 2) : 2);
      const size = at + 4 <= block.length ? view.getUint32(at) : 0;
      if (kind === 0x0404) this.iptc.push(block.subarray(at + 4, at + 4 + size));
      at += 4 + size + (size % 2);
    }
  }
}

/** Return what a file holds, as far as it is there; damage ends the walk. */
export async function findBlocks(bytes, format) {
  const blocks = new Blocks();
  if (format === "JPEG") readJpeg(bytes, blocks);
  else if (format === "PNG") await readPng(bytes, blocks);
  else if (format === "WEBP") readWebP(bytes, blocks);
  else if (format === "GIF") readGif(bytes, blocks);
  else if (format === "HEIF" || format === "TIFF") blocks.whole = true;
  else if (format === "AVIF") blocks.whole = find(bytes, "Exif") >= 0 || find(bytes, "application/rdf+xml") >= 0;
  blocks.texts.push(...readSamsung(bytes));
  return blocks;
}

function readJpeg(bytes, blocks) {
  const rest = new Map();
  const photoshop = [];
  let size = 0;
  for (const [marker, body] of jpegSegments(bytes)) {
    if (marker === 0xe1 && begins(body, EXIF)) blocks.addExif(body);
    else if (marker === 0xe1 && begins(body, XMP)) blocks.xmp.push(body.subarray(XMP.length));
    else if (marker === 0xe1 && begins(body, XMP_REST) && body.length >= 75 && (size += body.length) <= MAX_XMP) {
      // A name of 32 letters, the size of the whole, and where in it this part belongs.
      const name = latin1(body.subarray(35, 67));
      const parts = rest.get(name) ?? rest.set(name, new Map()).get(name);
      const at = viewOf(body).getUint32(71);
      if (!parts.has(at)) parts.set(at, body.subarray(75));
    } else if (marker === 0xed) {
      // What does not fit into one segment goes on in the next.
      photoshop.push(begins(body, PHOTOSHOP) ? body.subarray(PHOTOSHOP.length) : body);
    } else if (marker === 0xfe && blocks.texts.length < MAX_COMMENTS) blocks.texts.push(["comment", "comment", decode(body)]);
  }
  for (const parts of rest.values()) blocks.xmp.push(join([...parts].sort(([one], [other]) => one - other).map(([, part]) => part)));
  if (photoshop.length) blocks.addIptc(join(photoshop));
}

/** Yield marker and content of what comes before the pixels. */
function* jpegSegments(bytes) {
  const view = viewOf(bytes);
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1];
    if (marker === 0xd9 || marker === 0xda) return;
    if (marker === 0xff) at++;
    else {
      const end = at + 2 + Math.max(2, view.getUint16(at + 2));
      yield [marker, bytes.subarray(at + 4, end)];
      at = end;
    }
  }
}

function readWebP(bytes, blocks) {
  for (const [name, body] of webpChunks(bytes, Math.min(8 + viewOf(bytes).getUint32(4, true), bytes.length))) {
    if (name === "EXIF") blocks.addExif(body);
    else if (name === "XMP ") blocks.xmp.push(body);
  }
}

/** Yield name and content of the chunks of a WebP file, up to an end. */
export function* webpChunks(bytes, end = bytes.length) {
  const view = viewOf(bytes);
  for (let at = 12, count = 0; at + 8 <= end && count < MAX_PARTS; count++) {
    const size = view.getUint32(at + 4, true);
    yield [latin1(bytes.subarray(at, at + 4)), bytes.subarray(at + 8, at + 8 + size)];
    at += 8 + size + (size % 2);
  }
}

/** Take comments and XMP, which is not cut into blocks as GIF has them, but ends with bytes that lead to its end. */
function readGif(bytes, blocks) {
  const table = (flags) => (flags & 0x80 ? 3 << ((flags % 8) + 1) : 0);
  // The header, and the table of colours that its flags announce.
  for (let at = 13 + table(bytes[10]), count = 0; count < MAX_PARTS; count++) {
    const [kind, label] = [bytes[at], bytes[at + 1]];
    if (kind === 0x2c) {
      // Its place and size, its own table of colours, and how long its codes are.
      at = skipGifBlocks(bytes, at + 11 + table(bytes[at + 9]));
    } else if (kind === 0x21 && label === 0xff && begins(bytes, GIF_XMP, at + 2)) {
      const start = at + 2 + GIF_XMP.length;
      at = skipGifBlocks(bytes, start);
      const end = find(bytes.subarray(0, at), GIF_XMP_END, start);
      // Some cut it into blocks all the same.
      blocks.xmp.push(end >= 0 ? bytes.subarray(start, end) : joinGifBlocks(bytes, start));
    } else if (kind === 0x21) {
      const start = at + 2;
      at = skipGifBlocks(bytes, start);
      if (label === 0xfe && blocks.texts.length < MAX_COMMENTS) blocks.texts.push(["comment", "comment", decode(joinGifBlocks(bytes, start))]);
    } else return;
  }
}

/** Return where a row of blocks ends: each begins with its size, and the last has none. */
function skipGifBlocks(bytes, at) {
  while (bytes[at]) at += bytes[at] + 1;
  return Math.min(at + 1, bytes.length);
}

function joinGifBlocks(bytes, at) {
  const parts = [];
  for (; bytes[at]; at += bytes[at] + 1) parts.push(bytes.subarray(at + 1, at + 1 + bytes[at]));
  return join(parts);
}

/** Return the texts of the trailer that Samsung's phones write after an image, as samsung.py has it. */
function readSamsung(bytes) {
  if (bytes.length < 28 || !begins(bytes, "SEFT", bytes.length - 4)) return [];
  const view = viewOf(bytes);
  const start = bytes.length - 8 - view.getUint32(bytes.length - 8, true);
  if (start < 0 || !begins(bytes, "SEFH", start)) return [];
  const texts = [];
  const count = Math.min(view.getUint32(start + 8, true), 64);
  for (let at = start + 12; at < Math.min(start + 12 + 12 * count, bytes.length - 19); at += 12) {
    const [offset, length] = [view.getUint32(at + 4, true), view.getUint32(at + 8, true)];
    const from = Math.max(0, start - offset);
    const entry = bytes.subarray(from, from + Math.min(length, 1 << 20));
    if (entry.length < 8 || offset > start) continue;
    const named = viewOf(entry).getUint32(4, true);
    if (named <= 200) texts.push(["Samsung trailer", decode(entry.subarray(8, 8 + named)), decode(entry.subarray(8 + named))]);
  }
  return texts;
}
