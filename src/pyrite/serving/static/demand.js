// What is made of an image on demand: the map of what moved its score, and its own history.
import { DEMANDS } from "./card.js";
import { h, plural, say } from "./dom.js";
import { drawExplanation } from "./explanation.js";
import { baseName, download, fromBase64 } from "./export.js";
import { drawHistory } from "./history.js";
import { postFile } from "./server.js";

let last = Promise.resolve(); // One after the other: each costs the server many scores, or as much.

const MAKERS = {
  async map(entry, { post, onstep, budget, pictureOf }) {
    const found = await post(`v1/explain?max_fpr=${budget}`, onstep);
    const save = () => download(fromBase64(found.picture), `${baseName(entry.name)}-explained.png`);
    const parts = (await drawExplanation(found, await pictureOf(entry))).filter(Boolean);
    return [parts, found.picture && h("button", { type: "button", class: "quiet", onclick: save }, "Save as a picture, with the spectrum")];
  },
  async history(entry, { post, pictureOf }) {
    const found = await post("v1/history");
    return [drawHistory(found, found.thumbnail.picture && (await pictureOf(entry))?.url)];
  },
};

/** Make `what` for a card. `budget`: the error budget; `patience`: as `postFile` has it; `pictureOf(entry)`: its picture. */
export function demand(card, what, { budget, patience, pictureOf }) {
  const { entry } = card;
  const { button, box } = card.demanded[what];
  const { name, doing, title, none } = DEMANDS[what];
  if (button.getAttribute("aria-disabled")) return;
  entry.asking ??= new AbortController();
  button.setAttribute("aria-disabled", "true"); // Unlike `disabled`, this keeps the focus.
  const began = Date.now();
  const own = new AbortController(); // Ends this alone, and not what else is asked for of the image.
  const signal = AbortSignal.any([entry.asking.signal, own.signal]);
  const bar = h("progress", { max: 1, "aria-label": doing });
  const cancel = h("button", { type: "button", class: "quiet", onclick: () => own.abort() }, "Cancel");
  const timer = h("p", { role: "timer", class: "fine" }); // Which is no live region: nothing is read every second.
  let share = "";
  const tick = () => say(timer, `${plural(Math.round((Date.now() - began) / 1000), "second")}${share}`);
  const ticking = setInterval(tick, 1000);
  tick();
  say(button, doing);
  box.replaceChildren(bar, timer, cancel);
  const onprogress = (sent) => (sent < 1 ? (bar.value = sent) : bar.removeAttribute("value"));
  const onstep = (done, total) => {
    bar.value = done / total;
    share = `, ${Math.floor((100 * done) / total)}% scored`;
    tick();
  };
  const post = (path, onstep) => postFile(path, entry.file, { patience, onprogress, onstep, signal });
  last = last.then(async () => {
    try {
      if (entry.removed) return;
      const [parts, more] = await MAKERS[what](entry, { post, onstep, budget, pictureOf });
      entry.demanded = { ...entry.demanded, [what]: [h("h4", {}, title), ...parts] };
      box.replaceChildren(...entry.demanded[what], more || "");
      if (document.activeElement === button) box.focus();
      button.hidden = true;
    } catch (error) {
      const ended = error.kind === "ended";
      if (box.contains(document.activeElement)) button.focus();
      box.replaceChildren(ended ? "" : h("p", { class: "failed" }, `${none}: ${error.message}`));
      button.removeAttribute("aria-disabled");
      say(button, ended ? name : `Try again to ${name[0].toLowerCase()}${name.slice(1)}`);
    } finally {
      clearInterval(ticking);
    }
  });
}
