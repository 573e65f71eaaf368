// The page: it holds the images and what was said of them, and puts the parts together.
import { drawModel } from "./about.js";
import { asPercent, budgets, describeBudget, largestUseful, pooled, sharesOf } from "./budget.js";
import { Card, DEMANDS, outcomeOf, OUTCOMES } from "./card.js";
import { borderOfAi, drawChart, hasChart } from "./chart.js";
import { decideAgain, isScored } from "./decision.js";
import { h, mark, plural, say, show, visible } from "./dom.js";
import { drawExplanation } from "./explanation.js";
import { listen } from "./files.js";
import { toCsv, toJson } from "./formats.js";
import { drawHistory } from "./history.js";
import { Queue } from "./queue.js";
import { makeReport } from "./report.js";
import { getJson, hasKey, postFile, setKey } from "./server.js";
import { makeThumbnail } from "./thumbnail.js";

const $ = (id) => document.getElementById(id);
const tools = $("tools").elements;
const pick = document.querySelector("[data-for=pick]");
const cards = []; // In the order added.
const cardOf = new WeakMap(); // By its element.
const shown = new Set(Object.keys(OUTCOMES));
let model = null;
let limits = null;
let rates = [];
let budget = null;
let ordered = 0;
let trouble = { state: "well" };

// ---- The server

const queue = new Queue({
  changed(entry) {
    if (entry.detection && !entry.view) entry.view = decideAgain(entry.detection, entry.model ?? model, budget);
    entry.card.update();
    if (entry.view && cards.length === 1 && !entry.view.error) entry.card.toggle(true);
    refresh();
  },
  async model(found) {
    // Behind the same address there may be another model by now.
    const same = !found.model || (found.model.name === model.name && found.model.version === model.version);
    if (!same) model = await getJson("v1/model").catch(() => model);
    return model;
  },
  status(state, error) {
    trouble = { state, ...error };
    if (state === "key") askForKey();
    else tellTrouble();
  },
  returned: load,
});

/** Ask what the server is, until it says so. Returns whether it did. */
async function load() {
  for (;;) {
    try {
      [model, limits] = await Promise.all([getJson("v1/model"), getJson("v1/limits")]);
      break;
    } catch (error) {
      if (error.kind === "key") {
        askForKey();
        return false;
      }
      notify("lost", `${error.message} The page tries again every few seconds.`);
      await new Promise((go) => setTimeout(go, 2000));
    }
  }
  trouble = { state: "well" };
  notify();
  describeServer();
  queue.start(limits);
  return true;
}

/** Say why nothing is sent, and how much waits for that. */
function tellTrouble() {
  const { state, code, wait } = trouble;
  const left = `${plural(queue.unfinished, "image")} ${queue.unfinished === 1 ? "waits" : "wait"}`;
  if (state === "well") notify();
  else if (state === "busy") {
    const why = code === "too_many_requests" ? "The server takes no more requests from here for now." : "The server is busy.";
    notify("busy", `${why} ${left}, and this goes on in ${plural(wait, "second")}.`);
  } else if (state === "lost") {
    notify("lost", `The server does not answer. What was judged is kept, and ${left}. This goes on by itself when it is back.`);
  }
}

function notify(kind = "", ...content) {
  const notice = $("notice");
  const said = `${kind}${content.join()}`;
  notice.className = `notice ${kind}`;
  if (notice.dataset.said === said) return;
  notice.dataset.said = said;
  notice.replaceChildren(...(kind ? [h("p", {}, content)] : []));
}

function askForKey() {
  const asked = hasKey() ? "The server does not take this key. Another:" : "This server asks for a key.";
  const input = h("input", { type: "password", id: "key", autocomplete: "off", required: true });
  const form = h(
    "form",
    {
      onsubmit(event) {
        event.preventDefault();
        setKey(input.value);
        load();
      },
    },
    h("label", { for: "key" }, asked),
    input,
    h("button", { type: "submit", class: "primary" }, "Go on"),
  );
  notify();
  notify("key", form);
  input.focus();
}

