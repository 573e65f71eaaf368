// The chunks of a PNG file: its texts, in all three kinds, and what programs hide in them, as png.py has it.
import { begins, decode, join, latin1, viewOf } from "./bytes.js";

const MAX_PARTS = 100_000;
const MAX_TEXTS = 1_000;
const MAX_TEXT = 8_000_000; // bytes of one text,
const MAX_TOTAL = 16_000_000; // and of all of a file, unpacked
const PACKETS = ["<?xpacket", "<x:xmpmeta", "<x:xapmeta", "<rdf:RDF"]; // How XMP begins, whatever the text is called.
const RAW = "Raw profile type ";

/** Take what the chunks before and after the pixels hold. */
export async function readPng(bytes, blocks) {
  const view = viewOf(bytes);
  let left = MAX_TOTAL;
  for (let at = 8, count = 0; at + 8 <= bytes.length && count < MAX_PARTS; count++) {
    const size = view.getUint32(at);
    const name = latin1(bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + size);
    if (name === "IEND") return;
    if (name === "eXIf") blocks.addExif(body);
    else if (["tEXt", "zTXt", "iTXt"].includes(name) && left > 0 && blocks.texts.length < MAX_TEXTS) {
      const [key, text] = await readText(name, body.subarray(0, MAX_TEXT));
      left -= text.length + 1;
      const start = latin1(text.subarray(0, 100)).replace(/^[\xef\xbb\xbf \t\r\n]+/, "");
      if (key === "XML:com.adobe.xmp" || PACKETS.some((packet) => start.startsWith(packet))) blocks.xmp.push(text);
      else if (key.startsWith(RAW)) takeProfile(key.slice(RAW.length).toLowerCase(), text, blocks);
      else if (key) blocks.texts.push(["PNG text", key, decode(text)]);
    }
    at += 12 + size;
  }
}

/** Return keyword and text of a chunk, unpacked. */
async function readText(name, body) {
  let [key, rest] = cut(body);
  let packed = name === "zTXt";
  if (packed) rest = rest.subarray(1);
  else if (name === "iTXt") {
    packed = Boolean(rest[0]);
    // After the flag and the method: the language, and the keyword in it.
    rest = cut(cut(rest.subarray(2))[1])[1];
  }
  return [latin1(key), packed ? await inflate(rest) : rest];
}

function cut(bytes) {
  const at = bytes.indexOf(0);
  return at < 0 ? [bytes, bytes.subarray(bytes.length)] : [bytes.subarray(0, at), bytes.subarray(at + 1)];
}

/** Return what bytes unpack to, as far as they do and it is not too much. */
async function inflate(bytes) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const parts = [];
  try {
    for (let left = MAX_TEXT; left > 0; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value.subarray(0, left));
      left -= value.length;
    }
    await reader.cancel();
  } catch {
    // What came before the damage counts.
  }
  return join(parts);
}

/** Take a profile as ImageMagick writes it: its kind, its size, and its bytes in hexadecimal. */
function takeProfile(kind, text, blocks) {
  const words = latin1(text.subarray(0, MAX_TEXT / 2)).trim().split(/\s+/);
  // Before the size stands the kind, in one word or several.
  const hex = words.slice(words.slice(0, 4).findIndex((word) => /^\d+$/.test(word)) + 1 || 1).join("");
  if (hex.length % 2 || /[^\da-f]/i.test(hex)) return;
  const profile = new Uint8Array(hex.length / 2);
  for (let i = 0; i < profile.length; i++) profile[i] = 16 * digitOf(hex, 2 * i) + digitOf(hex, 2 * i + 1);
  if (begins(profile, "http://ns.adobe.com/xap/1.0/\0")) blocks.xmp.push(profile.subarray(29));
  else if (kind === "exif" || ["Exif\0\0", "II*\0", "MM\0*"].some((start) => begins(profile, start))) blocks.addExif(profile);
  else if (kind === "xmp") blocks.xmp.push(profile);
  else if (kind === "iptc" || kind === "8bim") blocks.addIptc(profile);
}

/** Return the value of a digit of a hexadecimal number. */
function digitOf(hex, at) {
  const code = hex.charCodeAt(at);
  return code < 58 ? code - 48 : (code & 15) + 9;
}
