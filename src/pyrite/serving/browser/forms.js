// Programs that write their settings as one JSON object or one line, and services: see json_forms.py, invokeai.py, services.py.
import { isObject, readObject, trim } from "./values.js";

const MAX_NODES = 10_000;

/** What one program says of an image. */
export const made = (program, details = {}, says = "ai", note = "") => ({ program, details, says, note });

/** Return what a program was asked for, without what is of a kind that it cannot be. */
export function asked(model, prompt, negative, seed) {
  const text = (value) => (typeof value === "string" ? trim(value) : null);
  const number = typeof seed === "string" && /^\d+$/.test(seed) && Number.isSafeInteger(Number(seed));
  return { model: text(model), prompt: text(prompt), negative_prompt: text(negative), seed: number ? Number(seed) : (seed ?? null) };
}

const has = (value, ...keys) => keys.every((key) => Object.hasOwn(value, key));
const orElse = (value, key, other) => (has(value, key) ? value[key] : other);
const spelled = (value) => Object.fromEntries(Object.keys(value).slice(0, 200).map((key) => [key.toLowerCase().replaceAll(" ", "_"), value[key]]));

export function readFooocus(value, rules) {
  const written = orElse(value, "software", value.version);
  const named = typeof written === "string" ? rules.first("fooocus", written.slice(0, 100)) : null;
  const low = spelled(value);
  if (!has(low, "prompt") || (!named && !has(low, "base_model", "sampler", "seed"))) return null;
  const program = named?.[1] ? "RuinedFooocus" : named?.[2] ? "Fooocus MRE" : "Fooocus";
  return made(program, asked(orElse(low, "base_model_name", low.base_model), low.prompt, orElse(low, "negative_prompt", low.negative), low.seed));
}

export function readSwarmUi({ sui_image_params: told }) {
  return isObject(told) ? made("SwarmUI", asked(told.model, told.prompt, told.negativeprompt, told.seed)) : null;
}

export function readMflux(value) {
  return has(value, "mflux_version") ? made("mflux", asked(value.model, value.prompt, value.negative_prompt, value.seed)) : null;
}

export function readDrawThings(value) {
  return has(value, "c", "model", "seed") ? made("Draw Things", asked(value.model, value.c, value.uc, value.seed)) : null;
}

export function readTensorArt(value) {
  const model = value.baseModel;
  if (!has(value, "prompt") || (!has(value, "samplerName", "cfgScale") && !(isObject(model) && has(value, "seed")))) return null;
  const first = Array.isArray(value.models) && isObject(value.models[0]) ? value.models[0] : {};
  const name = isObject(model) ? orElse(model, "label", model.modelFileName) : first.label;
  return made("Tensor.Art", asked(name, value.prompt, value.negativePrompt, value.seed));
}

export function readNovelAi(value, rules) {
  const [needed, ...own] = rules.raw.novelai;
  return has(value, ...needed) && own.some((keys) => has(value, ...keys)) ? made("NovelAI", asked(null, value.prompt, value.uc, value.seed)) : null;
}

export function readEasyDiffusion(value, rules) {
  const low = spelled(value);
  const { easy_models, easy_steps } = rules.raw;
  const key = easy_models.find((one) => has(low, one));
  if (!has(low, "prompt") || !key || !easy_steps.some((one) => has(low, one))) return null;
  return made("Easy Diffusion", asked(low[key], low.prompt, low.negative_prompt, low.seed));
}

// ---- InvokeAI, as it writes now, and in the three ways that it had before

export function readInvokeAi(value, rules) {
  const mode = value.generation_mode;
  const generated = typeof mode === "string" && rules.isAll("invokeai_mode", mode.slice(0, 100)) && has(value, "app_version");
  if (!generated && !has(value, "positive_prompt", "seed")) return null;
  const model = isObject(value.model) ? orElse(value.model, "model_name", value.model.name) : value.model;
  return made("InvokeAI", asked(model, value.positive_prompt, value.negative_prompt, value.seed));
}

export function readInvokeAiGraph(value, rules) {
  const nodes = isObject(value.nodes) ? Object.values(value.nodes) : value.nodes;
  if (!Array.isArray(nodes) || !has(value, "edges")) return null;
  const inner = nodes.slice(0, MAX_NODES).filter(isObject).map((node) => {
    const data = readObject(node.data);
    return Object.keys(data).length ? data : node;
  });
  const kinds = inner.map(({ type }) => type).filter((kind) => typeof kind === "string");
  if (!kinds.length) return null;
  const [seed, model, prompt] = ["seed", "model", "prompt"].map((key) => inner.find((node) => isTrue(node[key]))?.[key]);
  const generates = kinds.some((kind) => rules.isAll("invokeai", kind.slice(0, 100)));
  return made("InvokeAI", asked(orElse(readObject(model), "name", model), prompt, null, seed), generates ? "ai" : null);
}

/** Say whether Python would call a value true: a list or an object that is empty is not. */
const isTrue = (value) => Boolean(value) && (typeof value !== "object" || Object.keys(value).length > 0);

export function readOldInvokeAi({ image, model_weights }, rules) {
  if (!isObject(image) || !has(image, "prompt", "seed")) return null;
  const prompt = Array.isArray(image.prompt) && isObject(image.prompt[0]) ? image.prompt[0].prompt : image.prompt;
  return made("InvokeAI", asked(model_weights, ...splitBrackets(prompt, rules), image.seed));
}

/** Read `Dream`, in the form of a command line: a prompt in quotes, and options of one letter. */
export function readDream(text, rules) {
  const at = text.lastIndexOf('" -');
  if (at < 0 || !text.startsWith('"')) return null;
  const chosen = new Map([...text.slice(at + 2).matchAll(rules.pattern("invokeai_option", undefined, "g"))].map(([, key, value]) => [key, value]));
  if (!chosen.has("s") || !chosen.has("S")) return null;
  return made("InvokeAI", asked(null, ...splitBrackets(text.slice(1, at), rules), chosen.get("S")));
}

/** Return a prompt without what it has in brackets, and that. */
function splitBrackets(prompt, rules) {
  if (typeof prompt !== "string") return [prompt, null];
  return [prompt.replace(rules.pattern("invokeai_brackets", undefined, "g"), " "), rules.findAll("invokeai_brackets", prompt).join(" ")];
}

// ---- What services write beside or instead of a program's name

/** Read a prompt, with or without options, and the job that it was. */
export function readMidjourney(text, rules) {
  const at = text.lastIndexOf("Job ID: ");
  const matched = at < 0 ? null : rules.all("job", `Job ID: ${text.slice(at + 8).trim().slice(0, 50)}`);
  return matched && made("Midjourney", { ...asked(null, text.slice(0, at)), job: matched[1] });
}

/** Read the signature of Grok, made with a key that is not public, so that nobody else can check it. */
export function readGrok(name, text, texts, rules) {
  if (text.length > 5_000 || !rules.isAll("grok", text)) return null;
  const image = ["Artist", "Author", "ImageUniqueID", "creator"].map((key) => texts.get(key) ?? "").find((value) => rules.isAll("uuid", value));
  // Without the word, it could be anything, unless that is the field's own name.
  return text.startsWith("Signature:") || (name.toLowerCase() === "signature" && image) ? made("Grok", { image }) : null;
}

/** Read the name of the program as FLUX's reference code writes it, with the model and the prompt in other tags. */
export function readFlux(text, texts, rules) {
  const matched = rules.all("flux", text.slice(0, 200));
  return matched && made("FLUX", { ...asked(texts.get("Model") ?? matched[1], texts.get("ImageDescription")), software: text.slice(0, 200) });
}
