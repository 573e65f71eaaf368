// Values that strangers wrote, made safe to look at and to show, as values.py has it.

export const MAX_TEXT = 2_000_000; // characters; no known generator writes as much into one field
const MAX_SHOWN = 2000;
const MAX_LITERAL = 20_000; // characters of a dictionary of Python
const MAX_DEPTH = 900; // of objects and lists within each other
const PADDING = "\0 \t\r\n\ufeff";
const CLOSES = { "[": "]", "{": "}", '"': '"' };
const LITERAL = /'((?:[^'\\]|\\.)*)'|"(?:[^"\\]|\\.)*"|\b(?:True|False|None)\b/g;
const CONSTANTS = { True: "true", False: "false", None: "null" };

/** Return a text without the padding that fixed-size fields leave around it, and of bounded length. */
export function trim(text) {
  const rest = trimEnd(text.slice(0, MAX_TEXT), PADDING);
  let start = 0;
  while (PADDING.includes(rest[start])) start++;
  return rest.slice(start);
}

/** Return a text without any of these signs at its end; a pattern would take a time that grows with their square. */
export function trimEnd(text, signs) {
  let end = text.length;
  while (end && signs.includes(text[end - 1])) end--;
  return text.slice(0, end);
}

/** Return what a text holds as JSON, or `null`; objects that Python printed (`{'a': 1}`) count too. */
export function readJson(text) {
  const trimmed = trim(text ?? "");
  if (!trimmed || CLOSES[trimmed[0]] !== trimmed.at(-1)) return null;
  const found = parse(trimmed) ?? (trimmed.startsWith("{'") && trimmed.length <= MAX_LITERAL ? parse(trimmed.replace(LITERAL, toJson)) : null);
  // Some write JSON into JSON, as a string.
  return typeof found === "string" && /^[[{]/.test(found) ? parse(found) : found;
}

/** Return a JSON object that a text holds, or that a value is already; empty where there is none. */
export function readObject(value) {
  const found = typeof value === "string" ? readJson(value) : value;
  return isObject(found) ? found : {};
}

function parse(text) {
  try {
    const found = JSON.parse(text);
    if (isDeep(found)) return null; // As Python does not read it.
    return /\d{16}/.test(text) ? JSON.parse(text, keepDigits) : found;
  } catch {
    return null;
  }
}

const isDeep = (value, depth = 0) =>
  depth > MAX_DEPTH || (typeof value === "object" && value !== null && Object.values(value).some((item) => isDeep(item, depth + 1)));

/** Keep a whole number as a text where JavaScript would round it. */
function keepDigits(key, value, context) {
  return typeof value === "number" && /^-?\d+$/.test(context?.source) && !Number.isSafeInteger(value) ? context.source : value;
}

/** Return a string or a constant of Python as JSON has it. */
function toJson(written, single) {
  return CONSTANTS[written] ?? (single === undefined ? written : `"${single.replace(/\\'/g, "'").replace(/(?<!\\)"/g, '\\"')}"`);
}

/** Return a text that is safe to show: of bounded length, without control characters or half a character. */
export function plain(text, limit = MAX_SHOWN) {
  if (typeof text !== "string" && typeof text !== "number") return "";
  const cut = [...String(text).slice(0, 2 * limit)].slice(0, limit).join("");
  return cut.replace(/[\p{C}\p{Z}]/gu, (sign) => (sign === "\n" ? sign : " ")).trim();
}

/** Return details of bounded size, without those that are empty. */
export function tidy(details) {
  const cleaned = Object.entries(details).map(([key, value]) => [plain(key, 100), tidyValue(value, 4)]);
  return Object.fromEntries(cleaned.filter(([, value]) => !isEmpty(value)));
}

function tidyValue(value, depth) {
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value))) return value;
  if (Array.isArray(value)) return depth ? value.slice(0, 50).map((item) => tidyValue(item, depth - 1)) : "";
  if (typeof value !== "object") return plain(value);
  if (!depth) return "";
  return Object.fromEntries(Object.entries(value).slice(0, 50).map(([key, item]) => [plain(key, 100), tidyValue(item, depth - 1)]));
}

function isEmpty(value) {
  return value === null || value === "" || (typeof value === "object" && Object.keys(value).length === 0);
}

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
export const unique = (values) => [...new Set(values)];