function describeServer() {
  const sides = new Set(model.bundles.map(({ scope }) => sizesOf(scope)));
  say(
    $("scope"),
    `Made for images of ${[...sides].join(", or of ")} pixels a side. Of others, only what their files say is judged. ` +
      `Up to ${(Math.floor(limits.max_bytes / 1e5) / 10).toLocaleString("en")} MB each.`,
  );
  say($("about-button"), `Model: ${visible(model.name)} ${visible(model.version)}`);
  show($("about-button"), true);
  rates = budgets(limits.max_fpr);
  budget ??= limits.max_fpr.default;
  const slider = $("slider");
  slider.max = rates.length - 1;
  // Of another server, the nearest that it has.
  slider.value = rates.reduce((best, rate, i) => (Math.abs(rate - budget) < Math.abs(rates[best] - budget) ? i : best), 0);
  show($("board"), true);
  show($("budget"), limits.max_fpr.smallest < 1); // Else no real images have calibrated it, and there is none to keep.
  setBudget();
}

function sizesOf({ min_side, max_side }) {
  const [least, most] = [min_side, max_side].map((side) => side?.toLocaleString("en"));
  if (!most) return `${least} or more`;
  return least === most ? least : `${least} to ${most}`;
}

// ---- The error budget

function setBudget() {
  budget = rates[$("slider").value];
  for (const { entry } of cards) {
    if (!entry.detection) continue;
    entry.view = decideAgain(entry.detection, entry.model ?? model, budget);
    entry.card.update();
  }
  const meaning = describeBudget(budget);
  $("slider").setAttribute("aria-valuetext", `${asPercent(budget)}. ${meaning}.`);
  say($("rate"), asPercent(budget));
  say($("meaning"), `${meaning},`);
  if (show($("more"), hasChart(model))) describeTradeoff();
  refresh();
}

function describeTradeoff() {
  [model.calibration.real, model.calibration.ai].map(pooled).forEach((logits, i) => {
    const row = $("shares").rows[i + 1];
    const shares = Object.values(sharesOf(logits, model, budget));
    if (show(row, logits.length)) shares.forEach((share, j) => say(row.cells[j + 1], Math.round(1000 * share).toLocaleString("en")));
  });
  const border = borderOfAi(model, budget);
  const useful = largestUseful(model);
  const line = border ? `By the pixels, AI begins at a probability of ${border}: the line that your budget draws. ` : "";
  const more = budget > useful ? `A budget above ${asPercent(useful)} finds no more.` : "";
  say($("tradeoff"), line + more);
}

function drawBudgetChart() {
  if (!hasChart(model)) return;
  const marks = cards
    .filter(({ entry }) => isScored(entry.view?.reason))
    .map(({ entry }) => entry.view.logit);
  const label = `The scores that calibrated the model, with the borders of the verdicts, and of ${plural(marks.length, "image")} here.`;
  $("chart").replaceChildren(drawChart(model, budget, marks, label));
}

// ---- The images

function take(files) {
  const added = files.map(({ file, name }) => {
    const entry = { file, name, order: ordered++, state: "waiting", sent: 0 };
    const card = new Card(entry, { remove, retry, demand });
    entry.card = card;
    cards.push(card);
    cardOf.set(card.element, card);
    near.observe(card.element);
    return entry;
  });
  $("cards").append(...added.map((entry) => entry.card.element));
  document.body.classList.add("filled");
  queue.add(added);
  refresh();
}

// Only cards in the window, or one window away from it, need their pictures.
const near = new IntersectionObserver(
  (changes) => {
    const came = changes.filter((change) => change.isIntersecting).reverse(); // The last asked for is made first.
    for (const { target } of came) pictureOf(cardOf.get(target).entry);
  },
  { rootMargin: "100%" },
);

/** Return the picture of an entry, made when it is first asked for. */
function pictureOf(entry) {
  near.unobserve(entry.card.element);
  return (entry.picture ??= makeThumbnail(entry).then((thumbnail) => {
    if (entry.removed) forget(thumbnail);
    else entry.card.setThumbnail(thumbnail);
    return thumbnail;
  }));
}

