// Where a score lies among those of the images that calibrated the model.
import { borders, pooled } from "./budget.js";
import { probability } from "./decision.js";
import { s } from "./dom.js";

const WIDTH = 320;
const TOP = 62; // of the AI images' half, in pixels; the real images' is as high
const BINS = 64;
const TICKS = [0.5, 0.01, 0.99, 0.1, 0.9, 0.001, 0.999]; // The first go before the others, where there is little room.

/** Say whether a chart can be drawn: of one bundle that is calibrated. Several have no scale in common. */
export const hasChart = ({ bundles, calibration }) => bundles.length < 2 && pooled(calibration.real).length > 0;

/**
 * Draw both classes of the calibration, real below the line and AI above, the borders of the verdicts, and logits as marks;
 * `label` is what a screen reader says.
 */
export function drawChart(model, max_fpr, marks, label) {
  const { calibration } = model;
  const [real, ai] = [calibration.real, calibration.ai].map(pooled);
  const { x, logitOf } = makeScale(calibration, [real, ai]);
  const border = borders(model, max_fpr);
  const at = (logit) => (Number.isFinite(logit) ? x(logit) : logit > 0 ? WIDTH : 0); // Such a verdict there is not.
  const [left, right] = [border.real, border.ai].map(at);
  const base = TOP + 8;
  const bottom = 2 * TOP + 16;
  const bars = (logits, kind, way) => {
    const counts = new Array(BINS).fill(0);
    for (const logit of logits) counts[Math.min(BINS - 1, Math.floor((x(logit) / WIDTH) * BINS))]++;
    const step = WIDTH / BINS;
    const unit = (way * TOP) / Math.max(...counts);
    const d = counts.map((count, i) => count && `M${i * step + 0.5},${base + 2 * way}h${step - 1}v${count * unit}h${1 - step}z`);
    return s("path", { class: kind, d: d.filter(Boolean).join("") });
  };
  const band = (from, to, kind) =>
    to > from && s("rect", { x: from, y: 0, width: to - from, height: bottom, class: `band ${kind}` });
  const edge = (at) => at > 0 && at < WIDTH && s("line", { x1: at, x2: at, y1: 0, y2: bottom, class: "edge" });
  const places = (logitOf ? TICKS : []).map((p) => [p, x(logitOf(p))]).filter(([, at]) => at > 14 && at < WIDTH - 112);
  return s(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${bottom + 18}`, class: "chart", role: "img", "aria-label": label },
    band(0, left, model.policy.real_needs_provenance ? "uncertain" : "real"),
    band(left, right, "uncertain"),
    band(right, WIDTH, "ai"),
    bars(ai, "ai", -1),
    bars(real, "real", 1),
    s("line", { x1: 0, x2: WIDTH, y1: base, y2: base, class: "axis" }),
    edge(left),
    edge(right),
    // Where many fall together, one stands for them.
    [...new Set(marks.map((logit) => Math.round(x(logit))))].map((at) => s("circle", { cx: at, cy: base, r: marks.length > 1 ? 3.2 : 5, class: "dot" })),
    ai.length > 0 && s("text", { x: 5, y: 13, class: "name ai" }, "AI images"),
    s("text", { x: WIDTH - 5, y: bottom - 6, class: "name real end" }, "Real images"),
    spread(places).map(([p, at]) =>
      s("text", { x: at, y: bottom + 13, class: "tick" }, `${(100 * p).toLocaleString("en")}%`),
    ),
    s("text", { x: WIDTH, y: bottom + 13, class: "end" }, logitOf ? "probability of AI" : "score, higher for AI"),
  );
}

/** Leave out labels that would touch one before. */
function spread(places) {
  const kept = [];
  for (const place of places) if (kept.every((other) => Math.abs(place[1] - other[1]) > 36)) kept.push(place);
  return kept;
}

/** Return the functions from logits to places on the axis, whose ends have the rarest, and from probabilities to logits. */
function makeScale({ slope, intercept }, classes) {
  const ends = classes.filter((kept) => kept.length).map((kept) => kept.sort((a, b) => a - b)).flatMap((kept) => [
    kept[Math.floor(0.005 * (kept.length - 1))],
    kept[Math.ceil(0.995 * (kept.length - 1))],
  ]);
  const low = Math.min(...ends);
  const span = Math.max(...ends) - low || 1;
  const pad = 0.04 * WIDTH;
  return {
    x: (logit) => Math.min(WIDTH - 4, Math.max(4, pad + ((logit - low) / span) * (WIDTH - 2 * pad))),
    logitOf: slope !== null && ((p) => (Math.log(p / (1 - p)) - intercept) / slope),
  };
}

/** Return the probability from which images are called AI, as a text; `null` where there is none. */
export function borderOfAi(model, max_fpr) {
  const p = probability(model.calibration, borders(model, max_fpr).ai);
  return p && `${(100 * p).toLocaleString("en", { maximumFractionDigits: p > 0.99 ? 2 : 1 })}%`;
}
