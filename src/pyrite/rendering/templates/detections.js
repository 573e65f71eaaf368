"use strict";
const list = document.getElementById("detections");
const tools = document.getElementById("tools");
const items = [...list.children].map((element, order) => ({
  element,
  order,
  outcome: element.dataset.outcome,
  path: element.dataset.path,
  probability: element.dataset.probability === "" ? null : Number(element.dataset.probability),
  text: element.textContent.toLowerCase(),
}));
// Images without a probability come last, whichever way the others are sorted.
const byProbability = (sign) => (a, b) =>
  (a.probability === null) - (b.probability === null) || sign * (a.probability - b.probability) || a.order - b.order;
const orders = {
  order: (a, b) => a.order - b.order,
  likely: byProbability(-1),
  unlikely: byProbability(1),
  path: (a, b) => a.path.localeCompare(b.path) || a.order - b.order,
};

// Where the others are sorted by it, how many of those shown have none.
function countUnsorted() {
  const byIt = ["likely", "unlikely"].includes(tools.elements.sort.value);
  const count = items.filter((item) => !item.element.hidden && item.probability === null).length;
  const note = document.getElementById("unsorted");
  note.hidden = !byIt || count === 0;
  note.textContent = `Listed last, without a probability: ${count.toLocaleString("en")} ${count === 1 ? "image" : "images"}.`;
}

function update() {
  const words = tools.elements.find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const item of items) {
    const visible = tools.elements[item.outcome].checked && words.every((word) => item.text.includes(word));
    item.element.hidden = !visible;
    shown += visible;
  }
  const total = items.length === 1 ? "1 image" : `${items.length.toLocaleString("en")} images`;
  document.getElementById("count").textContent =
    shown === items.length ? total : `${shown.toLocaleString("en")} of ${total}`;
  countUnsorted();
}

function sort() {
  list.append(...items.toSorted(orders[tools.elements.sort.value]).map((item) => item.element));
  countUnsorted();
}

for (const box of tools.querySelectorAll("input[type=checkbox]")) {
  const count = items.filter((item) => item.outcome === box.name).length;
  box.parentElement.querySelector("output").textContent = count.toLocaleString("en");
}
tools.addEventListener("input", update);
tools.elements.sort.addEventListener("change", sort);
tools.addEventListener("submit", (event) => event.preventDefault());
tools.hidden = false;
update();
