// One image: what it looks like, what was decided, and why.
import { drawChart, hasChart } from "./chart.js";
import { budgetLine, isScored } from "./decision.js";
import { h, mark, percent, say, show, terms, visible } from "./dom.js";
import { drawLedger, generatorsOf } from "./ledger.js";
import { ON_DEMAND, WORDS } from "./place.js";
import { drawUnjudged, isUnjudged } from "./unjudged.js";

export const OUTCOMES = { ai: "AI", uncertain: "Uncertain", real: "Real", error: "Unreadable" };
const STATES = { waiting: "Waiting", sending: "Sending", judging: "Judging" };
// The file's own fault: the same bytes would be refused again.
const LASTING = new Set(["empty", "corrupt", "unsupported_format", "too_many_bytes", "too_many_pixels", "http_413"]);

/** What is made on demand. */
export const DEMANDS = {
  map: { name: "Show what moved the score", doing: "Scoring the image with parts of it blurred …", title: "What moved the score", none: "There is no map" },
  history: { name: "Show the image's own history", doing: "Looking for traces of earlier saves …", title: "The image's own history", none: "There is no history" },
};

let count = 0;

export const outcomeOf = (found) => (found.error ? "error" : found.verdict);

/** Return a verdict with its mark, and the probability where there is one that does not contradict it. */
function drawVerdict(found) {
  const outcome = outcomeOf(found);
  const { verdict, probability } = found;
  const odds = probability !== null && (budgetLine(verdict, probability) ?? [h("b", {}, percent(probability)), " AI"]);
  return [h("span", { class: "stamp" }, mark(outcome), OUTCOMES[outcome]), odds && h("span", { class: "odds" }, odds)];
}

/** Return the short notes under a verdict. */
function drawChips(found) {
  const chips = generatorsOf(found.evidence).map((text) => h("li", { class: "chip made" }, text));
  for (const strength of ["verified", "asserted"]) {
    const items = found.evidence.filter((item) => item.strength === strength).length;
    if (items) chips.push(h("li", { class: `chip ${strength}` }, h("span", { class: "seal", "aria-hidden": "true" }), `${items} ${strength}`));
  }
  return chips;
}

function drawThumbnail(thumbnail, found) {
  if (thumbnail) return h("img", { src: thumbnail.url, alt: "", class: thumbnail.tiny ? "tiny" : null, width: thumbnail.width, height: thumbnail.height });
  return h("span", { class: "blank" }, found?.error ? mark("error") : (found?.format ?? "…"));
}

/** Return where the score lies; of an image that nothing judged, what was looked at. */
function drawPlace(found, model) {
  if (isUnjudged(found)) return drawUnjudged(found);
  if (!model || !isScored(found.reason)) return [];
  const charted = hasChart(model);
  const among = (p, which, noun, groups) =>
    p !== null && ` ${which}: ${percent(p)} of the ${noun} images${charted && Object.keys(groups).length > 1 ? " of a group" : ""}.`;
  const label = [
    charted ? "The score among those of the calibration images." : "Several models' scores, merged so that the budget holds.",
    among(found.p_real, "As high as this or higher", "real", model.calibration.real),
    among(found.p_ai, "As low or lower", "AI", model.calibration.ai),
  ].filter(Boolean).join("");
  const chart = charted && drawChart(model, found.max_fpr, [found.logit], label);
  return [h("figure", { class: "place" }, chart, h("figcaption", {}, label))];
}

function drawFacts(found, file) {
  const facts = [
    ["Format", found.format],
    ["Size", found.width && `${found.width.toLocaleString("en")} × ${found.height.toLocaleString("en")} pixels`],
    ["Frames", found.frames > 1 ? found.frames.toLocaleString("en") : null],
    ["Bytes", file.size.toLocaleString("en")],
    ["SHA-256", found.sha256],
    ["Judged by", found.model && `${found.model.name} ${found.model.version}`],
  ];
  return terms(facts.filter(([, value]) => value).map(([name, value]) => [name, visible(String(value))]), "facts");
}

/** A card on the page, for an entry of the queue. */
export class Card {
  #parts;
  #open = false;
  #drawn = null;
  /** What is made on demand, by name: its button, and the box that it goes to. */
  demanded = {};