function remove(card) {
  discard(card.entry);
  const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
  cards.splice(cards.indexOf(card), 1);
  card.element.remove();
  // The focus would be lost with what had it.
  (next ? cardOf.get(next) : pick).focus();
  refresh();
}

function discard(entry) {
  entry.removed = true;
  queue.remove(entry);
  entry.asking?.abort();
  forget(entry.thumbnail);
}

function forget(thumbnail) {
  if (thumbnail) URL.revokeObjectURL(thumbnail.url);
}

function retry(card) {
  const { entry } = card;
  Object.assign(entry, { state: "waiting", sent: 0, cuts: 0, detection: null, view: null });
  card.update();
  card.focus();
  queue.add([entry]);
  refresh();
}

$("clear").addEventListener("click", () => {
  for (const { entry } of cards) discard(entry);
  cards.length = 0;
  $("cards").replaceChildren();
  $("tools").reset();
  document.body.classList.remove("filled");
  pick.focus();
  refresh();
});

let demanded = Promise.resolve(); // One after the other: each costs the server hundreds of scores, or as much.

const MAKERS = {
  async map(entry, post) {
    const found = await post(`v1/explain?max_fpr=${budget}`);
    const save = () => download(fromBase64(found.picture), `${baseName(entry.name)}-explained.png`);
    const parts = (await drawExplanation(found, await pictureOf(entry))).filter(Boolean);
    return [parts, found.picture && h("button", { type: "button", class: "quiet", onclick: save }, "Save as a picture, with the spectrum")];
  },
  async history(entry, post) {
    const found = await post("v1/history");
    return [drawHistory(found, found.thumbnail.picture && (await pictureOf(entry))?.url)];
  },
};

function demand(card, what) {
  const { entry } = card;
  const { button, box } = card.demanded[what];
  const { name, doing, title, none } = DEMANDS[what];
  if (button.getAttribute("aria-disabled")) return;
  entry.asking ??= new AbortController();
  button.setAttribute("aria-disabled", "true"); // Unlike `disabled`, this keeps the focus.
  say(button, doing);
  const post = (path) => postFile(path, entry.file, { patience: limits.timeout_seconds + 60, signal: entry.asking.signal });
  demanded = demanded.then(async () => {
    if (entry.removed) return;
    try {
      const [parts, more] = await MAKERS[what](entry, post);
      entry.demanded = { ...entry.demanded, [what]: [h("h4", {}, title), ...parts] };
      box.replaceChildren(...entry.demanded[what], more || "");
      if (document.activeElement === button) box.focus();
      button.hidden = true;
    } catch (error) {
      if (error.kind !== "ended") box.replaceChildren(h("p", { class: "failed" }, `${none}: ${error.message}`));
      button.removeAttribute("aria-disabled");
      say(button, `Try again to ${name[0].toLowerCase()}${name.slice(1)}`);
    }
  });
}

const baseName = (name) => name.split("/").at(-1).replace(/\.[^.]*$/, "") || "image";
const fromBase64 = (text) => new Blob([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))], { type: "image/png" });

// ---- Summary, filter and order

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
          refresh();
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

let planned = false;

/** Bring all but the cards themselves up to date; while many are judged, only now and then. */
function refresh() {
  if (planned) return;
  planned = true;
  setTimeout(() => {
    planned = false;
    if (!model) return;
    const counts = countOutcomes();
    summarize(counts);
    arrange();
    drawBudgetChart();
    announce(counts);
    if (trouble.state !== "well") tellTrouble();
  }, queue.unfinished ? 200 : 0);
}

function countOutcomes() {
  const counts = { ai: 0, uncertain: 0, real: 0, error: 0 };
  for (const { entry } of cards) if (entry.view) counts[outcomeOf(entry.view)]++;
  return counts;
}

