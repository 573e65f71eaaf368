// What calibration.py and decision.py do, so that another error budget needs no other upload. A test holds both to
// the same answers. `model` is the answer of v1/model throughout.

/** Return the calibrated probability of AI, 0 to 1; `null` where none is calibrated. */
export function probability({ slope, intercept }, logit) {
  if (slope === null) return null;
  const x = slope * logit + intercept;
  return Math.exp(-(x > 0 ? Math.log1p(Math.exp(-x)) : -x + Math.log1p(Math.exp(x))));
}

// How usual a logit is among real, and among AI images: the largest p-value over their groups.

export function pReal({ real }, logit) {
  return largest(real, (kept) => (1 + kept.length - countBelow(kept, logit)) / (kept.length + 1));
}

export function pAi({ ai }, logit) {
  return largest(ai, (kept) => (1 + countBelow(kept, logit, true)) / (kept.length + 1));
}

function largest(groups, share) {
  const shares = Object.values(groups).map(share);
  return shares.length ? Math.max(...shares) : null;
}

/** Count the values below a limit, or up to it, in an ascending array. */
function countBelow(values, limit, inclusive = false) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] < limit || (inclusive && values[middle] === limit)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Say whether the score had a part in a verdict of this reason; else it is not shown. */
export const isScored = (reason) => ["pixels", "borderline", "unproven"].includes(reason);

/** Return the verdict by the pixels of an image in scope, and its reason. */
export function decide(p_real, p_ai, policy) {
  if (p_real === null && p_ai === null) return ["uncertain", "uncalibrated"];
  const [unlikeReal, unlikeAi] = [(p_real ?? 2) <= policy.max_fpr, (p_ai ?? 2) <= policy.max_fnr]; // Rates are up to 1.
  if (unlikeReal && ((p_ai ?? 2) > p_real || !unlikeAi)) return ["ai", "pixels"];
  if (!unlikeAi) return ["uncertain", "borderline"];
  return policy.real_needs_provenance ? ["uncertain", "unproven"] : ["real", "pixels"];
}

const HINT = 0.01; // The p-value above which an `ai` by the pixels is worded as a hint.

/** Return the sentence that tells why, where `isScored`. */
export function explain(verdict, reason, p_real, p_ai, knows) {
  if (verdict === "ai") {
    const looks = p_real <= HINT ? "look AI-generated" : "lean towards AI";
    return `The pixels ${looks}: ${share(p_real)} real images score as high.`;
  }
  if (reason === "pixels") return tellNoTrace(p_ai, knows);
  if (reason === "unproven") return `${tellNoTrace(p_ai, knows)} Other generators leave other traces, so this does not prove it real.`;
  return p_ai === null
    ? "The model cannot tell: it knows only real images, and too many of them score like this."
    : "The model cannot tell: too many real and too many AI images score like this.";
}

function tellNoTrace(p_ai, knows) {
  if (!knows.length) return `No trace of the AI images that calibrated this model: ${share(p_ai)} of them score as low.`;
  if (knows.length === 1) return `No trace of ${knows[0]}, the only generator known here: ${share(p_ai)} of its images score as low.`;
  const more = knows.length > 3 ? ` and ${(knows.length - 3).toLocaleString("en")} others` : "";
  return `No trace of ${knows.slice(0, 3).join(", ")}${more}, the generators known here: ${share(p_ai)} of their images score as low.`;
}

/** Return a p-value in words. */
export function share(p) {
  return `at most ${Math.ceil(p * 1000 - 1e-9).toLocaleString("en")} in 1,000`;
}

/** Return what is said in place of a probability that contradicts its verdict, as text.py does. */
export function budgetLine(verdict, p) {
  const side = { ai: p < 0.5 && "above", real: p > 0.5 && "below" }[verdict];
  return p !== null && side ? `${side} the threshold of your budget` : null;
}

/** Return a detection as the server would have made it with another budget. */
export function decideAgain(found, model, max_fpr) {
  const policy = { ...model.policy, max_fpr };
  const evidence = found.evidence.map((item) => {
    if (item.kind !== "pixels" || !isScored(item.data.reason)) return item;
    const { p_real, p_ai, knows } = item.data;
    const [seen, reason] = decide(p_real, p_ai, policy);
    const says = seen === "uncertain" ? null : seen;
    return { ...item, says, detail: explain(seen, reason, p_real, p_ai, knows), data: { ...item.data, reason } };
  });
  const again = { ...found, max_fpr, evidence };
  if (!isScored(found.reason)) return again;
  const [verdict, reason] = decide(found.p_real, found.p_ai, policy);
  const judging = found.evidence.filter((item) => item.kind === "pixels" && item.data.reason !== "out_of_scope");
  const knows = [...new Set(judging.flatMap((item) => item.data.knows))];
  return { ...again, verdict, reason, explanation: explain(verdict, reason, found.p_real, found.p_ai, knows) };
}
