// ComfyUI's graph of nodes: whether any of them generates, and from what. See comfyui.py.
import { made } from "./forms.js";
import { isObject, unique } from "./values.js";

const PROGRAM = "ComfyUI";
const MAX_STEPS = 200; // nodes that are visited for one prompt, model or seed
const MAX_MAKERS = 50; // generating nodes that are asked for a prompt
const MAX_NAME = 100; // characters of a node's type
const MARGIN = 100; // pixels around the nodes in a picture of the editor
const TOLERANCE = 0.03;

/** Understand ComfyUI's two objects, or return `null` where neither is what ComfyUI writes. */
export function readComfyUi(prompt, workflow, [width, height], rules) {
  const nodes = readNodes(prompt, rules);
  if (nodes.size) {
    const order = [...walk(nodes)];
    const makers = order.filter(({ class_type }) => generates(class_type, rules)).map(({ inputs }) => inputs);
    return made(PROGRAM, summarise(nodes, order, makers, rules.raw.comfyui), makers.length ? "ai" : null);
  }
  if (!isObject(workflow) || !Array.isArray(workflow.nodes) || !("links" in workflow)) return null;
  const drawn = workflow.nodes.filter(isObject);
  if (isPictureOfEditor(drawn, width, height)) return made(PROGRAM, {}, null, "this is a picture of the workflow in its editor, not an image that it made");
  return made(PROGRAM, {}, drawn.some(({ type }) => typeof type === "string" && generates(type, rules)) ? "ai" : null);
}

/** Say whether an image is as large as the nodes of a workflow take in the editor. */
function isPictureOfEditor(nodes, width, height) {
  const known = nodes.map(({ pos, size }) => [pairOf(pos), pairOf(size)]).filter(([at, extent]) => at && extent);
  if (known.length < 2 || known.length < nodes.length || Math.min(width, height) < 1) return false;
  const span = (i) => known.reduce((most, [at, extent]) => Math.max(most, at[i] + extent[i]), -Infinity) - known.reduce((least, [at]) => Math.min(least, at[i]), Infinity) + 2 * MARGIN;
  const [across, down] = [width / span(0), height / span(1)];
  // The titles above the nodes are counted by some, and half a screen's pixels by others.
  return across >= 0.25 && across <= 4 && Math.abs(across / down - 1) <= TOLERANCE;
}

/** Return two numbers, which the editor writes as a list, or as an object with the keys 0 and 1. */
function pairOf(value) {
  const [first, second] = isObject(value) ? [value[0], value[1]] : Array.isArray(value) ? value : [];
  return [first, second].every((item) => typeof item === "number" && Math.abs(item) < 1e6) ? [first, second] : null;
}

const generates = (kind, rules) => rules.isAll("comfyui", kind.slice(0, MAX_NAME));

/** Return the nodes of a graph, which is only one if all of it is nodes, but for what services add. */
function readNodes(graph, rules) {
  const nodes = Object.entries(isObject(graph) ? graph : {}).filter(([name]) => !rules.raw.comfyui.beside.includes(name));
  const areNodes = nodes.every(([, node]) => isObject(node) && typeof node.class_type === "string" && isObject(node.inputs));
  return new Map(areNodes ? nodes : []);
}

/** Yield every node once, from what saves an image back to what it was made from, the nearest first. */
function* walk(nodes) {
  const linked = new Set([...nodes.values()].flatMap(({ inputs }) => [...links(nodes, Object.values(inputs))]));
  // Previews are ends as well, but what is in a file was saved. A graph in a circle has no end.
  const rank = (name) => 2 * linked.has(name) + !nodes.get(name).class_type.includes("Save");
  const seen = new Set();
  for (const end of [...nodes.keys()].sort((one, other) => rank(one) - rank(other))) {
    const queue = [end];
    for (const name of queue) {
      if (seen.has(name)) continue;
      seen.add(name);
      yield nodes.get(name);
      for (const next of links(nodes, Object.values(nodes.get(name).inputs))) queue.push(next);
    }
  }
}

/** Yield the nodes that inputs come from: such an input is a node's name and the number of its output. */
function* links(nodes, values) {
  for (const value of values) if (Array.isArray(value) && typeof value[0] === "string" && nodes.has(value[0])) yield value[0];
}

/** Return what the nearest generating node was asked for that was given a prompt; before it, others may have an image alone. */
function summarise(nodes, order, makers, { starts, texts, models: modelKeys, seeds }) {
  const promptOf = (inputs, role) => findTexts(nodes, inputs, starts[role], texts);
  const at = Math.max(0, makers.slice(0, MAX_MAKERS).findIndex((inputs) => promptOf(inputs, "positive").length));
  const asked = makers[at] ?? {};
  const loaded = order.flatMap(({ inputs }) => modelKeys.map((key) => inputs[key]));
  const models = strings([...follow(nodes, asked, ["guider", "model", "model1", "model2", ...modelKeys]), ...loaded]);
  // A pass that adds no noise makes no use of its seed; that of the pass before it counts.
  const noisy = makers.slice(at).filter(({ add_noise }) => add_noise !== "disable").slice(0, MAX_MAKERS);
  let seed = null;
  for (const inputs of noisy) seed ??= follow(nodes, inputs, seeds).find((value) => Number.isInteger(value) || /^-?\d{16,}$/.test(value)) ?? null;
  return {
    model: models[0],
    models: models.length > 1 ? models : null,
    prompt: promptOf(asked, "positive").join("\n"),
    negative_prompt: promptOf(asked, "negative").join("\n"),
    seed,
  };
}

/** Return the texts of a prompt, which are several where their effects are combined. */
function findTexts(nodes, asked, starts, texts) {
  for (const inputs of [asked, ...[...links(nodes, [asked.guider])].map((name) => nodes.get(name).inputs)]) {
    const own = Object.fromEntries(starts.filter((key) => Object.hasOwn(inputs, key)).map((key) => [key, inputs[key]]));
    if (Object.keys(own).length) return strings(follow(nodes, own, [...starts, ...texts]));
  }
  return [];
}

/** Follow inputs of these names, from node to node, to the values at their ends, in the names' order. */
function follow(nodes, inputs, keys) {
  const backwards = [...keys].reverse();
  const valuesOf = (from) => backwards.filter((key) => Object.hasOwn(from, key)).map((key) => from[key]);
  const found = [];
  const seen = new Set();
  const waiting = valuesOf(inputs);
  while (waiting.length && seen.size < MAX_STEPS) {
    const value = waiting.pop();
    const [name] = links(nodes, [value]);
    if (name === undefined) found.push(value);
    // What goes into this node comes out as nothing.
    else if (!seen.has(name) && nodes.get(name).class_type !== "ConditioningZeroOut") {
      seen.add(name);
      waiting.push(...valuesOf(nodes.get(name).inputs));
    }
  }
  return found;
}

const strings = (values) => unique(values.filter((value) => typeof value === "string" && value.trim()).map((value) => value.trim()));
