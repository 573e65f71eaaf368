// What generators write into their files, as generator.py has it: told by the exact field and form, never by a word in a text.
import { findPrograms } from "./prompts.js";
import { keyOf } from "./rules.js";
import { isObject, plain, readJson, readObject, tidy } from "./values.js";
import { firstOf, textsOf } from "./xmp.js";

const ANYONE = "which anyone could have written";
const UNNAMED = "an AI system that it does not name";

/** Report the generators that the file's texts name, and its digital source types. */
export function readGenerator(metadata, rules) {
  const found = new Map();
  for (const item of findAll(metadata, rules)) {
    const known = found.get(item.generator);
    found.set(item.generator, known ? join(known, item) : item);
  }
  return [...[...found.values()].map((item) => toEvidence(item, rules)), ...readSourceTypes(metadata, rules)];
}

/** Return what two texts say that name the same generator: that which says AI, and the details of both. */
function join(first, second) {
  if (first.says === null && second.says === "ai") [first, second] = [second, first];
  const told = Object.entries(first.details).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return { ...first, details: { ...second.details, ...Object.fromEntries(told) } };
}

function* findAll(metadata, rules) {
  for (const [place, made] of findPrograms(metadata, rules)) yield told(made.program, place, made.details, made);
  yield* findAiProperties(metadata, rules);
  yield* findNames(metadata, rules);
  yield* findLabels(metadata, rules);
}

const told = (generator, place, details, more = {}) => ({ says: "ai", extent: "whole", note: "", company: null, ...more, generator, place, details });

function toEvidence(item, rules) {
  const name = plain(item.generator, 100) || "an unnamed service";
  const company = item.company ?? rules.companyOf(item.generator);
  const extent = item.says === "ai" ? item.extent : null;
  const data = tidy({ generator: name, company, place: item.place, extent, ...item.details });
  const by = !company || name.toLowerCase().includes(company.toLowerCase()) ? name : `${name} (${company})`;
  const model = "model" in data ? ` with the model ${plain(data.model, 100)}` : "";
  let detail;
  if (item.note) detail = `The file's ${item.place} names ${by}: ${item.note}.`;
  else if (item.says) detail = `The file's ${item.place} says that this image was ${rules.did[item.extent]} by ${by}${model}, ${ANYONE}.`;
  else detail = `The file's ${item.place} says that ${by} may have made or changed this image${model}, ${ANYONE}.`;
  return { kind: "generator", strength: "asserted", says: item.says, detail, data };
}

function* readSourceTypes({ xmp, fields }, rules) {
  const terms = new Map();
  for (const [name, value] of xmp) {
    if (name.slice(name.lastIndexOf(" ") + 1).toLowerCase() !== "digitalsourcetype") continue;
    for (const text of textsOf(value)) terms.set(rules.readTerm(text), "XMP");
  }
  for (const { place, name, text } of fields) {
    if (place === "XMP" || name.toLowerCase().replaceAll(" ", "") !== "digitalsourcetype") continue;
    if (!terms.has(rules.readTerm(text))) terms.set(rules.readTerm(text), place);
  }
  for (const [address, place] of terms) {
    const term = plain(address, 100);
    const extent = rules.extentOf(term);
    const detail = rules.terms.has(term)
      ? `The file's ${place} says that this image was ${rules.terms.get(term)} (${term}), ${ANYONE}.`
      : `The file's ${place} has the digital source type “${term}”, which is not a known digital source type.`;
    yield { kind: "source_type", strength: "asserted", says: extent ? "ai" : null, detail, data: tidy({ digital_source_type: term, extent, place }) };
  }
}

/** Find the properties that IPTC has for generated images alone, whatever they name. */
function* findAiProperties({ xmp }, rules) {
  const [system, version, prompt, writer] = ["AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "AIPromptWriterName"].map((name) =>
    firstOf(xmp.get(rules.raw.ai_properties + name) ?? ""),
  );
  if (!system && !version && !prompt && !writer) return;
  const details = { software: system, version, prompt, prompt_writer: writer };
  yield told(rules.findName(system)?.name ?? (system || UNNAMED), "XMP", details);
}

/** Find generators in the fields that name the program or the source, as the whole of what they say. */
function* findNames({ fields }, rules) {
  for (const { place, name, text } of fields) {
    const key = keyOf(name);
    // An author is no program, though XMP calls one a creator; and a source in PNG is a device.
    const isProgram = rules.software_fields.has(key) && !(place === "XMP" && key === "creator");
    const isCredit = !isProgram && rules.credit_fields.has(key) && !(place === "PNG text" && key === "source");
    const found = isProgram ? rules.findName(text) : isCredit ? rules.findInCredit(text) : null;
    if (found) yield told(found.name, place, { [isProgram ? "software" : "credit"]: text }, { extent: found.edited ? "part" : "whole" });
  }
}

/** Find what law and makers of phones have put into files, beside or instead of a program's name. */
function* findLabels({ fields }, rules) {
  for (const { place, name, text } of fields) {
    const value = readJson(text);
    if (place === "Samsung trailer") {
      const kind = readObject(value).genAIType;
      if (Number.isInteger(kind) && kind > 0) yield told("Samsung", place, { generative_edit: kind }, { extent: "part", company: "Samsung" });
      continue;
    }
    const label = readLabel(name, value, rules.raw.label);
    if (!label) continue;
    const [says, meaning] = rules.raw.label.meanings[meaningOf(label.Label, rules.raw.label)];
    const low = lowered(label, Infinity);
    const code = plain(low.contentproducer || low.producer || "", 100);
    const [producer, company] = rules.raw.label.producers[rules.all("label_code", code.toUpperCase())?.[1]] ?? [null, null];
    const note = says ? "" : `it is labelled as ${meaning}, by China's rules, ${ANYONE}`;
    const details = { label, label_meaning: meaning, producer_code: code };
    yield told((producer ?? rules.findName(code)?.name ?? code) || "an unnamed service", place, details, { says, note, company });
  }
}

/** Return China's label of generated content that a text holds: alone, or under `AIGC` in another object. See labels.py. */
function readLabel(name, value, rules) {
  if (!isObject(value)) return null;
  const inner = ["AIGC", "aigc", "TC260:AIGC"].map((key) => (typeof value[key] === "string" ? readJson(value[key]) : value[key])).find(isObject);
  const label = inner ?? value;
  const low = lowered(label, 50);
  if (!("label" in low) || (name.toLowerCase() !== "aigc" && !rules.others.some((key) => key in low))) return null;
  return meaningOf(low.label, rules) ? { ...label, Label: low.label } : null;
}

function meaningOf(label, { meanings, words }) {
  const word = ["string", "number"].includes(typeof label) ? String(label).trim().toLowerCase() : "";
  return [word, words[word]].find((one) => Object.hasOwn(meanings, one)) ?? "";
}

const lowered = (value, count) => Object.fromEntries(Object.keys(value).slice(0, count).map((key) => [key.toLowerCase(), value[key]]));
