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

/** Return a rate as a count of images: [10, 1000] for one in a hundred. */
export function asCount(rate) {
  let of = 1000;
  while (of < 1e6 && Math.abs(rate * of - Math.round(rate * of)) > 0.01) of *= 10;
  return [Math.round(rate * of), of];
}

/** Return a rate as a percentage of as many places as it needs. */
export function asPercent(rate) {
  return `${(100 * rate).toLocaleString("en", { maximumSignificantDigits: 2 })}%`;
}

export function describeBudget(rate) {
  const [count, of] = asCount(rate);
  return `Of ${of.toLocaleString("en")} real photos at most about ${count.toLocaleString("en")} would be called AI`;
}

/** Return which shares of these logits get each verdict, by the pixels. */
export function sharesOf(logits, model, max_fpr) {
  const shares = { ai: 0, uncertain: 0, real: 0 };
  const { calibration } = model;
  const policy = { ...model.policy, max_fpr };
  for (const logit of logits) {
    const [verdict] = decide(pReal(calibration, logit), pAi(calibration, logit), true, policy);
    shares[verdict] += 1 / logits.length;
  }
  return shares;
}

/** Return the budget from which on a larger one finds no more: all scores that it adds are unlike AI images as well. */
export function largestUseful(model) {
  const { calibration } = model;
  const { real } = borders(model, LARGEST);
  const first = calibration.ai_logits.find((logit) => logit > real);
  return first === undefined ? 0 : pReal(calibration, first);
}

/**
 * Return the logits between which the verdict by pixels is uncertain: `real` up to the first, `ai` from the second,
 * where those do not cross.
 */
export function borders(model, max_fpr) {
  const { real_logits, ai_logits } = model.calibration;
  const n = real_logits.length;
  const m = ai_logits.length;
  const above = real_logits.findIndex((_, i) => (n - i) / (n + 1) <= max_fpr);
  const below = ai_logits.findLastIndex((_, i) => (1 + i) / (m + 1) <= model.policy.max_fnr);
  return {
    ai: above < 0 ? Infinity : real_logits[above],
    real: below < 0 ? -Infinity : ai_logits[below],
  };
}
