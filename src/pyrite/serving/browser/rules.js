// What decides how content credentials are judged: terms, patterns, names. `pyrite page` writes them, from its own code.

export class Rules {
  #patterns;
  #words;
  #companies;
  #termsByName;
  #aiExtents;

  /** @param raw as v1/credentials.json has it */
  constructor(raw) {
    this.#patterns = raw.patterns;
    for (const name of ["settings", "lists", "did"]) this[name] = raw[name];
    for (const name of ["terms", "capture_types", "harmless_actions", "starts", "edits", "not_ai"]) this[name] = new Set(raw[name]);
    this.#words = new Map(Object.entries(raw.names.words));
    this.#companies = new Map(Object.entries(raw.names.companies));
    this.#termsByName = new Map(Object.entries(raw.terms_by_name));
    this.#aiExtents = new Map(Object.entries(raw.ai_extents));
  }

  /** Say whether a pattern, by its name, is all of a text. */
  isAll(name, text) {
    return this.#match(name, text, (source) => `^(?:${source})$`) !== null;
  }

  /** Say whether a text begins with a pattern. */
  begins(name, text) {
    return this.#match(name, text, (source) => `^(?:${source})`) !== null;
  }

  /** Say whether a pattern is somewhere in a text. */
  isIn(name, text) {
    return this.#match(name, text, (source) => source) !== null;
  }

  /** Return the first group of each place in a text where a pattern is. */
  findAll(name, text) {
    const [source, flags] = this.#patterns[name];
    return [...text.matchAll(new RegExp(source, `g${flags}`))].map((found) => found[1]);
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

  /** Return the company of the generator that is all that a field says, and whether the word is a common one; or `null`. */
  findName(text) {
    if (!text || text.length > 200) return null;
    const tidied = text.toLowerCase().replace(/[_★]/g, " ").split(/\s+/).join(" ").replace(/^[ .!*"']+|[ .!*"']+$/g, "");
    const found = this.#match("name", tidied, (source) => `^(?:${source})$`);
    if (!found) return null;
    const { name, did } = found.groups;
    const { company, common, after } = this.#words.get(name);
    if (after && did === undefined) return null;
    return { company, common: common && name === found[0] };
  }

  companyOf(name) {
    const found = this.findName(name);
    return found ? found.company : (this.#companies.get(name) ?? "");
  }

  #match(name, text, place) {
    const [source, flags] = this.#patterns[name];
    return new RegExp(place(source), flags).exec(text);
  }
}
