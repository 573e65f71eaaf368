// The tags of EXIF that anything here asks for. ExifReader reads them; exif.py says what they mean.
import { latin1, viewOf } from "./bytes.js";
import { readComment, readWindows } from "./charset.js";
import { trim } from "./values.js";

const MAX_MAKER_NOTE = 200; // bytes
const PHOTO_DIRECTORY = 0x8769; // The tag that tells where the photo's directory begins.
const FAULTY = "<faulty value>"; // What the library says of a value that is not there.

/** Return a block's tags by name, as texts and numbers, with those of the place as the library has them. */
export function readExif(library, block) {
  const { exif = {} } = library.loadView(viewOf(block), { expanded: true, computed: true });
  return valuesOf(exif);
}

/** Return the values of tags that the library read, by name; `GPS` has those of the place. */
export function valuesOf(tags) {
  const values = new Map();
  const place = {};
  for (const [name, { value, computed = value }] of Object.entries(tags)) {
    if (value === FAULTY) continue;
    if (name.startsWith("GPS")) place[name] = computed;
    else {
      const read = readValue(name, computed);
      if (read !== null && read !== "") values.set(name, read);
    }
  }
  return values.set("GPS", place);
}

function readValue(name, value) {
  if (typeof value === "string") return trim(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (!Array.isArray(value) || !value.length) return null;
  if (typeof value[0] === "string") return trim(value.join("\0"));
  if (name === "ISOSpeedRatings") return value[0];
  const bytes = Uint8Array.from(value);
  if (name.startsWith("XP")) return readWindows(bytes);
  // Nearly always a camera's own, and not for others to read.
  if (name === "MakerNote") return bytes.length <= MAX_MAKER_NOTE ? trim(latin1(bytes)) : null;
  return readComment(bytes);
}

/** Throw where a directory of EXIF is cut off: the library reads what it can, and keeps silent. */
export function checkDirectories(block) {
  const view = viewOf(block);
  const little = block[0] === 0x49;
  const entriesOf = (at) => {
    const count = at + 2 <= block.length ? view.getUint16(at, little) : 0;
    if (at + 2 + 12 * count > block.length) throw new Error("a directory is cut off");
    return Array.from({ length: count }, (_, i) => at + 2 + 12 * i);
  };
  for (const at of entriesOf(view.getUint32(4, little))) {
    if (view.getUint16(at, little) === PHOTO_DIRECTORY) entriesOf(view.getUint32(at + 8, little));
  }
}
