// The map of what moved the score, drawn over the picture; and how far to trust it.
import { h, percent, s } from "./dom.js";

const LONGEST = 448; // pixels
const STRONGEST = 0.8; // How far the colour of the largest value covers the picture.
const GREY = "#969696";
const PALER = "#ffffff48"; // Black would swallow the colours.
const AI = [213, 94, 0];
const REAL = [0, 114, 178];

/** Return what `POST v1/explain` answered as elements, over the thumbnail where there is one. */
export async function drawExplanation(found, thumbnail) {
  const { faithfulness: figures, leans, better_than_random } = found;
  const count = figures.random_deletion.length;
  const scores = figures.random_deletion.map((value, i) => figures.random_insertion[i] - value);
  const towards = leans === "ai" ? "AI" : "real";
  const own = figures.insertion - figures.deletion;
  const asGood = scores.filter((score) => score >= own).length;
  return [
    better_than_random ? await drawMap(found, thumbnail) : h("p", { class: "nomap" }, "No map is shown: it is no better than random."),
    h("p", { class: "conclusion" }, better_than_random ? conclude(found, towards) : "Hiding random parts changes the score as much as hiding those that a map would mark."),
    better_than_random &&
      h("p", { class: "fine" }, "Orange parts raise the score for AI; blue parts lower it. The map shows what this model looked at. It does not show what was generated or edited, and proves nothing."),
    h(
      "details",
      {},
      h("summary", {}, "How this was tested"),
      fine("Parts of the image are blurred step by step, those that the map marks first, and the image is scored each time; then the same in random order."),
      fine(better_than_random ? `The map does better than each of ${count} random orders.` : `Of ${count} random orders, ${asGood} do as well.`),
      drawScores(own, scores),
      fine(`Deletion (parts hidden): ${figure(figures.deletion)} log-odds of ${towards}, ${among(figures.random_deletion)} (lower is better).`),
      fine(`Insertion (parts brought back): ${figure(figures.insertion)} log-odds of ${towards}, ${among(figures.random_insertion)} (higher is better).`),
    ),
  ];
}

