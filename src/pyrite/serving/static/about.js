// What the model is, as its bundle's card tells.
import { pooled } from "./budget.js";
import { h, plural, visible } from "./dom.js";

/** Return a model's facts and its card as elements. */
export function drawModel({ scope, licence, calibration, card, bundles = [] }) {
  const others = bundles.slice(1).map(({ name, version, scope }) => `${name} ${version}: ${scope.description}`);
  const facts = [
    ["Made for", scope.description],
    ["Licence", licence],
    ["Calibrated on", describeCalibration(calibration)],
    ...others.map((other) => ["With it", other]),
  ];
  return [
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, visible(value))))),
    ...card.trim().split(/\n\s*\n/).map(drawBlock),
  ];
}

function describeCalibration(calibration) {
  const told = [[calibration.real, "real image"], [calibration.ai, "AI image"]]
    .filter(([groups]) => pooled(groups).length)
    .map(([groups, noun]) => {
      const names = Object.keys(groups);
      return plural(pooled(groups).length, noun) + (names.length > 1 ? ` in ${names.length} groups (${names.join(", ")})` : "");
    });
  if (!told.length) return "no images, so that its score decides nothing";
  return told.length === 2 ? told.join(" and ") : `${told[0]} alone`;
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
