// The text that AUTOMATIC1111's web UI writes, and many others after it: a prompt, and a line of settings. See a1111.py.
import { asked, made } from "./forms.js";
import { readJson, trimEnd } from "./values.js";

const MAX_PAIRS = 10_000; // of one line
const MAX_LINES = 50; // From the end, in which the line of settings is looked for; plugins write some lines after it.

/** Return what a text in this form says, or `null`. */
export function readA1111(text, rules) {
  const at = text.indexOf("teps:");
  if (at < 1 || !"sS".includes(text[at - 1])) return null;
  const written = text.includes("\n") ? text : text.replace(rules.pattern("a1111_escaped", undefined, "g"), "\n");
  const [before, pairs] = findLine(written, rules) ?? findWithin(written, rules) ?? [];
  if (!pairs) return null;
  const negative = rules.pattern("a1111_negative").exec(before);
  const parts = negative ? [before.slice(0, negative.index), before.slice(negative.index + negative[0].length)] : [before, ""];
  return made(nameOf(pairs, rules), asked(unquote(pairs.get("model")), parts[0], parts[1], unquote(pairs.get("seed"))));
}

function findLine(text, rules) {
  const lines = text.split("\n");
  for (let at = lines.length - 1; at > Math.max(-1, lines.length - 1 - MAX_LINES); at--) {
    const pairs = readPairs(lines[at], rules);
    if (!areSettings(pairs, rules)) continue;
    // Plugins write before the settings too, but what has no colon is the prompt, on the same line.
    const first = lines[at].slice(0, lines[at].indexOf("teps:") - 1);
    const isPrompt = rules.isIn("a1111_negative", first) || (first.trim() && !first.includes(":"));
    return isPrompt ? null : [lines.slice(0, at).join("\n"), pairs];
  }
  return null;
}

/** Find the settings on the line of the prompt, where line breaks became dots or spaces. */
function findWithin(text, rules) {
  const long = text.split("\n").length - 1 > MAX_LINES;
  const tail = long ? text.slice(text.lastIndexOf("\n", text.length - 2) + 1) : text;
  // In the last place where they may begin: a prompt may speak of steps as well.
  const at = Math.max(tail.lastIndexOf("Steps: "), tail.lastIndexOf("steps: "));
  if (at < 0) return null;
  const pairs = readPairs(tail.slice(at).replaceAll("\n", ", "), rules);
  return areSettings(pairs, rules) ? [trimEnd(tail.slice(0, at), " .,"), pairs] : null;
}

/** Beside the number of steps, two settings tell the form from a recipe for soup. */
function areSettings(pairs, rules) {
  if (!/^\d{1,5}$/.test(pairs.get("steps") ?? "")) return false;
  return rules.raw.a1111.settings.filter((key) => pairs.has(key) && rules.isAll(`a1111 ${key}`, unquote(pairs.get(key)))).length >= 2;
}

/** Return the settings of a line as they are written; of a key that comes twice, the first. */
function readPairs(line, rules) {
  const pairs = new Map();
  let count = 0;
  if (!line.includes("teps:")) return pairs;
  for (const [, key = "", value = ""] of line.matchAll(rules.pattern("a1111_pair", undefined, "g"))) {
    const name = key.trim().toLowerCase().slice(0, 100);
    if (!pairs.has(name)) pairs.set(name, value.trim());
    if (++count === MAX_PAIRS) break;
  }
  return pairs;
}

/** Return who wrote the settings, by what they call themselves. */
function nameOf(pairs, rules) {
  const { writers, default: unnamed } = rules.raw.a1111;
  const known = (name) => (Object.hasOwn(writers, name.toLowerCase()) ? writers[name.toLowerCase()] : name);
  const app = unquote(pairs.get("app"));
  if (app) return known(app);
  const version = unquote(pairs.get("version"));
  if (rules.isAll("a1111_forge", version)) return "Forge";
  if (pairs.has("civitai resources") || pairs.has("civitai metadata")) return "Civitai";
  const words = rules.all("a1111_named", version.slice(0, 100));
  return words ? known(words[1]) : unnamed;
}

function unquote(value = "") {
  const text = value.startsWith('"') ? readJson(value) : value;
  return typeof text === "string" ? text : value;
}