/** Say how much the score falls when the marked parts are hidden: in chances of the class that it leans to, if it is one. */
function conclude({ faithfulness: { deletion, random_deletion }, detection: { probability } }, towards) {
  const chance = (logOdds) => (probability == null ? figure(logOdds) : percent(1 / (1 + Math.exp(-logOdds))));
  const whole = probability == null ? "" : ` from ${percent(towards === "AI" ? probability : 1 - probability)}`;
  return (
    `When the marked parts are hidden step by step, the score for ${towards} falls${whole} to ${chance(deletion)} on average; ` +
    `when random parts are hidden, to ${chance(mean(random_deletion))}.`
  );
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const fine = (text) => h("p", { class: "fine" }, text);
const figure = (value) => value.toFixed(2);

function among(values) {
  const middle = mean(values);
  const variance = mean(values.map((value) => (value - middle) ** 2));
  return `${figure(middle)} ± ${figure(Math.sqrt(variance))} in random order`;
}

/** Draw insertion less deletion, of the map and of random orders. */
function drawScores(own, scores) {
  const low = Math.min(own, ...scores);
  const span = Math.max(own, ...scores) - low || 1;
  const x = (value) => 8 + (304 * (value - low)) / span;
  return s(
    "svg",
    { viewBox: "0 0 320 40", class: "chart orders", role: "img", "aria-label": "The map's score among those of random orders" },
    s("line", { x1: 0, x2: 320, y1: 12, y2: 12, class: "axis" }),
    scores.map((value) => s("circle", { cx: x(value), cy: 12, r: 4, class: "random" })),
    s("circle", { cx: x(own), cy: 12, r: 6, class: "dot" }),
    s("text", { y: 36 }, "○ random orders"),
    s("text", { x: 320, y: 36, class: "end" }, "● the map, better to the right"),
  );
}

async function drawMap(found, thumbnail) {
  const { moved } = found;
  const largest = Math.max(...moved.flat().map(Math.abs)) || 1;
  const label =
    "A map over the image: orange where a part raises the score for AI, blue where it lowers it." + describe(found);
  const canvas = h("canvas", { role: "img", "aria-label": label });
  await paint(canvas, found, largest, thumbnail);
  return h(
    "figure",
    { class: "map" },
    canvas,
    h("div", { class: "legend", "aria-hidden": "true" }),
    h("figcaption", {}, [`−${figure(largest)}, to real`, "0", `to AI, +${figure(largest)}`].map((text) => h("span", {}, text))),
  );
}

/** Say in words where the map is strongest. */
function describe({ moved, rows, columns, detection: { width, height } }) {
  const cells = moved.flatMap((row, i) => row.map((value, j) => [value, rows[i][0] / height, columns[j][0] / width]));
  const third = (at, ...names) => names[Math.floor(3 * at)];
  const strongest = (sign, kind) => {
    const [value, y, x] = cells.reduce((a, b) => (sign * b[0] > sign * a[0] ? b : a));
    const place = new Set([third(y, "top", "middle", "bottom"), third(x, "left", "middle", "right")]);
    return sign * value > 0 ? ` Most for ${kind}: ${[...place].join(" ")}.` : "";
  };
  return strongest(1, "AI") + strongest(-1, "real");
}

/** Say whether cells lie side by side, without a gap or overlap. */
const touch = (spans) => spans.every(([begin], i) => !i || begin === spans[i - 1][1]);

/** Return what each pixel has of the values of cells, over so many pixels: their mean where they overlap, 0 beside them. */
function spread({ moved, rows, columns }, scale, width, height) {
  const [sum, count] = [new Float64Array(width * height), new Uint16Array(width * height)];
  const cut = (spans) => spans.map((span) => span.map((at) => Math.round(at * scale)));
  const across = cut(columns);
  cut(rows).forEach(([top, bottom], i) => {
    across.forEach(([left, right], j) => {
      for (let y = top; y < bottom; y++) {
        for (let at = y * width + left; at < y * width + right; at++) {
          sum[at] += moved[i][j];
          count[at]++;
        }
      }
    });
  });
  return sum.map((value, at) => value / (count[at] || 1));
}

/** Draw the image in grey, and the map over the part that it is of: smoothed, where its cells lie side by side. */
async function paint(canvas, found, largest, thumbnail) {
  const { moved, region, rows, columns } = found;
  const { width, height } = found.detection;
  const scale = LONGEST / Math.max(width, height);
  [canvas.width, canvas.height] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const fill = (style, operation = "source-over") => {
    Object.assign(context, { fillStyle: style, globalCompositeOperation: operation });
    context.fillRect(0, 0, canvas.width, canvas.height);
  };
  fill(GREY);
  if (thumbnail) {
    const image = new Image();
    image.src = thumbnail.url;
    await image.decode();
    context.imageSmoothingEnabled = !thumbnail.tiny;
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
  }
  fill(GREY, "saturation");
  fill(PALER);
  const smooth = touch(rows) && touch(columns);
  const [across, down] = smooth ? [moved[0].length, moved.length] : [canvas.width, canvas.height];
  const values = smooth ? moved.flat() : spread(found, scale, across, down);
  const colours = Array.from(values, (value) => [...(value > 0 ? AI : REAL), (255 * STRONGEST * Math.abs(value)) / largest]);
  const cells = new OffscreenCanvas(across, down);
  cells.getContext("2d").putImageData(new ImageData(Uint8ClampedArray.from(colours.flat()), across), 0, 0);
  const [left, top, right, bottom] = smooth ? region.map((at) => at * scale) : [0, 0, across, down];
  context.imageSmoothingEnabled = true;
  context.drawImage(cells, left, top, right - left, bottom - top);
}
