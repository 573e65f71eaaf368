// What calibration.py and decision.py do, so that another error budget needs no other upload. A test holds both to
// the same answers. `model` is the answer of v1/model throughout.

/** Return the calibrated probability of AI, 0 to 1. */
export function probability(calibration, logit) {
  const x = calibration.slope * logit + calibration.intercept;
  return Math.exp(-(x > 0 ? Math.log1p(Math.exp(-x)) : -x + Math.log1p(Math.exp(x))));
}

/** Return how usual a logit is among real images: the share with one at least as high. */
export function pReal(calibration, logit) {
  const kept = calibration.real_logits;
  return (1 + kept.length - countBelow(kept, logit)) / (kept.length + 1);
}

/** Return how usual a logit is among AI images: the share with one at most as high. */
export function pAi(calibration, logit) {
  const kept = calibration.ai_logits;
  return (1 + countBelow(kept, logit, true)) / (kept.length + 1);
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

/** Say whether the model was made for images of this size. */
export function inScope(scope, width, height) {
  return scope.min_side <= Math.min(width, height) && Math.max(width, height) <= scope.max_side;
}

/** Return the verdict and its reason; see `decide` in decision.py. */
export function decide(p_real, p_ai, fits, policy, evidence = []) {
  const said = (strength, says) => evidence.some((item) => item.strength === strength && item.says === says);
  if (said("verified", "ai")) return ["ai", "verified"];
  if (said("verified", "real")) return ["real", "verified"];
  if (said("asserted", "ai")) return ["ai", "asserted"];
  if (!fits) return ["uncertain", "out_of_scope"];
  const unlikeReal = p_real <= policy.max_fpr;
  const unlikeAi = p_ai <= policy.max_fnr;
  if (unlikeReal && unlikeAi) return ["uncertain", "unlike_both"];
  if (unlikeReal) return ["ai", "pixels"];
  if (unlikeAi) return ["real", "pixels"];
  return ["uncertain", "borderline"];
}

/** Return the sentence that tells why; see `explain` in decision.py. */
export function explain(verdict, reason, p_real, p_ai, scope, size, evidence = []) {
  const number = (value) => value.toLocaleString("en");
  if (reason === "pixels") {
    return verdict === "ai"
      ? `The pixels look AI-generated: ${share(p_real)} real images score as high.`
      : `The pixels look like a real image's: ${share(p_ai)} AI images score as low.`;
  }
  if (reason === "borderline") {
    return "The model cannot tell: real and AI images both score like this often enough.";
  }
  if (reason === "unlike_both") return "The model cannot tell: hardly any image of either kind scores like this.";
  if (reason === "out_of_scope") {
    const upTo = scope.min_side === scope.max_side ? "" : ` to ${number(scope.max_side)}`;
    return (
      `The model was made for images of ${number(scope.min_side)}${upTo} pixels a side and this one has ` +
      `${number(size[0])} × ${number(size[1])}, so its score decides nothing.`
    );
  }
  return evidence.find((item) => item.strength === reason && item.says === verdict).detail;
}

function share(p) {
  return `at most ${Math.max(1, roundHalfEven(p * 1000)).toLocaleString("en")} in 1,000`;
}

/** Round as Python does: a half goes to the even neighbour. */
function roundHalfEven(x) {
  const below = Math.floor(x);
  return x - below === 0.5 ? below + (below % 2) : Math.round(x);
}

/** Return a detection as the server would have made it with another budget. */
export function decideAgain(found, model, max_fpr) {
  if (found.error) return { ...found, max_fpr };
  const { scope } = model;
  const policy = { ...model.policy, max_fpr };
  const size = [found.width, found.height];
  const fits = inScope(scope, ...size);
  const told = (verdict, reason, evidence) =>
    explain(verdict, reason, found.p_real, found.p_ai, scope, size, evidence);
  const evidence = found.evidence.map((item) => {
    if (item.kind !== "pixels" || item.strength !== "inferred") return item;
    const [seen, why] = decide(found.p_real, found.p_ai, fits, policy);
    return { ...item, says: seen === "uncertain" ? null : seen, detail: told(seen, why) };
  });
  const [verdict, reason] = decide(found.p_real, found.p_ai, fits, policy, evidence);
  return { ...found, verdict, reason, explanation: told(verdict, reason, evidence), max_fpr, evidence };
}
