// The error budget: the rates that can be chosen, and what each means.
import { decide, pAi, pReal } from "./decision.js";

const STEPS = [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
const LARGEST = 0.3; // Beyond it, the verdict `ai` would mean little.

/** Return the rates to choose from, ascending: round ones, and the two that the server names. */
export function budgets({ smallest, default: usual }) {
  const rates = new Set([smallest, usual]);
  for (let exponent = -6; exponent < 0; exponent++) {
    for (const step of STEPS) {
      const rate = Number(`${step}e${exponent}`);
      if (rate >= smallest && rate <= LARGEST) rates.add(rate);
    }
  }
  return [...rates].sort((a, b) => a - b);
}

/** Return a rate as a percentage of as many places as it needs. */
export function asPercent(rate) {
  return `${(100 * rate).toLocaleString("en", { maximumSignificantDigits: 2 })}%`;
}

/** Return a rate as a count of images. */
export function describeBudget(rate) {
  let of = 1000;
  while (of < 1e6 && Math.abs(rate * of - Math.round(rate * of)) > 0.01) of *= 10;
  return `Of ${of.toLocaleString("en")} real photos at most about ${Math.round(rate * of).toLocaleString("en")} would be called AI`;
}

/** Return which shares of these logits get each verdict, by the pixels. */
export function sharesOf(logits, model, max_fpr) {
  const shares = { ai: 0, uncertain: 0, real: 0 };
  const { calibration } = model;
  const policy = { ...model.policy, max_fpr };
  for (const logit of logits) {
    const [verdict] = decide(pReal(calibration, logit), pAi(calibration, logit), policy);
    shares[verdict] += 1 / logits.length;
  }
  return shares;
}

/** Return shares of a whole as counts that sum to 1,000: the largest remainders are rounded up. */
export function inThousand(shares) {
  const counts = shares.map((share) => Math.floor(1000 * share + 1e-9));
  const left = 1000 - counts.reduce((sum, count) => sum + count, 0);
  const order = shares.map((share, i) => [1000 * share - counts[i], i]).sort(([a], [b]) => b - a);
  for (const [, i] of order.slice(0, left)) counts[i]++;
  return counts;
}

/** Return the budget from which on a larger one finds no more: all scores that it adds are more like real images. */
export function largestUseful({ calibration, policy }) {
  const found = (logit) => decide(pReal(calibration, logit), pAi(calibration, logit), { ...policy, max_fpr: 1 })[0] === "ai";
  const like = pooled(calibration.ai).filter(found);
  return like.length ? pReal(calibration, Math.min(...like)) : Infinity;
}

/** Return the logits of all groups of a class. */
export const pooled = (groups) => Object.values(groups).flat();

/**
 * Return the logits between which the verdict by pixels is uncertain: `real` up to the first, `ai` from the second. Each
 * group must agree. Where both budgets have the same scores, both are where AI images become the more usual ones.
 */
export function borders({ calibration, policy }, max_fpr) {
  const ai = Object.values(calibration.real).map(
    (kept) => kept.find((_, i) => (kept.length - i) / (kept.length + 1) <= max_fpr) ?? Infinity,
  );
  const real = Object.values(calibration.ai).map(
    (kept) => kept.findLast((_, i) => (1 + i) / (kept.length + 1) <= policy.max_fnr) ?? -Infinity,
  );
  const found = { ai: ai.length ? Math.max(...ai) : Infinity, real: real.length ? Math.min(...real) : -Infinity };
  if (found.ai >= found.real) return found;
  const steps = [calibration.real, calibration.ai].flatMap(pooled).filter((logit) => logit > found.ai && logit < found.real);
  const turns = (logit) => pAi(calibration, logit) > pReal(calibration, logit + 1e-9); // From just above a real image's on.
  const turn = steps.sort((a, b) => a - b).find(turns) ?? found.real;
  return { ai: turn, real: turn };
}
