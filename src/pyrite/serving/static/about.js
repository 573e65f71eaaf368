// What the model is, as its bundle's card tells.
import { pooled } from "./budget.js";
import { h, plural, terms, visible } from "./dom.js";

/** Return the facts and the card of each bundle of a model as elements. */
export function drawModel({ bundles, calibration }) {
  const alone = bundles.length === 1;
  return bundles.flatMap(({ name, version, scope, licence, card }) => {
    const facts = [["Made for", scope.description], ["Licence", licence]];
    if (alone) facts.push(["Calibrated on", describeCalibration(calibration)]);
    return [
      !alone && h("h3", {}, visible(`${name} ${version}`)),
      terms(facts.map(([name, told]) => [name, visible(told)]), "facts"),
      ...card.trim().split(/\n\s*\n/).map(drawBlock),
    ].filter(Boolean);
  });
}

function describeCalibration({ real, ai }) {
  const told = [["real image", real], ["AI image", ai]].flatMap(([noun, groups]) => {
    const names = Object.keys(groups);
    const among = names.length > 1 ? ` (${names.join(", ")})` : "";
    return names.length ? plural(pooled(groups).length, noun) + among : [];
  });
  return told.join(" and ") || "no images, so that its score decides nothing";
}

/** Draw one of the kinds of Markdown that cards have: a heading, a list, a table or a paragraph. */
function drawBlock(block) {
  const lines = block.replaceAll("`", "").split("\n");
  if (lines[0].startsWith("## ")) return h("h3", {}, visible(lines[0].slice(3)));
  if (lines[0].startsWith("# ")) return ""; // The name, which is above.
  if (lines[0].startsWith("- ")) return h("ul", {}, lines.map((line) => h("li", {}, visible(line.replace(/^- /, "")))));
  if (!lines[0].startsWith("|")) return h("p", {}, visible(lines.join(" ")));
  const rows = lines.filter((line) => !/^[|\s:-]+$/.test(line)).map((line) => line.split("|").slice(1, -1));
  const cell = (i) => (text, j) => h(i && j ? "td" : text.trim() ? "th" : "td", {}, visible(text.trim()));
  return h("table", {}, rows.map((row, i) => h("tr", {}, row.map(cell(i)))));
}
