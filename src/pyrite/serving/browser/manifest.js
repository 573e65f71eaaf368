// What a store of manifests says of an image's origin, and who stands behind it, as manifest.py and capture.py have it.
import { kindOf, objectsIn, partsOf, readStatements, textsIn } from "./statements.js";
import { isObject, plain, unique } from "./values.js";

export const UNTRUSTED = "signingCredential.untrusted"; // Of a signature that holds, by somebody who is on no trust list.
const TRUSTED = "signingCredential.trusted";
const MAX_MANIFESTS = 100;

export const manifestOf = (store, label) => (Object.hasOwn(store.manifests, label) ? store.manifests[label] : null);
export const activeOf = (store) => manifestOf(store, store.active_manifest);

/** Return each statement on where the image comes from: of the active manifest, then of what became part of it. */
export function findOrigins(store, trusted, rules) {
  const found = [];
  const seen = new Set();

  function visit(label, { trusted, own, part, changed }) {
    const manifest = manifestOf(store, label);
    if (!manifest || seen.has(label) || seen.size >= MAX_MANIFESTS) return;
    seen.add(label);
    for (const said of readStatements(manifest, rules)) {
      if (said.term === null && said.extent === null) continue;
      const extent = part && said.extent === "whole" ? "part" : said.extent;
      const agent = said.agent || generatorOf(manifest);
      const company = rules.companyOf(agent) || rules.companyOf(generatorOf(manifest));
      found.push({ term: said.term ?? said.told, extent, trusted: trusted && said.stands && !changed, own, agent, company, changed });
    }
    for (const ingredient of partsOf(manifest)) {
      const inner = ingredient.active_manifest;
      if (typeof inner !== "string") continue;
      const { vouched, failures } = checkIngredient(store, ingredient, inner);
      const broken = failures.some((code) => rules.begins("content_changed", code) || rules.begins("claim_changed", code));
      visit(inner, {
        trusted: trusted && vouched && !failures.length,
        own: false,
        part: part || ingredient.relationship === "componentOf",
        changed: changed || broken,
      });
    }
  }

  visit(store.active_manifest, { trusted, own: true, part: false, changed: false });
  return found;
}

/** Return the ingredients of the active manifest whose own credentials do not hold: `{title, codes}`. */
export function findFailing(store) {
  return (activeOf(store).ingredients ?? []).flatMap((ingredient) => {
    if (typeof ingredient.active_manifest !== "string") return [];
    const { failures } = checkIngredient(store, ingredient, ingredient.active_manifest);
    return failures.length ? [{ title: plain(ingredient.title, 100) || "a part without a name", codes: failures.sort() }] : [];
  });
}

/** Return what the active manifest says besides: marks in the pixels, terms for training, an identity. */
export function findContext(store, rules) {
  const watermarks = [];
  const training = [];
  let identity = false;
  for (const assertion of activeOf(store).assertions ?? []) {
    const { data } = assertion;
    const kind = kindOf(assertion);
    if (kind === "c2pa.actions" && isObject(data)) {
      for (const action of objectsIn(data, "actions")) {
        if (textsIn(action).some((text) => rules.isIn("watermark", text.slice(0, 500)))) watermarks.push("SynthID");
        if (String(action.action).startsWith("c2pa.watermarked") && !watermarks.length) watermarks.push("a watermark that is not named");
      }
    } else if (kind.endsWith("training-mining") && isObject(data) && isObject(data.entries)) {
      for (const [name, entry] of Object.entries(data.entries).slice(0, 20)) {
        training.push(`${plain(name, 100)}: ${isObject(entry) ? plain(entry.use, 100) : entry}`);
      }
    }
    identity ||= kind.startsWith("cawg.identity");
  }
  return {
    watermarks: unique(watermarks),
    training_and_mining: training,
    identity: identity ? "a CAWG identity, which is not checked here" : null,
  };
}

/** Return the program that wrote a manifest, with its version. */
export function programOf(manifest) {
  const { name, version } = infoOf(manifest);
  return plain(`${name || ""} ${version || ""}`.trim() || manifest.claim_generator, 200) || null;
}

const generatorOf = (manifest) => plain(infoOf(manifest).name || manifest.claim_generator, 100).replaceAll("_", " ");

