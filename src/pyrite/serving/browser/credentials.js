// Content credentials (C2PA) as evidence, as credentials.py has it: does the content match what was signed, does the
// signer's certificate hold, and what do the credentials claim?
import { find } from "./bytes.js";
import { activeOf, findCapture, findContext, findFailing, findOrigins, programOf, UNTRUSTED } from "./manifest.js";
import { loadRules } from "./rules.js";
import { isOverdue, timeOf, validate } from "./validation.js";
import { plain, tidy, unique } from "./values.js";

const TYPES = { JPEG: "image/jpeg", MPO: "image/jpeg", PNG: "image/png", WEBP: "image/webp", GIF: "image/gif", TIFF: "image/tiff", AVIF: "image/avif", HEIF: "image/heif" };
const NONE = "JumbfNotFound"; // What the library says of a file without any.
const MAX_SHOWN = 5;

/** Return the evidence of a file's content credentials, where it has any; nothing is fetched but this page's own files. */
export async function readCredentials(bytes, format) {
  const at = find(bytes, "jumb"); // As every manifest in a file begins.
  if (at < 0 || !TYPES[format]) return readRemote(bytes);
  let rules;
  try {
    rules = await loadRules("credentials");
    const { store, certificate, stamp } = await validate(new Blob([bytes]), TYPES[format], rules);
    return [judge(store, certificate, stamp, rules)];
  } catch (error) {
    const reason = String(error?.message ?? error).replace(/^C2pa\((.*)\)$/s, "$1");
    if (!rules || error?.name === "LibraryError")
      return [say("reader", null, `The file has content credentials, which were not read: ${plain(reason, 200)}.`, { unread: "credentials" })];
    const remote = readRemote(bytes);
    return remote.length || reason === NONE ? remote : [readDamaged(bytes, at, plain(reason, 200), rules)];
  }
}

/** Report credentials that the library cannot read, and what a look at their bytes shows all the same. */
function readDamaged(bytes, at, reason, rules) {
  const detail = `The file's content credentials could not be read: ${reason}`;
  const text = new TextDecoder("latin1").decode(bytes.subarray(at));
  const terms = unique(rules.findAll("address", text).map((address) => rules.readTerm(address)));
  const extent = terms.map((term) => rules.extentOf(term)).find(Boolean);
  if (!extent) return say("credentials", null, detail);
  const told = `${detail}. They hold the words that the image was ${rules.did[extent]}, which anyone could have written.`;
  return say("credentials", "ai", told, { extent, digital_source_types: terms });
}

