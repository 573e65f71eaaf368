// All that a file says in words, from wherever it stands, and what follows from it, as metadata.py and read.py have it.
import { decode, viewOf } from "./bytes.js";
import { readCamera } from "./camera.js";
import { findBlocks } from "./container.js";
import { checkDirectories, readExif, valuesOf } from "./exif.js";
import { readGenerator } from "./generator.js";
import { loadRules, once } from "./rules.js";
import { plain, trim } from "./values.js";
import { firstOf, readPacket } from "./xmp.js";

const MAX_DATASETS = 10_000; // of IPTC data

/** Return the evidence of a file's metadata, other than content credentials; nothing is fetched but this page's own files. */
export async function readMetadata(bytes, { format, width, height }) {
  let rules, metadata;
  try {
    const blocks = await findBlocks(bytes, format);
    if (blocks.isEmpty) return [];
    rules = await loadRules("metadata");
    metadata = { ...(await understand(bytes, blocks, rules)), size: [width, height] };
  } catch (error) {
    return [failed("text", error)];
  }
  return [
    ...attempt("generator", () => readGenerator(metadata, rules)),
    ...attempt("camera", () => readCamera(metadata, rules)),
    ...[...metadata.damage].map(([name, reason]) => say(name, `The file's ${name} was not read in full: ${plain(reason, 200)}.`)),
  ];
}

function attempt(name, read) {
  try {
    return read();
  } catch (error) {
    return [failed(name, error)]; // A hostile file must not stop the others.
  }
}

const say = (name, detail) => ({ kind: "reader", strength: "asserted", says: null, detail, data: { unread: name } });
const failed = (name, error) => say(name, `The file's ${name} metadata could not be read: ${plain(`${error?.name}: ${error?.message}`, 200)}`);

/** Load a library that is a script, and gives what it has to `exports` where there is such a thing. */
const loadScript = (path) =>
  once(path, async () => {
    globalThis.exports ??= {};
    await import(new URL(`../metadata/${path}`, import.meta.url));
    return globalThis.exports;
  });

/** Return fields, in the order of trust: what programs write for themselves comes before what is found anywhere. */
async function understand(bytes, blocks, rules) {
  const damage = new Map(); // Of what cannot be read in full, the first reason.
  const note = (name, reason) => void (damage.has(name) || damage.set(name, reason));
  const read = [];
  const packets = [...blocks.xmp];
  if (blocks.exif.length || blocks.whole) {
    const { ExifReader } = await loadScript("exif-reader.js");
    for (const block of blocks.exif) read.push(readBlock(ExifReader, block, note));
    if (blocks.whole) read.push(readWhole(ExifReader, bytes, packets, note));
  }
  const exif = merge(read);
  const xmp = new Map();
  const sax = packets.length ? await loadScript("sax.js") : null;
  for (const packet of packets) {
    const found = readPacket(sax, packet);
    if (found.damage) note("XMP", found.damage);
    for (const [name, value] of found.properties) if (!xmp.has(name)) xmp.set(name, value);
  }
  const gps = read.map((values) => values.get("GPS")).find((place) => place && Object.keys(place).length) ?? {};
  return { fields: [...fieldsOf(blocks, exif, xmp, rules)], exif, gps, xmp, damage };
}

function readBlock(library, block, note) {
  let values = new Map();
  try {
    values = readExif(library, block);
    checkDirectories(block);
  } catch (error) {
    note("EXIF", error.message);
  }
  return values;
}

/** Read a file whose parts the library finds by itself; it gives XMP to what should read that. */
function readWhole(library, bytes, packets, note) {
  const domParser = { parseFromString: (text) => void packets.push(new TextEncoder().encode(text)) };
  try {
    return valuesOf(library.loadView(viewOf(bytes), { expanded: true, computed: true, domParser }).exif ?? {});
  } catch (error) {
    if (!(error instanceof library.errors.MetadataMissingError)) note("EXIF", error.message);
    return new Map();
  }
}

/** Return the values of several blocks of EXIF: of a tag that comes twice, the first that says something. */
function merge(blocks) {
  const values = new Map();
  for (const block of blocks) for (const [name, value] of block) if (!values.has(name)) values.set(name, value);
  return values;
}

function* fieldsOf(blocks, exif, xmp, rules) {
  for (const [place, name, text] of blocks.texts) yield { place, name, text };
  for (const name of rules.raw.exif_texts) {
    const text = exif.get(name);
    if (typeof text === "string") yield { place: "EXIF data", name, text };
  }
  for (const [key, value] of xmp) {
    const text = firstOf(value);
    if (text) yield { place: "XMP", name: key.slice(key.lastIndexOf(" ") + 1), text };
  }
  for (const row of blocks.iptc) {
    for (const [name, text] of readIptc(row, rules.raw.iptc_names)) if (text) yield { place: "IPTC data", name, text };
  }
}

/** Yield the texts of a row of datasets, by name, as iptc.py has it; damage ends it. */
function* readIptc(row, names) {
  for (let at = 0, count = 0; at + 5 <= row.length && row[at] === 0x1c && count < MAX_DATASETS; count++) {
    const [record, number] = [row[at + 1], row[at + 2]];
    let size = 256 * row[at + 3] + row[at + 4];
    at += 5;
    if (size & 0x8000) {
      // Of more than 32,767 bytes: the size of the size.
      const width = Math.min(size & 0x7fff, 4);
      size = row.subarray(at, at + width).reduce((sum, byte) => 256 * sum + byte, 0);
      at += width;
    }
    if (record === 2 && names[number]) yield [names[number], trim(decode(row.subarray(at, at + size)))];
    at += size;
  }
}
