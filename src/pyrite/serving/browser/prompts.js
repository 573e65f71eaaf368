// Every form in which programs write how they made an image, tried on every text of a file that may be in it. See made.py.
import { readA1111 } from "./a1111.js";
import { readComfyUi } from "./comfyui.js";
import * as forms from "./forms.js";
import { keyOf } from "./rules.js";
import { isObject, readJson } from "./values.js";

const MAX_TEXTS = 200;
const NOWHERE = [0, 0]; // A size that no picture of ComfyUI's editor has.
const GRAPHS = ["prompt", "workflow"];

/** By what they read: from a JSON object, or a text with its name and all texts of the place by name; the first that fits is taken. */
const FORMS = [
  ...[
    forms.readFooocus,
    forms.readSwarmUi,
    forms.readMflux,
    forms.readDrawThings,
    forms.readTensorArt,
    forms.readNovelAi,
    forms.readEasyDiffusion,
    forms.readInvokeAi,
    forms.readInvokeAiGraph,
    forms.readOldInvokeAi,
  ].map((read) => (name, text, value, texts, rules) => (isObject(value) ? read(value, rules) : null)),
  (name, text, value, texts, rules) => (name === "Dream" ? forms.readDream(text, rules) : null),
  (name, text, value, texts, rules) => readComfyUi(value, value, NOWHERE, rules),
  (name, text, value, texts, rules) => (isObject(value) ? null : readA1111(text, rules)),
  (name, text, value, texts, rules) => forms.readMidjourney(text, rules),
  (name, text, value, texts, rules) => forms.readGrok(name, text, texts, rules),
  (name, text, value, texts, rules) => forms.readFlux(text, texts, rules),
];

/** Yield place and program, for each text that one of the forms fits. */
export function* findPrograms({ fields, size }, rules) {
  const read = fields.slice(0, MAX_TEXTS);
  const texts = new Map();
  for (const { place, name, text } of read) {
    const named = texts.get(place) ?? texts.set(place, new Map()).get(place);
    if (!named.has(name)) named.set(name, text);
  }
  const writer = findWriter(fields, rules);
  const graphs = new Set();
  for (const [place, named] of texts) {
    for (const made of readGroups(named, size, rules)) {
      if (made.program === "ComfyUI") graphs.add(place);
      yield [place, made];
    }
  }
  for (const item of read) {
    if (graphs.has(item.place) && GRAPHS.includes(item.name.toLowerCase())) continue; // They were read together, and may be large.
    for (const [name, text, value] of unwrap(item, rules)) {
      let found = null;
      for (const form of FORMS) found ??= form(name, text, value, texts.get(item.place), rules);
      if (found) yield [item.place, found.program === rules.raw.a1111.default && writer ? { ...found, program: writer } : found];
    }
  }
}

/** Return which program that writes in AUTOMATIC1111's form is named beside it. */
function findWriter(fields, rules) {
  for (const { name, text } of fields) {
    if (name === "fooocus_scheme") return "Fooocus";
    const found = rules.software_fields.has(keyOf(name)) ? rules.findName(text) : null;
    if (found?.writes_a1111) return found.name;
  }
  return null;
}

/** Yield name, text and value of a text, and of those that are written within it. */
function* unwrap(item, rules) {
  let { name, text } = item;
  // ComfyUI has no field of its own outside of PNG, and writes the name before the text.
  const prefix = rules.first("prefix", text);
  if (prefix) [name, text] = [prefix[1].toLowerCase(), text.slice(prefix[0].length)];
  let value = readJson(text);
  if (typeof value === "string") [text, value] = [value, readJson(value)];
  yield [name, text, value];
  if (!isObject(value)) return;
  for (const key of rules.raw.nested) {
    const inner = value[key];
    if (typeof inner === "string") yield [key, inner, readJson(inner)];
    else if (isObject(inner)) yield [key, "", inner];
  }
}

/** Yield what is told by several texts of one place together. */
function* readGroups(texts, size, rules) {
  if (texts.get("Software") === "NovelAI") {
    const comment = readJson(texts.get("Comment"));
    yield forms.made("NovelAI", forms.asked(texts.get("Source"), texts.get("Description"), comment?.uc, comment?.seed));
  }
  const graphs = new Map([...texts].map(([key, text]) => [key.toLowerCase(), text]).filter(([key]) => GRAPHS.includes(key)));
  // Outside of PNG the names stand before the texts, in fields that belong to the camera.
  for (const text of texts.values()) {
    const prefix = rules.first("prefix", text);
    const name = prefix?.[1].toLowerCase();
    if (GRAPHS.includes(name) && !graphs.has(name)) graphs.set(name, text.slice(prefix[0].length));
  }
  const comfy = graphs.size ? readComfyUi(readJson(graphs.get("prompt")), readJson(graphs.get("workflow")), size, rules) : null;
  if (comfy) yield comfy;
  const easy = forms.readEasyDiffusion(Object.fromEntries(texts), rules);
  if (easy) yield easy;
  const sygil = new Map([...texts].filter(([key]) => key.startsWith("SD:")).map(([key, text]) => [key.slice(3).toLowerCase(), text]));
  if (sygil.has("prompt") && sygil.has("seed")) {
    const model = sygil.get("model") ?? sygil.get("model_name");
    yield forms.made("Stable Diffusion (sygil)", forms.asked(model, sygil.get("prompt"), sygil.get("negprompt"), sygil.get("seed")));
  }
}