function infoOf({ claim_generator_info: info }) {
  return Array.isArray(info) && isObject(info[0]) ? info[0] : {};
}

/** Return whether an ingredient's signer is trusted, and the codes of what else is wrong. */
function checkIngredient(store, ingredient, label) {
  const recorded = ingredient.validation_results?.activeManifest ?? {};
  const deltas = (store.validation_results.ingredientDeltas ?? []).map((item) => item.validationDeltas ?? {});
  const failedNow = codesOf(deltas, "failure", label);
  const vouched =
    codesOf(deltas, "success", label).includes(TRUSTED) || (codesOf([recorded], "success").includes(TRUSTED) && !failedNow.includes(UNTRUSTED));
  const failedThen = [...codesOf([recorded], "failure"), ...codesOf([{ failure: ingredient.validation_status }], "failure")];
  return { vouched, failures: unique([...failedThen, ...failedNow]).filter((code) => code !== UNTRUSTED) };
}

/** Return the codes of an outcome, of the manifest that a part of the JUMBF address is called. */
function codesOf(results, outcome, label = "") {
  const isOf = ({ url }) => !label || (url ?? "").split(/[=/]/).includes(label);
  return results.flatMap((result) => (result[outcome] ?? []).filter(isOf).map(({ code }) => code));
}

// ---- Whether a camera took the image, and nothing changed it.

/** Return `{term, trusted, changes}` of the capture that the active manifest tells of, or `null`. */
export function findCapture(store, trusted, rules) {
  return captureOf(store, store.active_manifest, trusted, 0, rules);
}

function captureOf(store, label, trusted, depth, rules) {
  const manifest = manifestOf(store, label);
  if (!manifest || depth >= MAX_MANIFESTS) return null;
  const said = readStatements(manifest, rules);
  const complete = listsAllActions(manifest);
  // What was only an input became no part of the image.
  const parts = (manifest.ingredients ?? []).filter(({ relationship }) => relationship !== "inputTo");
  const parent = complete && parts.length === 1 ? parentCapture(store, parts[0], trusted, depth + 1, rules) : null;
  const rank = ({ action, stands }) => 2 * (action !== "c2pa.created") + !stands;
  const [first] = said.filter(({ term }) => rules.capture_types.has(term)).sort((one, other) => rank(one) - rank(other));
  const created = first?.action === "c2pa.created";
  const opened = parent !== null && said.some(({ action, stands }) => action === "c2pa.opened" && stands);

  const changes = said.flatMap((item) => changesIn(item, rules));
  if (parts.length && !parent) changes.push("other images");
  if (complete === false) changes.push("actions that are not listed");
  if (!created && !opened) changes.push("no action that took or opened it");
  if (first) return { term: first.term, trusted: trusted && first.stands, changes: unique(changes) };
  // Where it was changed after opening, this manifest itself does not say that a camera took it.
  return opened && !changes.length ? parent : null;
}

/** Return the capture that an ingredient is, if it is the image that was opened, trusted and unchanged. */
function parentCapture(store, ingredient, trusted, depth, rules) {
  const label = ingredient.active_manifest;
  if (ingredient.relationship !== "parentOf" || typeof label !== "string") return null;
  const { vouched, failures } = checkIngredient(store, ingredient, label);
  const capture = failures.length ? null : captureOf(store, label, trusted && vouched, depth, rules);
  return capture?.trusted && !capture.changes.length ? capture : null;
}

function changesIn({ action, term }, rules) {
  const started = action === "c2pa.created" && term !== null;
  const harmless = action === null || started || action === "c2pa.opened" || rules.harmless_actions.has(action);
  return [...(harmless ? [] : [action]), ...(term === null || rules.capture_types.has(term) ? [] : [term])];
}

/** Say whether the manifest claims to list every action; `null` where it says neither. */
function listsAllActions(manifest) {
  const claims = (manifest.assertions ?? [])
    .filter((assertion) => kindOf(assertion) === "c2pa.actions" && isObject(assertion.data))
    .map(({ data }) => data.allActionsIncluded);
  if (claims.includes(false)) return false;
  return claims.length && claims.every((claim) => claim === true) ? true : null;
}