/** Report credentials that XMP says are kept elsewhere. */
function readRemote(bytes) {
  const at = find(bytes, "dcterms:provenance");
  const url = at < 0 ? null : /^dcterms:provenance\s*(?:=\s*["']|>\s*)(https?:\/\/[^"'<\s]+)/.exec(new TextDecoder().decode(bytes.subarray(at, at + 2000)))?.[1];
  if (!url) return [];
  const detail = "The file's content credentials are kept elsewhere and were not fetched; anyone could have named the place.";
  return [say("credentials", null, detail, { remote_url: url })];
}

const say = (kind, says, detail, data = {}, strength = "asserted") => ({ kind, strength, says, detail, data: tidy(data) });

function judge(store, certificate, stamp, rules) {
  const manifest = activeOf(store);
  const failures = (store.validation_results?.activeManifest?.failure ?? []).filter(({ code }) => code !== UNTRUSTED);
  const codes = failures.map(({ code }) => code);
  const changed = codes.some((code) => rules.begins("content_changed", code));
  const forged = codes.some((code) => rules.begins("claim_changed", code));
  const trusted = certificate.state === "trusted";
  const holds = trusted && !codes.length && store.validation_state === "Trusted";
  const origins = findOrigins(store, holds, rules);
  const capture = changed || forged ? null : findCapture(store, holds, rules);
  const signer = manifest.signature_info ?? {};
  const name = plain(signer.issuer || signer.common_name, 100) || "an unnamed signer";
  const ai = choose(origins);
  const { says, verified, told } = conclude(ai, capture, holds, rules);
  const failing = findFailing(store);
  const { list } = certificate;
  const detail = tell({ name, certificate, told, changed, forged, codes, ai, time: timeOf(store), failing, rules });
  const only = (items, ...keys) => items.map((item) => Object.fromEntries(keys.map((key) => [key, item[key]])));
  const data = {
    content: changed || forged ? "changed" : "matches",
    certificate: certificate.state,
    valid: !codes.length,
    trusted: holds,
    trust_list: list && { name: list.name, issued: list.issued, overdue: isOverdue(list) },
    extent: ai?.extent,
    generator: ai?.agent,
    company: ai?.company,
    signer: only([signer], "issuer", "common_name", "alg", "time", "cert_serial_number")[0],
    time_stamp: stamp,
    claim_generator: programOf(manifest),
    digital_source_types: unique(origins.map(({ term }) => term).filter((term) => rules.terms.has(term))),
    statements: unique(origins.filter(({ term, extent }) => extent && !rules.terms.has(term)).map(({ term }) => term)),
    failures: only(failures, "code", "explanation"),
    ingredients: only(manifest.ingredients ?? [], "title", "relationship", "format"),
    failing_ingredients: failing,
    ...findContext(store, rules),
  };
  return say("credentials", says, detail, data, verified ? "verified" : "asserted");
}

/** Return the statement on AI that says the most, of those that most stands behind. */
function choose(origins) {
  const order = ["whole", "part", "unknown"];
  const rank = (it) => [!it.trusted, it.changed, !it.own, order.indexOf(it.extent), !it.agent].reduce((sum, part) => 3 * sum + Number(part), 0);
  const [first] = origins.filter(({ extent }) => extent !== null).sort((one, other) => rank(one) - rank(other));
  return first ?? null;
}

function conclude(ai, capture, trusted, rules) {
  if (ai) {
    const what = ai.own ? "this image" : "an image that it was made of";
    const by = ai.agent ? `, by ${ai.agent}` : "";
    const company = ai.company && !ai.agent.toLowerCase().includes(ai.company.toLowerCase()) ? ` (${ai.company})` : "";
    return { says: "ai", verified: ai.trusted, told: `${what} was ${rules.did[ai.extent]} (${ai.term})${by}${company}` };
  }
  if (!capture) return { says: null, verified: trusted, told: "" };
  const { changes, term } = capture;
  const more = changes.length > MAX_SHOWN ? ", and more" : "";
  const but = changes.length ? `, but not that it still shows the same (${changes.slice(0, MAX_SHOWN).join(", ")}${more})` : "";
  const says = capture.trusted && !changes.length ? "real" : null;
  return { says, verified: capture.trusted, told: `a camera took this image (${term})${but}` };
}

/** Return one sentence: who signed and who vouches, what is said, and what speaks against it. */
function tell({ name, certificate, told, changed, forged, codes, ai, time, failing, rules }) {
  const said = told ? `say that ${told}` : "do not say whether it is AI-generated or a photograph";
  const listed = plain(unique(codes).join(", "), 200);
  const when = time && !changed && !forged ? ` on ${time.slice(0, 10)}` : "";
  let detail;
  if (changed) {
    const of = ai ? `The file carries a manifest of an image that was ${rules.did[ai.extent]} (${ai.term}), signed in the name of ${name}, which no longer matches: ` : "";
    detail = `${of || "Content credentials were found, but "}the file was changed after signing (${listed})`;
    detail += of ? ", so anyone could have put it there" : ", so they prove nothing";
  } else if (forged) {
    detail = `Content credentials in the name of ${name} ${said}, but they were changed after signing (${listed}), `;
    detail += told ? "so anyone could have written that" : "so they prove nothing";
  } else if (certificate.state === "trusted") {
    detail = `Content credentials signed${when} by ${name}, ${certificate.told}, ${said}`;
    if (codes.length) detail += `; they break the rules of C2PA (${listed}), so anyone could have made them`;
    else if (ai && !ai.trusted) detail += ", but that part comes from somebody else, so anyone could have written it";
  } else {
    detail = `Content credentials signed${when} in the name of ${name}, ${certificate.told}, ${said}; the content matches, but `;
    detail += certificate.state === "unknown" ? "anyone could have made them" : "this counts only as asserted";
  }
  if (failing.length) {
    const parts = failing.slice(0, MAX_SHOWN).map(({ title, codes: reasons }) => `“${title}” (${reasons.slice(0, 2).join(", ")})`);
    const more = failing.length > MAX_SHOWN ? `, and ${(failing.length - MAX_SHOWN).toLocaleString("en")} more` : "";
    detail += `. The credentials of what it was made of do not hold: ${parts.join(", ")}${more}`;
  }
  return `${detail}.`;
}
