// Values that strangers wrote, made safe to look at and to show, as values.py has it.

const MAX_SHOWN = 2000;

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
