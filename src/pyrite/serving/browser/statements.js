// What one manifest of content credentials says, action by action, as statements.py has it.
import { isObject, plain, unique } from "./values.js";

const MAX_DEPTH = 4;
const MAX_VALUES = 500;

/**
 * Return what a manifest's assertions say of how the image came about, and what it says of its parts.
 *
 * Each is `{action, term, stands, agent, extent, told}`; see the class `Statement` in statements.py.
 */
export function readStatements(manifest, rules) {
  const found = [];
  const add = (action, term, stands, agent = "", extent = null, told = "") => found.push({ action, term, stands, agent, extent, told });
  for (const assertion of manifest.assertions ?? []) {
    // Since version 2 of the claim, the signer stands behind what it created, not what it gathered.
    const stands = (manifest.claim_version ?? 1) < 2 || assertion.created === true;
    const { data } = assertion;
    const kind = kindOf(assertion);
    if (!isObject(data)) continue;
    if (kind === "c2pa.actions") {
      for (const action of objectsIn(data, "actions")) readAction(action, stands, rules, add);
      // A template holds what several actions have in common.
      for (const template of objectsIn(data, "templates")) {
        for (const term of termsIn(template, rules)) add(null, term, stands, agentOf(template), rules.extentOf(term));
      }
    } else if (rules.isAll("ai_assertion", kind)) {
      if (denies(data, rules)) continue;
      for (const term of orNull(termsIn(data, rules))) add(null, term, stands, modelOf(data), rules.extentOf(term) ?? "unknown", kind);
    } else {
      // IPTC's in metadata assertions, and whatever vendors have thought of.
      for (const term of termsIn(data, rules)) add(null, term, stands, agentOf(data), rules.extentOf(term));
    }
  }
  for (const part of partsOf(manifest)) {
    for (const term of termsIn(part, rules)) {
      // A part's own term is told by whoever took it in, and means that part.
      const meant = rules.extentOf(term);
      if (meant !== null) add(null, term, true, "", part.relationship === "parentOf" ? meant : "part");
    }
  }
  return found;
}

function readAction(action, stands, rules, add) {
  const name = plain(action.action, 100) || "an action without a name";
  const agent = agentOf(action);
  const terms = termsIn(action, rules);
  const said = terms.some((term) => rules.extentOf(term) !== null);
  for (const term of orNull(terms)) {
    let extent = rules.extentOf(term);
    const told = said || extent ? "" : tells(name, agent, action, rules);
    if (told) {
      extent = rules.starts.has(name) || rules.isAll("generated", told) ? "whole" : "part";
      if (rules.isIn("watermark", told)) extent = "unknown";
    }
    add(name, term, stands, agent, extent, told);
  }
}

/** Return what in an action says that a trained model was at work, where no digital source type does. */
function tells(name, agent, action, rules) {
  for (const text of [name.split(".").at(-1), ...textsIn(action)]) {
    const start = text.slice(0, 200);
    if (rules.isAll("generated", start) || rules.isAll("changed", start) || rules.isIn("watermark", text.slice(0, 500))) return start;
  }
  const known = rules.starts.has(name) || rules.edits.has(name) ? rules.findName(agent) : null;
  return known && !known.common ? `${name} by ${agent}` : "";
}

/** Say whether an assertion on AI says that there was none. */
function denies(data, rules) {
  const flags = Object.keys(data).filter((key) => rules.not_ai.has(key.toLowerCase()));
  return flags.length > 0 && !flags.some((key) => data[key]);
}

function agentOf(action) {
  let agent = action.softwareAgent;
  if (isObject(agent)) agent = `${agent.name || ""} ${agent.version || ""}`;
  // Another's model in a program of Adobe's.
  const details = isObject(action.parameters) ? action.parameters["com.adobe.details"] : null;
  return plain(typeof details === "string" ? details : agent, 100);
}

/** Return the model that an assertion on AI names. */
function modelOf(data) {
  const key = ["modelName", "model", "model_name", "description", "modelIdentifier", "softwareAgent"].find((one) => typeof data[one] === "string");
  return key ? `${plain(data[key], 100)} ${plain(data.version, 50)}`.trim() : "";
}

/** Return the digital source types that a value holds, wherever in it writers have put them. */
function termsIn(data, rules) {
  const found = [];
  for (const [key, value] of walk(data)) {
    if (key.split(/[.:]/).at(-1).replaceAll("_", "").toLowerCase() !== "digitalsourcetype") continue;
    for (const text of Array.isArray(value) ? value : [value]) if (typeof text === "string") found.push(plain(rules.readTerm(text), 100));
  }
  return unique(found.filter(Boolean));
}

const orNull = (terms) => (terms.length ? terms : [null]);

/** Return the texts of an action and its parameters, without the addresses in them. */
export function textsIn(action) {
  return [...walk(action)].map(([, value]) => value).filter((text) => typeof text === "string" && !text.includes("://") && !text.startsWith("self#"));
}

/** Yield key and value of a value's objects, and of those within them, but not of lists of ingredients. */
function* walk(data) {
  const waiting = [[data, 0]];
  let left = MAX_VALUES;
  while (waiting.length) {
    const [value, depth] = waiting.pop();
    const pairs = Array.isArray(value) ? value.map((item) => ["", item]) : Object.entries(value);
    for (const [key, item] of pairs) {
      if (--left < 0) return;
      if (key) yield [key, item];
      const deeper = typeof item === "object" && item !== null && depth < MAX_DEPTH;
      if (deeper && key !== "ingredients" && key !== "validation_results") waiting.push([item, depth + 1]);
    }
  }
}

/** Return an assertion's label without its version and its number. */
export const kindOf = ({ label }) => String(label ?? "").replace(/(?:\.v\d[\d.]*)?(?:__\d+)?$/, "");

/** Return the objects of a list that stands under a key, if it does. */
export const objectsIn = (data, key) => (Array.isArray(data[key]) ? data[key].filter(isObject) : []);

/** Return the ingredients that became part of the image: what was only an input did not. */
export const partsOf = (manifest) => (manifest.ingredients ?? []).filter(({ relationship }) => ["parentOf", "componentOf"].includes(relationship));
