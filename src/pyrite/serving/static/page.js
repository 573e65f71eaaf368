// The page: it holds the images and what was said of them, and puts the parts together.
import { drawModel } from "./about.js";
import { asPercent, budgets, describeBudget, inThousand, largestUseful, pooled, sharesOf } from "./budget.js";
import { Card } from "./card.js";
import { borderOfAi, drawChart, hasChart } from "./chart.js";
import { decideAgain, isScored } from "./decision.js";
import { demand } from "./demand.js";
import { mark, plural, say, show, visible } from "./dom.js";
import { offerExports, saveVerdict } from "./export.js";
import { listen } from "./files.js";
import { askFor, notify, notifyUntil, remark } from "./notice.js";
import { WORDS } from "./place.js";
import { Queue } from "./queue.js";
import { judgesPhotographs, sizesOf, toFiles } from "./scope.js";
import { getJson, hasKey, setKey } from "./server.js";
import { announce, arrange, countOutcomes, onFilter, summarize } from "./summary.js";
import { askForThumbnail, makeThumbnail } from "./thumbnail.js";

const $ = (id) => document.getElementById(id);
const pick = document.querySelector("[data-for=pick]");
const cards = []; // In the order added.
const cardOf = new WeakMap(); // By its element.
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
    if (entry.view) entry.tellJudged();
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
    trouble = { state, code: error?.code, until: Date.now() + 1000 * (error?.wait ?? 0) };
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
  const { state, code, until } = trouble;
  const left = `${plural(queue.unfinished, "image")} ${queue.unfinished === 1 ? "waits" : "wait"}`;
  if (state === "well") notify();
  else if (state === "busy") {
    const why = code === "too_many_requests" ? "The server takes no more requests from here for now." : "The server is busy.";
    notifyUntil("busy", `${why} ${left}, and this continues in`, until);
  } else if (state === "lost") {
    notify("lost", `The server does not answer. What was judged is kept, and ${left}. This continues by itself when it is back.`);
  }
}

function askForKey() {
  askFor(hasKey() ? "The server does not accept this key. Enter another one:" : "This server asks for a key.", (value) => {
    setKey(value);
    load();
  });
}

function describeServer() {
  const photographs = judgesPhotographs(model);
  show($("banner"), !photographs);
  show($("camera"), photographs);
  const sizes = sizesOf(model);
  say($("banner-scope"), WORDS.banner(sizes));
  const most = `Up to ${(Math.floor(limits.max_bytes / 1e5) / 10).toLocaleString("en")} MB each.`;
  say($("scope"), photographs ? `Made for images of ${sizes} pixels a side. ${WORDS.others} ${most}` : most);
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
    const counts = inThousand(Object.values(sharesOf(logits, model, budget)));
    if (show(row, logits.length)) counts.forEach((count, j) => say(row.cells[j + 1], count.toLocaleString("en")));
  });
  const border = borderOfAi(model, budget);
  const useful = largestUseful(model);
  const line = border ? `At this budget, the pixels alone make an image AI from a probability of ${border}. ` : "";
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

const narrow = matchMedia("(max-width: 64rem)");

function take(files) {
  // The first verdict has the first screen.
  if (!cards.length && narrow.matches) for (const part of document.querySelectorAll("aside details")) part.open = false;
  const added = files.map(({ file, name }) => {
    const entry = { file, name, order: ordered++, state: "waiting", sent: 0 };
    const card = new Card(entry, { remove, retry, demand: makeOnDemand, report: () => saveVerdict(entry, entry.model ?? model) });
    expectVerdict(entry);
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

/** Let `entry.judged` wait for the entry's verdict. */
function expectVerdict(entry) {
  entry.judged = new Promise((tell) => {
    entry.tellJudged = tell;
  });
}

function makeOnDemand(card, what) {
  demand(card, what, { budget, patience: limits.timeout_seconds + 60, pictureOf });
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
  return (entry.picture ??= makePicture(entry).then((thumbnail) => {
    if (entry.removed) forget(thumbnail);
    else entry.card.setThumbnail(thumbnail);
    return thumbnail;
  }));
}

/** Return a picture made here; or by the server, of a format that the browser cannot show and the server has read. */
async function makePicture(entry) {
  const own = await makeThumbnail(entry);
  if (own || entry.removed) return own;
  await entry.judged;
  return askForThumbnail(entry, limits.timeout_seconds + 60);
}

function remove(card) {
  discard(card.entry);
  const next = seenBeside(card.element, "nextElementSibling") ?? seenBeside(card.element, "previousElementSibling");
  cards.splice(cards.indexOf(card), 1);
  card.element.remove();
  // The focus would be lost with what had it.
  (next ? cardOf.get(next) : pick).focus();
  refresh();
}

/** Return the nearest element in a direction that the filter shows, or `null`. */
function seenBeside(element, direction) {
  let next = element[direction];
  while (next?.hidden) next = next[direction];
  return next;
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
  if (!entry.thumbnail) {
    expectVerdict(entry);
    entry.picture = null;
    near.observe(card.element);
  }
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

// ---- Summary, filter and order

let planned = false;

/** Bring all but the cards themselves up to date; while many are judged, only now and then. */
function refresh() {
  if (planned) return;
  planned = true;
  setTimeout(() => {
    planned = false;
    if (!model) return;
    const counts = countOutcomes(cards);
    summarize(counts, cards.length);
    arrange(cards);
    drawBudgetChart();
    announce(counts, cards.length, queue.unfinished);
    if (trouble.state !== "well") tellTrouble();
  }, queue.unfinished ? 200 : 0);
}

/** Return the judged entries that the filter shows, in the order shown. */
function chosen() {
  const order = [...$("cards").children].filter((element) => !element.hidden);
  return order.map((element) => cardOf.get(element).entry).filter((entry) => entry.view);
}

/** Return the title and the sentences of a report. */
function headOf(entries) {
  const made = new Date().toISOString().slice(0, 16).replace("T", " ");
  const kept = limits.max_fpr.smallest < 1 ? ` ${describeBudget(budget)}, if they are similar to the calibration set.` : "";
  const lines = [
    `Judged by ${visible(model.name)} ${visible(model.version)}.${kept}`,
    `A verdict is an estimate with an error rate, not a proof. Made ${made} UTC.`,
  ];
  return [plural(entries.length, "image"), lines];
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
  refuse: remark,
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
$("samples").addEventListener("click", async () => {
  try {
    take(toFiles(await getJson("v1/examples")));
  } catch (error) {
    notify("lost", error.message);
  }
});
onFilter(refresh);
offerExports({ chosen, pictureOf, head: headOf });
addEventListener("beforeunload", (event) => queue.unfinished && event.preventDefault());
load();
