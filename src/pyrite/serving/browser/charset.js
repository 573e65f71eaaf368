// Texts in whatever character set they really are, as exif.py has it.
import { latin1 } from "./bytes.js";
import { MAX_TEXT, trim } from "./values.js";

const CHARSETS = { ASCII: "utf-8", UNICODE: "utf-16", JIS: "iso-2022-jp", "": "utf-8" };
const SAMPLE = 2_000; // bytes
const RUBBISH = /[\p{Cc}\p{Cn}\p{Co}\p{Cs}]/u;
// Letters of one script, as texts have them, rather than of twenty, as chance has them.
const LIKELY = /[\0-\u024f\u0370-\u06ff\u3000-\u30ff]/;

/** Decode a comment: eight bytes should name its character set, and often name another, or are not there. */
export function readComment(bytes) {
  const name = latin1(bytes.subarray(0, 8)).toUpperCase();
  const charset = CHARSETS[name.replace(/[\0 ]+$/, "")];
  if (charset && bytes.length > 8) return readText(bytes.subarray(8), charset);
  return name.startsWith("UNICODE") ? readText(bytes.subarray(7), "utf-16") : readText(bytes, "utf-8");
}

/** Read a text of Windows, which is UTF-16 with the lower byte first, unless who wrote it did not know. */
export const readWindows = (bytes) => readText(bytes, "utf-16le");

/**
 * Decode a text that should be in the encoding `told`, but may be in any that programs confuse it with.
 *
 * Each is tried on the first part of it, and the one that gives the most letters and the least rubbish is taken.
 */
function readText(whole, told) {
  const bytes = whole.subarray(0, 2 * MAX_TEXT);
  const [first, second] = bytes;
  if (first === 0xef && second === 0xbb && bytes[2] === 0xbf) return decodeAs(bytes, "utf-8");
  if (first === 0xff && second === 0xfe) return decodeAs(bytes, "utf-16le");
  if (first === 0xfe && second === 0xff) return decodeAs(bytes, "utf-16be");
  // Neither do some know in which of both orders bytes go.
  const wide = ["utf-16le", "utf-16be"];
  const tried = new Set([...(told === "utf-16" ? wide : [told]), "utf-8", ...wide, ...(told === "iso-2022-jp" ? ["shift_jis"] : []), "latin-1"]);
  let best = ["", -Infinity];
  for (const encoding of tried) {
    const likely = plausible(bytes.subarray(0, SAMPLE), encoding);
    if (likely > best[1]) best = [encoding, likely];
  }
  return decodeAs(bytes, best[0]);
}

const decodeAs = (bytes, encoding) => trim(encoding === "latin-1" ? latin1(bytes) : new TextDecoder(encoding).decode(bytes));

/** Return which share of a text's characters are likely, less those that are not, in an encoding. */
function plausible(sample, encoding) {
  let text;
  try {
    // The sample's last character may have been cut in two: then it is not decoded.
    const stream = sample.length === SAMPLE || encoding.startsWith("utf-16");
    text = encoding === "latin-1" ? latin1(sample) : new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(sample, { stream });
  } catch {
    return -1;
  }
  const signs = [...text.replace(/^\0+|\0+$/g, "")];
  if (!signs.length) return -0.5;
  const scores = signs.map((sign) => {
    if (/[\t\r\n -~]/.test(sign)) return 1;
    if (RUBBISH.test(sign)) return -2;
    if (encoding === "latin-1") return 0.2;
    return LIKELY.test(sign) ? 0.9 : 0.6;
  });
  return scores.reduce((sum, score) => sum + score, 0) / signs.length;
}
