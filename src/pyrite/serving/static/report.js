// The cards as one page of their own: it has no script, and needs nothing else.
import { drawChips, drawFacts, drawPlace, drawThumbnail, drawVerdict, outcomeOf } from "./card.js";
import { h, visible } from "./dom.js";
import { drawLedger } from "./ledger.js";

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** Return the page as HTML. `title` and `lines` are sentences for its head. */
export async function makeReport(entries, title, lines) {
  const cards = await Promise.all(entries.map(drawEntry));
  const body = h(
    "body",
    { class: "report" },
    h("main", {}, h("p", { class: "kicker" }, "Pyrite"), h("h1", {}, title), lines.map((line) => h("p", {}, line)), h("ol", { id: "cards", class: "cards" }, cards)),
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

async function drawEntry({ view, file, name, model, thumbnail, map }) {
  const picture = drawThumbnail(thumbnail, view, null);
  if (thumbnail) picture.dataset.src = await asDataUrl(thumbnail.blob);
  return h(
    "li",
    { class: `card open ${outcomeOf(view)}` },
    h(
      "article",
      {},
      h("div", { class: "thumb" }, picture),
      h(
        "div",
        { class: "what" },
        h("h2", { class: "name" }, h("bdi", {}, visible(name))),
        h("p", { class: "verdict" }, drawVerdict(view)),
        h("p", { class: "why" }, visible(view.explanation)),
        h("ul", { class: "chips" }, drawChips(view)),
      ),
      !view.error &&
        h(
          "div",
          { class: "body" },
          h("div", { class: "looks" }, drawPlace(view, model, "h3"), map && h("div", { class: "explained" }, copyMap(map))),
          h("div", { class: "ledger" }, drawLedger(view.evidence, "h3"), drawFacts(view, file)),
        ),
    ),
  );
}

/** Copy a drawn explanation, with its canvas as a picture. */
function copyMap(nodes) {
  return nodes.map((node) => {
    const copy = node.cloneNode(true);
    const canvas = node.querySelector("canvas");
    if (canvas) {
      copy.querySelector("canvas").replaceWith(h("img", { "data-src": canvas.toDataURL(), alt: canvas.getAttribute("aria-label") }));
    }
    return copy;
  });
}

function asDataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