  /** @param hooks `remove(card)`, `demand(card, what)` of `map` or `history`, `retry(card)`, `report(card)` */
  constructor(entry, hooks) {
    this.entry = entry;
    const id = `card-${++count}`;
    const part = {
      thumb: h("div", { class: "thumb" }, drawThumbnail(null)),
      verdict: h("p", { class: "verdict" }),
      name: h("h3", { class: "name", id: `${id}-name`, title: visible(entry.name) }, h("bdi", {}, visible(entry.name))),
      why: h("p", { class: "why" }),
      chips: h("ul", { class: "chips", "aria-label": "Evidence" }),
      pieces: h("b", {}),
      bar: h("progress", { max: 1, "aria-labelledby": `${id}-name` }),
      place: h("div", {}),
      ledger: h("div", { class: "ledger" }),
    };
    for (const [what, { name }] of Object.entries(DEMANDS)) {
      const button = h("button", { type: "button", class: "explain", onclick: () => hooks.demand(this, what) }, name);
      this.demanded[what] = { button, box: h("div", { class: `explained of-${what}`, tabindex: -1, "aria-live": "polite" }) };
    }
    part.toggle = h(
      "button",
      { type: "button", class: "toggle", "aria-expanded": "false", "aria-controls": `${id}-body`, onclick: () => this.toggle() },
      "Evidence ",
      part.pieces,
      h("span", { class: "visually-hidden" }, ` of ${visible(entry.name)}`),
    );
    part.retry = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => hooks.retry(this) }, "Try again");
    part.remove = h(
      "button",
      { type: "button", class: "remove", "aria-label": `Remove ${visible(entry.name)}`, title: "Remove", onclick: () => hooks.remove(this) },
      "×",
    );
    const demanded = Object.values(this.demanded).flatMap(({ button, box }) => [button, box]);
    part.report = h(
      "div",
      { class: "wrong" },
      h("button", { type: "button", class: "quiet", onclick: () => hooks.report(this) }, "Report a wrong verdict"),
      h("p", { class: "fine" }, WORDS.report),
    );
    part.body = h("div", { class: "body", id: `${id}-body`, hidden: true }, h("div", { class: "looks" }, part.place, demanded, part.report), part.ledger);
    this.#parts = part;
    this.element = h(
      "li",
      { class: "card" },
      h(
        "article",
        { "aria-labelledby": `${id}-name` },
        part.thumb,
        h(
          "div",
          { class: "what" },
          part.name, // Before the verdict for whoever goes from heading to heading.
          part.verdict,
          part.why,
          part.bar,
          part.chips,
          h("div", { class: "acts" }, part.toggle, part.retry),
        ),
        part.remove,
        part.body,
      ),
    );
    this.update();
  }

  focus() {
    (this.#parts.toggle.hidden ? this.#parts.remove : this.#parts.toggle).focus();
  }

  /** Take over what the entry has become; `entry.view` is its detection at the budget of now. */
  update() {
    const { entry } = this;
    const part = this.#parts;
    const found = entry.view;
    this.element.className = `card ${found ? outcomeOf(found) : "pending"}${this.#open ? " open" : ""}`;
    show(part.bar, !found);
    show(part.toggle, Boolean(found) && !found.error);
    show(part.retry, Boolean(found?.error) && !LASTING.has(found.error.code));
    if (!found) {
      const sent = Math.round(100 * entry.sent);
      part.verdict.replaceChildren(h("span", { class: "stamp" }, STATES[entry.state]));
      if (entry.state === "sending") part.bar.value = entry.sent;
      else if (entry.state === "judging") part.bar.removeAttribute("value");
      else part.bar.value = 0;
      say(part.why, entry.state === "sending" ? `${sent}% sent` : "");
      part.chips.replaceChildren();
      this.#drawn = null;
      return;
    }
    if (found === this.#drawn) return;
    this.#drawn = found;
    part.verdict.replaceChildren(...drawVerdict(found).filter(Boolean));
    say(part.why, visible(found.explanation));
    part.chips.replaceChildren(...drawChips(found));
    say(part.pieces, String(found.evidence.length));
    if (!entry.thumbnail) part.thumb.replaceChildren(drawThumbnail(null, found));
    show(part.chips, part.chips.childElementCount > 0);
    if (this.#open) this.#drawBody();
  }

  setThumbnail(thumbnail) {
    this.entry.thumbnail = thumbnail;
    this.#parts.thumb.replaceChildren(drawThumbnail(thumbnail, this.entry.view));
  }

  toggle(open = !this.#open) {
    this.#open = open && !this.entry.view?.error;
    this.#parts.toggle.setAttribute("aria-expanded", String(this.#open));
    this.element.classList.toggle("open", this.#open);
    if (show(this.#parts.body, this.#open)) this.#drawBody();
  }

  #drawBody() {
    const { entry } = this;
    const found = entry.view;
    const part = this.#parts;
    part.place.replaceChildren(...drawPlace(found, entry.model));
    const offered = (what) => ON_DEMAND.includes(what) && !entry.demanded?.[what];
    show(this.demanded.map.button, offered("map") && isScored(found.reason));
    show(this.demanded.history.button, offered("history"));
    part.ledger.replaceChildren(...drawLedger(found.evidence), drawFacts(found, entry.file));
  }
}
