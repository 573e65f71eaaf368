// The tally of verdicts, which also filters; and the order of the cards.
import { outcomeOf, OUTCOMES } from "./card.js";
import { h, mark, plural, say, show } from "./dom.js";

const $ = (id) => document.getElementById(id);
const tools = $("tools").elements;
const shown = new Set(Object.keys(OUTCOMES));

let changed = () => {};

/** Call a function whenever another filter or order is chosen. */
export function onFilter(call) {
  changed = call;
  $("tools").addEventListener("submit", (event) => event.preventDefault());
  $("tools").addEventListener("input", changed);
}

const toggles = Object.fromEntries(
  Object.entries(OUTCOMES).map(([outcome, name]) => {
    const number = h("b", {}, "0");
    const button = h(
      "button",
      {
        type: "button",
        class: `outcome ${outcome}`,
        "aria-pressed": "true",
        onclick() {
          if (!shown.delete(outcome)) shown.add(outcome);
          button.setAttribute("aria-pressed", String(shown.has(outcome)));
          changed();
        },
      },
      mark(outcome),
      h("span", {}, name),
      number,
    );
    $("outcomes").append(button);
    const part = h("span", { class: outcome });
    $("stack").append(part);
    return [outcome, { number, button, part }];
  }),
);

/** Count the entries of each outcome. */
export function countOutcomes(cards) {
  const counts = { ai: 0, uncertain: 0, real: 0, error: 0 };
  for (const { entry } of cards) if (entry.view) counts[outcomeOf(entry.view)]++;
  return counts;
}

/** Show how many of `total` images have which outcome. */
export function summarize(counts, total) {
  const judged = Object.values(counts).reduce((sum, count) => sum + count, 0);
  show($("summary"), total > 0);
  show($("tools"), total > 1 || tools.find.value !== ""); // A single image needs none of it.
  show($("export"), judged > 0);
  show($("guide"), total === 0);
  say($("tally"), judged < total ? `${judged.toLocaleString("en")} of ${plural(total, "image")} judged` : plural(total, "image"));
  if (show($("progress"), judged < total)) $("progress").value = judged / total;
  $("stack").style.paddingRight = `${100 - (100 * judged) / (total || 1)}%`; // What it is all of, too.
  for (const [outcome, { number, button, part }] of Object.entries(toggles)) {
    say(number, counts[outcome].toLocaleString("en"));
    part.style.flexGrow = counts[outcome];
    show(part, counts[outcome] > 0);
    show(button, outcome !== "error" || counts.error > 0);
  }
}

const byProbability = (sign) => (a, b) => {
  const [p, q] = [a, b].map(({ entry }) => entry.view?.probability ?? null);
  // Images without a probability come last, whichever way the others are sorted.
  return (p === null) - (q === null) || sign * (p - q);
};
const ORDERS = {
  added: () => 0,
  likely: byProbability(-1),
  unlikely: byProbability(1),
  name: (a, b) => a.entry.name.localeCompare(b.entry.name, "en", { numeric: true }),
};

/** Show the cards that the filter wants, in the order that is chosen. */
export function arrange(cards) {
  const list = $("cards");
  const words = tools.find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let visibleCards = 0;
  for (const { entry, element } of cards) {
    const fits = !entry.view || shown.has(outcomeOf(entry.view));
    visibleCards += show(element, fits && words.every((word) => textOf(entry).includes(word)));
  }
  show($("none"), cards.length > 0 && visibleCards === 0);
  const without = cards.filter(({ entry, element }) => entry.view?.probability === null && !element.hidden).length;
  show($("unsorted"), without > 0 && tools.sort.value.endsWith("likely"));
  say($("unsorted"), `Listed last, without a probability: ${plural(without, "image")}.`);
  const focused = document.activeElement;
  let place = list.firstElementChild;
  for (const { element } of cards.toSorted(ORDERS[tools.sort.value])) {
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  }
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
  const judged = cards.filter(({ entry, element }) => entry.view && !element.hidden).length;
  say($("export-note"), `Export ${plural(judged, "image")}, as shown:`);
}

function textOf({ name, view }) {
  const said = view ? [view.explanation, ...view.evidence.flatMap(({ kind, detail, data }) => [kind, detail, kind === "pixels" ? data.bundle : JSON.stringify(data)])] : [];
  return [name, ...said].join("\n").toLowerCase();
}

let news = "";
let speaking = null;

/** Tell a screen reader: while a batch is judged every ten seconds, and otherwise once things are quiet. */
export function announce(counts, total, unfinished) {
  const told = Object.keys(counts)
    .filter((outcome) => counts[outcome] || outcome !== "error")
    .map((outcome) => `${counts[outcome]} ${OUTCOMES[outcome]}`);
  const left = unfinished ? `, ${unfinished} to go` : "";
  const text = total ? `${told.join(", ")}${left}.` : "";
  if (text === news) return;
  news = text;
  if (!unfinished) {
    clearTimeout(speaking);
    speaking = null;
  }
  speaking ??= setTimeout(() => {
    speaking = null;
    say($("live"), news);
  }, unfinished ? 10_000 : 1000);
}
