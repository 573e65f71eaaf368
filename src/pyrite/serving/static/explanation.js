// The map of what moved the score, drawn over the picture; and how far to trust it.
import { h, s } from "./dom.js";

const LONGEST = 448; // pixels
const STRONGEST = 0.8; // How far the colour of the largest value covers the picture.
const BLACK = 72; // It would swallow the colours, so it becomes a grey.
const AI = [213, 94, 0];
const REAL = [0, 114, 178];

/** Return what `POST v1/explain` answered as elements, over the thumbnail where there is one. */
export async function drawExplanation(found, thumbnail) {
  const { faithfulness: figures, leans, moved } = found;
  const count = figures.random_deletion.length;
  const scores = figures.random_deletion.map((value, i) => figures.random_insertion[i] - value);
  const towards = leans === "ai" ? "AI" : "real";
  const own = figures.insertion - figures.deletion;
  const asGood = scores.filter((score) => score >= own).length;
  const conclusion = found.better_than_random
    ? `The map does better than each of ${count} random orders, so it is shown.`
    : `The map is no better than random (${asGood} of ${count} random orders do as well), so it is not shown.`;
  return [
    found.better_than_random ? await drawMap(moved, thumbnail) : h("p", { class: "nomap" }, "No map is shown: it is no better than random."),
    h("p", { class: "conclusion" }, conclusion),
    drawScores(own, scores),
    h("p", { class: "fine" }, `Deletion: ${figure(figures.deletion)} log-odds of ${towards}, ${among(figures.random_deletion)} (lower is better).`),
    h("p", { class: "fine" }, `Insertion: ${figure(figures.insertion)} log-odds of ${towards}, ${among(figures.random_insertion)} (higher is better).`),
    found.better_than_random &&
      h(
        "p",
        { class: "fine" },
        "Orange parts raise the score for AI, compared with the same part blurred; blue parts lower it. The map tells where " +
          "this model's score comes from. It does not tell which parts were generated or edited, and it proves nothing.",
      ),
  ];
}

const figure = (value) => value.toFixed(2);

function among(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return `${figure(mean)} ± ${figure(Math.sqrt(variance))} in random order`;
}

/** Draw the map's score, which is insertion less deletion, among those of random orders. */
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
    s("text", { x: 0, y: 36, class: "tick start" }, "○ random orders"),
    s("text", { x: 320, y: 36, class: "tick end" }, "● the map, better to the right"),
  );
}

async function drawMap(moved, thumbnail) {
  const largest = Math.max(...moved.flat().map(Math.abs));
  const label =
    "A map over the image: orange where a part raises the score for AI, blue where it lowers it. " + describe(moved);
  const canvas = h("canvas", { role: "img", "aria-label": label });
  await paint(canvas, moved, largest || 1, thumbnail);
  return h(
    "figure",
    { class: "map" },
    canvas,
    h("div", { class: "legend", "aria-hidden": "true" }),
    h(
      "figcaption",
      {},
      h("span", {}, `−${figure(largest)}, to real`),
      h("span", {}, "0"),
      h("span", {}, `to AI, +${figure(largest)}`),
    ),
  );
}

/** Say in words where the map is strongest. */
function describe(moved) {
  const cells = moved.flatMap((row, i) => row.map((value, j) => ({ value, i, j })));
  const place = ({ i, j }) => {
    const third = (at, of, names) => names[Math.min(2, Math.floor((3 * at) / of))];
    const words = [
      third(i, moved.length, ["top", "middle", "bottom"]),
      third(j, moved[0].length, ["left", "middle", "right"]),
    ];
    return words[0] === words[1] ? "middle" : words.join(" ");
  };
  const most = cells.reduce((a, b) => (b.value > a.value ? b : a));
  const least = cells.reduce((a, b) => (b.value < a.value ? b : a));
  const told = [];
  if (most.value > 0) told.push(`Most for AI: ${place(most)}.`);
  if (least.value < 0) told.push(`Most for real: ${place(least)}.`);
  return told.join(" ");
}

async function paint(canvas, moved, largest, thumbnail) {
  const ratio = thumbnail ? thumbnail.width / thumbnail.height : moved[0].length / moved.length;
  canvas.width = Math.max(1, Math.round(ratio >= 1 ? LONGEST : LONGEST * ratio));
  canvas.height = Math.max(1, Math.round(ratio >= 1 ? LONGEST / ratio : LONGEST));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#969696";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (thumbnail) {
    const image = new Image();
    image.src = thumbnail.url;
    await image.decode();
    context.imageSmoothingEnabled = !thumbnail.tiny;
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
  }
  const { width, height } = canvas;
  const pixels = context.getImageData(0, 0, width, height);
  const { data } = pixels;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const luma = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
      const grey = BLACK + (luma * (255 - BLACK)) / 255;
      const value = between(moved, ((y + 0.5) / height) * moved.length - 0.5, ((x + 0.5) / width) * moved[0].length - 0.5);
      const cover = STRONGEST * Math.min(1, Math.abs(value) / largest);
      const colour = value > 0 ? AI : REAL;
      for (let c = 0; c < 3; c++) data[at + c] = grey + (colour[c] - grey) * cover;
      data[at + 3] = 255;
    }
  }
  context.putImageData(pixels, 0, 0);
}

/** Return the value between the centres of four cells. */
function between(grid, row, column) {
  const clamp = (value, most) => Math.min(most, Math.max(0, value));
  const r = clamp(row, grid.length - 1);
  const c = clamp(column, grid[0].length - 1);
  const [r0, c0] = [Math.floor(r), Math.floor(c)];
  const [r1, c1] = [Math.min(grid.length - 1, r0 + 1), Math.min(grid[0].length - 1, c0 + 1)];
  const [dr, dc] = [r - r0, c - c0];
  return (
    (grid[r0][c0] * (1 - dc) + grid[r0][c1] * dc) * (1 - dr) + (grid[r1][c0] * (1 - dc) + grid[r1][c1] * dc) * dr
  );
}
