// What decides how a file's words are judged: terms, patterns, names. `pyrite page` writes them, from its own code.

const loading = new Map();

/** Load what is needed for the first file that needs it; where that fails, for the next one again. */
export function once(name, load) {
  if (!loading.has(name)) loading.set(name, load().catch((error) => (loading.delete(name), Promise.reject(error))));
  return loading.get(name);
}

/** Return the rules of one kind of metadata, which are a file of this page. */
export const loadRules = (name) =>
  once(name, async () => new Rules(await (await fetch(new URL(`../v1/${name}.json`, import.meta.url))).json()));

/** Return a field's name without what writers vary: capitals, spaces, dashes and underlines. */
export const keyOf = (name) => name.slice(0, 100).replace(/[\s_-]/g, "").toLowerCase();

const MAX_NAME = 200; // characters

export class Rules {
  #compiled = new Map();
  #words;
  #companies;
  #edited;
  #termsByName;
  #aiExtents;

  /** @param raw as v1/credentials.json and v1/metadata.json have it */
  constructor(raw) {
    this.raw = raw;
    for (const name of ["settings", "lists", "did"]) this[name] = raw[name];
    for (const name of ["capture_types", "harmless_actions", "starts", "edits", "not_ai", "software_fields", "credit_fields"]) this[name] = new Set(raw[name]);
    this.terms = new Map(Object.entries(raw.terms));
    this.#words = new Map(Object.entries(raw.names.words));
    this.#companies = new Map(Object.entries(raw.names.companies));
    this.#edited = new Set(raw.names.edited);
    this.#termsByName = new Map(Object.entries(raw.terms_by_name));
    this.#aiExtents = new Map(Object.entries(raw.ai_extents));
  }

  /** Return what a pattern, by its name, finds where it is all of a text; or `null`. */
  all(name, text) {
    return this.pattern(name, (source) => `^(?:${source})$`).exec(text);
  }

  /** Return what a pattern finds at the beginning of a text, or `null`. */
  first(name, text) {
    return this.pattern(name, (source) => `^(?:${source})`).exec(text);
  }

  isAll(name, text) {
    return this.all(name, text) !== null;
  }

  begins(name, text) {
    return this.first(name, text) !== null;
  }

  /** Say whether a pattern is somewhere in a text. */
  isIn(name, text) {
    return this.pattern(name).test(text);
  }

  /** Return the first group of each place in a text where a pattern is. */
  findAll(name, text) {
    return [...text.matchAll(this.pattern(name, undefined, "g"))].map((found) => found[1]);
  }

  /** Return a pattern, by its name, in some place of a text; each is compiled once. */
  pattern(name, place = (source) => source, more = "") {
    const [source, flags] = this.raw.patterns[name];
    const key = `${place("")}${more} ${name}`;
    if (!this.#compiled.has(key)) this.#compiled.set(key, new RegExp(place(source), flags + more));
    return this.#compiled.get(key);
  }

  /** Return how much of an image a trained model made, as a term says; `null` where it says something else. */
  extentOf(term) {
    return this.#aiExtents.get(term) ?? null;
  }

  /** Return the term that a digital source type's address ends in, as the vocabulary spells it. */
  readTerm(address) {
    const text = address.trim();
    const term = text.replace(/[/#]+$/, "").split(/[/:#]/).at(-1);
    return this.#termsByName.get(term.toLowerCase()) ?? this.#termsByName.get(text.toLowerCase()) ?? term;
  }

  /**
   * Return `{name, company, common, edited, writes_a1111}` of the generator that is all that a field says, or `null`;
   * `common` is a word that is also the name of something else.
   */
  findName(text) {
    if (!text || text.length > 2 * MAX_NAME || [...text].length > MAX_NAME) return null;
    const tidied = text.toLowerCase().replace(/[_★]/g, " ").trim().split(/\s+/).join(" ").replace(/^[ .!*"']+|[ .!*"']+$/g, "");
    const found = this.all("name", tidied);
    if (!found) return null;
    const { name: word, did, how, agency, owner, rest } = found.groups;
    const entry = this.#words.get(word);
    if (entry.after && did === undefined) return null;
    const company = entry.company.toLowerCase();
    const owned = company && (owner === company || rest.includes(company));
    const used = did === "generated" || (did !== undefined && !how.split(" ").includes("by"));
    const clear = used || owned || (agency === undefined && /\d/.test(rest));
    return { ...entry, common: entry.common && !clear, edited: this.#edited.has(did) || entry.edits };
  }

  /** Return the generator that a field for a source names, unless it may as well be a person or a camera. */
  findInCredit(text) {
    const found = this.findName(text);
    return found?.common ? null : found;
  }

  companyOf(name) {
    const found = this.findName(name);
    return found ? found.company : (this.#companies.get(name) ?? "");
  }
}
