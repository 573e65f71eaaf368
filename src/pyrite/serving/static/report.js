// The cards as one page of their own: it has no script, and needs nothing else.
import { Card } from "./card.js";
import { h } from "./dom.js";

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** Return the page as HTML. `title` and `lines` are sentences for its head. */
export async function makeReport(entries, title, lines) {
  const cards = await Promise.all(entries.map(drawEntry));
  const body = h(
    "body",
    { class: "report" },
    h(
      "main",
      {},
      h("p", { class: "kicker" }, "Pyrite"),
      h("h1", {}, title),
      lines.map((line) => h("p", {}, line)),
      h("h2", { class: "visually-hidden" }, "Images"),
      h("ol", { id: "cards", class: "cards" }, cards),
    ),
  );
  // A document without a window, where pictures are not loaded: this page's policy is not for them.
  document.implementation.createHTMLDocument().documentElement.replaceChildren(body);
  for (const image of body.querySelectorAll("[data-src]")) {
    image.setAttribute("src", image.dataset.src);
    image.removeAttribute("data-src");
  }
  const style = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).map((rule) => rule.cssText).join("\n");
  const head = [
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
    "<title>Pyrite: detections</title>",
    `<style>\n${style}\n</style>`,
  ];
  return `<!doctype html>\n<html lang="en">\n<head>\n${head.join("\n")}\n</head>\n${body.outerHTML}\n</html>\n`;
}

/** Draw a card with all that it has, and without what only a script would bring to life. */
async function drawEntry(entry) {
  const card = new Card(entry, {});
  if (entry.thumbnail) card.setThumbnail(entry.thumbnail);
  card.toggle(true);
  for (const [what, parts] of Object.entries(entry.demanded ?? {})) card.demanded[what].box.append(...parts.map(copyMap));
  for (const part of card.element.querySelectorAll(".acts, .wrong, button, [hidden]")) part.remove();
  for (const image of card.element.querySelectorAll(".thumb img")) {
    image.removeAttribute("src");
    image.dataset.src = await asDataUrl(entry.thumbnail.blob);
  }
  return card.element;
}

/** Copy a part of a drawn explanation, with its canvas as a picture. */
function copyMap(node) {
  const copy = node.cloneNode(true);
  const canvas = node.querySelector("canvas");
  if (canvas) copy.querySelector("canvas").replaceWith(h("img", { "data-src": canvas.toDataURL(), alt: canvas.getAttribute("aria-label") }));
  return copy;
}

function asDataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
