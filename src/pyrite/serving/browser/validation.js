// What the C2PA project's library finds of a file's content credentials, and whether their signer's certificate holds,
// as validation.py has it. It is loaded for the first file that has any.
import { activeOf, UNTRUSTED } from "./manifest.js";
import { plain } from "./values.js";

const LIBRARY = new URL("../c2pa/", import.meta.url);
const VOUCHED = "signingCredential.trusted";

let loading = null;
let losses = 0;

/** Return `{store, certificate, stamp}`: what the library says, whether the signer's certificate holds, and its time stamp. */
export async function validate(blob, type, rules) {
  const first = await read(blob, type, rules.settings);
  const failures = codesOf(first.store, "failure");
  const noted = [...codesOf(first.store, "success"), ...codesOf(first.store, "informational")];
  const stamp = noted.includes("timeStamp.trusted") ? "trusted" : timeOf(first.store) ? "untrusted" : null;
  let { store } = first;
  // A list of time-stamp authorities must not vouch for a signer, but the library takes any list for that.
  const vouching = vouchingIn(store);
  if (rules.lists.some(({ kind, name }) => kind === "tsa" && vouching.includes(name))) {
    const { verify, trust } = rules.settings;
    const anchors = trust.anchors.filter(({ trust_kind }) => trust_kind !== "tsa");
    const settings = { ...rules.settings, verify: { ...verify, verify_timestamp_trust: false }, trust: { ...trust, anchors } };
    ({ store } = await read(blob, type, settings));
    addFailures(store, first.store);
  }
  return { store, certificate: checkCertificate(store, [...failures, ...codesOf(store, "failure")], first.dates, rules), stamp };
}

async function read(blob, type, settings) {
  loading ??= load();
  const { WasmReader } = await loading.catch((error) => {
    loading = null; // The network may be back for the next file.
    throw Object.assign(new Error(`what reads them cannot be loaded (${error.message})`), { name: "LibraryError" });
  });
  try {
    const reader = await WasmReader.fromBlob(type, blob, JSON.stringify(settings));
    try {
      const store = JSON.parse(reader.json());
      return { store, dates: codesOf(store, "failure").includes("signingCredential.expired") ? datesOf(reader) : ["", ""] };
    } finally {
      reader.free();
    }
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) {
      loading = null; // After a crash, its memory may be anything.
      losses++;
    }
    throw error;
  }
}

async function load() {
  const library = await import(new URL(`c2pa.js${losses ? `?${losses}` : ""}`, LIBRARY).href);
  const answer = await fetch(new URL("c2pa_bg.wasm", LIBRARY));
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  // Not as a stream: not every host knows the type of such files.
  await library.default({ module_or_path: await answer.arrayBuffer() });
  return library;
}

/** Return since when and until when the signer's certificate is valid, where the library tells. */
function datesOf(reader) {
  try {
    const { notBefore, notAfter } = JSON.parse(reader.crJson()).manifests[0].signature.certificateInfo.validity;
    return [String(notBefore), String(notAfter)];
  } catch {
    return ["", ""];
  }
}

/** Add what failed at the first reading, when no time stamp was taken on trust. */
function addFailures(store, first) {
  const [before, now] = [first.validation_results, store.validation_results];
  const known = [...codesOf(store, "failure"), UNTRUSTED];
  const failed = (before.activeManifest?.failure ?? []).filter(({ code }) => !known.includes(code));
  now.activeManifest.failure = [...(now.activeManifest.failure ?? []), ...failed];
  const parts = deltasOf(before).map(({ failure }) => ({ validationDeltas: { failure: failure ?? [] } }));
  now.ingredientDeltas = [...(now.ingredientDeltas ?? []), ...parts];
}

const deltasOf = (results) => (results.ingredientDeltas ?? []).map((item) => item.validationDeltas ?? {});

function codesOf(store, outcome) {
  return (store.validation_results?.activeManifest?.[outcome] ?? []).map(({ code }) => code);
}

/** Return the lists that were found to vouch for any signer in the store. */
function vouchingIn(store) {
  const results = store.validation_results ?? {};
  const vouched = [results.activeManifest ?? {}, ...deltasOf(results)].flatMap(({ success }) => success ?? []).filter(({ code }) => code === VOUCHED);
  const named = vouched.map(({ explanation }) => /found in \[(.{1,200}?)\]/.exec(explanation ?? "")?.[1]);
  return [results.trustListUri, ...named].filter(Boolean);
}

/** Return `{state, list, told}` of a certificate that is valid between two dates; see the class `Certificate`. */
function checkCertificate(store, failures, dates, rules) {
  const because = (state, told) => ({ state, list: null, told });
  const has = (code) => failures.includes(code);
  if (failures.some((code) => code.includes("revoked"))) return because("revoked", "whose certificate was revoked");
  if (has("signingCredential.expired")) {
    const [since, until] = dates.map((day) => day.slice(0, 10));
    const signed = timeOf(store).slice(0, 10);
    if (since && signed && signed < since) {
      return because("not_yet_valid", `whose certificate was not yet valid then (it is since ${since})`);
    }
    const stamped = signed ? "a time stamp that nobody vouches for" : "no time stamp";
    return because("expired", `whose certificate expired${until ? ` on ${until}` : ""}, with ${stamped} to show that it signed before`);
  }
  if (has("signingCredential.invalid")) {
    return because("wrong_usage", "whose certificate is not for signing content, by its usages or its form");
  }
  if (failures.some((code) => /^(signingCredential|algorithm)\./.test(code) && code !== UNTRUSTED)) {
    return because("invalid", "whose certificate does not hold");
  }
  const unknown = because("unknown", "whom no trust list vouches for");
  if (has(UNTRUSTED)) return unknown;
  const name = store.validation_results?.trustListUri;
  // A signer who is listed by itself is found without the name of the list.
  const list = rules.lists.find(name ? (item) => item.name === name : ({ allowed }) => allowed);
  if (!list) return unknown;
  const late = isOverdue(list) ? `, of which a newer one has been due since ${list.next_update}` : "";
  return { state: "trusted", list, told: `whom the ${list.dated} vouches for${late}` };
}

export const isOverdue = ({ next_update }) => Boolean(next_update) && new Date().toISOString().slice(0, 10) > next_update;

/** Return when the active manifest says that it was signed, or an empty text. */
export const timeOf = (store) => plain(activeOf(store).signature_info?.time, 40);