function summarize(counts) {
  const judged = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const total = cards.length;
  show($("summary"), total > 0);
  show($("tools"), total > 0);
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

function arrange() {
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
  say($("unsorted"), `Last, because without a probability: ${plural(without, "image")}.`);
  const focused = document.activeElement;
  let place = list.firstElementChild;
  for (const { element } of cards.toSorted(ORDERS[tools.sort.value])) {
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  }
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
  say($("export-note"), `Export ${plural(chosen().length, "image")}, as shown:`);
}

function textOf({ name, view }) {
  const said = view ? [view.explanation, ...view.evidence.flatMap(({ kind, detail, data }) => [kind, detail, kind === "pixels" ? data.bundle : JSON.stringify(data)])] : [];
  return [name, ...said].join("\n").toLowerCase();
}

/** Return the judged entries that the filter shows, in the order shown. */
function chosen() {
  const order = [...$("cards").children].filter((element) => !element.hidden);
  return order.map((element) => cardOf.get(element).entry).filter((entry) => entry.view);
}

let news = "";
let speaking = null;

/** Tell a screen reader: while a batch is judged every ten seconds, and otherwise once things are quiet. */
function announce(counts) {
  const told = ["ai", "uncertain", "real", "error"]
    .filter((outcome) => counts[outcome] || outcome !== "error")
    .map((outcome) => `${counts[outcome]} ${OUTCOMES[outcome]}`);
  const left = queue.unfinished ? `, ${queue.unfinished} to go` : "";
  const text = cards.length ? `${told.join(", ")}${left}.` : "";
  if (text === news) return;
  news = text;
  if (!queue.unfinished) {
    clearTimeout(speaking);
    speaking = null;
  }
  speaking ??= setTimeout(() => {
    speaking = null;
    say($("live"), news);
  }, queue.unfinished ? 10_000 : 1000);
}

// ---- Export

function download(content, name, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const EXPORTS = {
  json: (entries) => [toJson(entries.map(({ view }) => view)), "application/json"],
  csv: (entries) => [toCsv(entries.map(({ view }) => view)), "text/csv"],
  async html(entries, progress) {
    let drawn = 0;
    await Promise.all(entries.map((entry) => pictureOf(entry).then(() => progress(++drawn / entries.length))));
    const made = new Date().toISOString().slice(0, 16).replace("T", " ");
    const kept = limits.max_fpr.smallest < 1 ? ` ${describeBudget(budget)}, if they are like those that calibrated the model.` : "";
    const lines = [
      `Judged by ${visible(model.name)} ${visible(model.version)}.${kept}`,
      `A verdict is an estimate with an error rate, not a proof. Made ${made} UTC.`,
    ];
    return [await makeReport(entries, plural(entries.length, "image"), lines), "text/html"];
  },
};

for (const button of document.querySelectorAll("[data-export]")) {
  const name = button.textContent;
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    const kind = button.dataset.export;
    const [content, type] = await EXPORTS[kind](chosen(), (done) => say(button, `${name} ${Math.floor(100 * done)}%`));
    download(content, `pyrite-${new Date().toISOString().slice(0, 10)}.${kind}`, type);
    say(button, name);
    button.removeAttribute("aria-disabled");
  });
}

// ---- The model's card

$("about-button").addEventListener("click", () => {
  say($("about-title"), `${visible(model.name)} ${visible(model.version)}`);
  $("about-body").replaceChildren(...drawModel(model));
  $("about").showModal();
});

// ---- Begin

for (const verdict of document.querySelectorAll(".guide .stamp")) verdict.prepend(mark(verdict.classList[1]));
for (const button of document.querySelectorAll("[data-for]")) {
  button.addEventListener("click", () => $(button.dataset.for).click());
}
listen({
  zone: document.body,
  pickers: ["pick", "pick-folder", "take-photo"].map($),
  take,
  refuse: (sentence) => notify("busy", sentence),
});
let sliding = false;
$("slider").addEventListener("input", () => {
  if (sliding) return;
  sliding = true;
  requestAnimationFrame(() => {
    sliding = false;
    setBudget();
  });
});
$("tools").addEventListener("submit", (event) => event.preventDefault());
$("tools").addEventListener("input", refresh);
addEventListener("beforeunload", (event) => queue.unfinished && event.preventDefault());
load();
