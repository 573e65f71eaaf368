// Where a score lies among those of the images that calibrated the model.
import { borders } from "./budget.js";
import { probability } from "./decision.js";
import { s } from "./dom.js";

const WIDTH = 320;
const TOP = 62; // of the AI images' half, in pixels; the real images' is as high
const BINS = 64;
const TICKS = [0.5, 0.01, 0.99, 0.1, 0.9, 0.001, 0.999]; // The first go before the others, where there is little room.

/**
 * Draw both classes of the calibration, real below the line and AI above, and the borders of the verdicts.
 *
 * @param model as v1/model gives it
 * @param max_fpr the budget
 * @param marks logits to mark
 * @param label what a screen reader says
 */
export function drawChart(model, max_fpr, marks, label) {
  const { calibration } = model;
  const scale = makeScale(calibration);
  const { x } = scale;
  const border = borders(model, max_fpr);
  const [left, right] = [Math.min(border.real, border.ai), Math.max(border.real, border.ai)].map(x);
  const base = TOP + 8;
  const bottom = 2 * TOP + 16;
  const bars = (logits, direction, kind) => {
    const counts = new Array(BINS).fill(0);
    for (const logit of logits) counts[Math.min(BINS - 1, Math.floor((x(logit) / WIDTH) * BINS))]++;
    const highest = Math.max(...counts);
    const step = WIDTH / BINS;
    return counts.map((count, i) => {
      const height = (count / highest) * TOP;
      return (
        count > 0 &&
        s("rect", {
          x: i * step + 0.5, width: step - 1, height, y: direction > 0 ? base - 2 - height : base + 2, class: kind,
        })
      );
    });
  };
  const band = (from, to, kind) =>
    to > from && s("rect", { x: from, y: 0, width: to - from, height: bottom, class: `band ${kind}` });
  const edge = (at) => at > 0 && at < WIDTH && s("line", { x1: at, x2: at, y1: 0, y2: bottom, class: "edge" });
  const places = TICKS.map((p) => [p, x(scale.logit(p))]).filter(([, at]) => at > 14 && at < WIDTH - 112);
  return s(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${bottom + 18}`, class: "chart", role: "img", "aria-label": label },
    band(0, left, "real"),
    band(left, right, "uncertain"),
    band(right, WIDTH, "ai"),
    bars(calibration.ai_logits, 1, "ai"),
    bars(calibration.real_logits, -1, "real"),
    s("line", { x1: 0, x2: WIDTH, y1: base, y2: base, class: "axis" }),
    edge(left),
    edge(right),
    // Where many fall together, one stands for them.
    [...new Set(marks.map((logit) => Math.round(x(logit))))].map((at) => s("circle", { cx: at, cy: base, r: marks.length > 1 ? 3.2 : 5, class: "dot" })),
    s("text", { x: 5, y: 13, class: "name ai" }, "AI images"),
    s("text", { x: WIDTH - 5, y: bottom - 6, class: "name real end" }, "Real images"),
    spread(places).map(([p, at]) =>
      s("text", { x: at, y: bottom + 13, class: "tick" }, `${(100 * p).toLocaleString("en")}%`),
    ),
    s("text", { x: WIDTH, y: bottom + 13, class: "end" }, "probability of AI"),
  );
}

/** Leave out labels that would touch one before. */
function spread(places) {
  const kept = [];
  for (const place of places) if (kept.every((other) => Math.abs(place[1] - other[1]) > 36)) kept.push(place);
  return kept;
}

/** Return the functions between logits, probabilities and places on the axis, which leaves the rarest scores at its ends. */
function makeScale(calibration) {
  const ends = [calibration.real_logits, calibration.ai_logits].flatMap((kept) => [
    kept[Math.floor(0.005 * (kept.length - 1))],
    kept[Math.ceil(0.995 * (kept.length - 1))],
  ]);
  const low = Math.min(...ends);
  const span = Math.max(...ends) - low || 1;
  const pad = 0.04 * WIDTH;
  return {
    x: (logit) => Math.min(WIDTH - 4, Math.max(4, pad + ((logit - low) / span) * (WIDTH - 2 * pad))),
    logit: (p) => (Math.log(p / (1 - p)) - calibration.intercept) / calibration.slope,
  };
}

/** Return the probability from which a model calls images AI, as a text. */
export function borderOfAi(model, max_fpr) {
  const { real, ai } = borders(model, max_fpr);
  const p = probability(model.calibration, Math.max(real, ai));
  return `${(100 * p).toLocaleString("en", { maximumFractionDigits: p > 0.99 ? 2 : 1 })}%`;
}
