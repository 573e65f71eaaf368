// What is made of an image on demand: the map of what moved its score, and its own history.
import { DEMANDS } from "./card.js";
import { h, plural, say } from "./dom.js";
import { drawExplanation } from "./explanation.js";
import { baseName, download, fromBase64 } from "./export.js";
import { drawHistory } from "./history.js";
import { postFile } from "./server.js";

let last = Promise.resolve(); // One after the other: each costs the server hundreds of scores, or as much.

const MAKERS = {
  async map(entry, { post, budget, pictureOf }) {
    const found = await post(`v1/explain?max_fpr=${budget}`);
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
  const bar = h("progress", { max: 1, "aria-label": doing });
  const timer = h("p", { role: "timer", class: "fine" }); // Which is no live region: nothing is read every second.
  const tick = () => say(timer, plural(Math.round((Date.now() - began) / 1000), "second"));
  const ticking = setInterval(tick, 1000);
  tick();
  say(button, doing);
  box.replaceChildren(bar, timer);
  const onprogress = (sent) => (sent < 1 ? (bar.value = sent) : bar.removeAttribute("value"));
  const post = (path) => postFile(path, entry.file, { patience, onprogress, signal: entry.asking.signal });
  last = last.then(async () => {
    try {
      if (entry.removed) return;
      const [parts, more] = await MAKERS[what](entry, { post, budget, pictureOf });
      entry.demanded = { ...entry.demanded, [what]: [h("h4", {}, title), ...parts] };
      box.replaceChildren(...entry.demanded[what], more || "");
      if (document.activeElement === button) box.focus();
      button.hidden = true;
    } catch (error) {
      box.replaceChildren(error.kind === "ended" ? "" : h("p", { class: "failed" }, `${none}: ${error.message}`));
      button.removeAttribute("aria-disabled");
      say(button, `Try again to ${name[0].toLowerCase()}${name.slice(1)}`);
    } finally {
      clearInterval(ticking);
    }
  });
}
