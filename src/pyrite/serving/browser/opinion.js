// What bundles say of one image, as one answer: what panel.py does for bundles that were calibrated apart.
import { decide, explain, isScored, share } from "./decision.js";

/**
 * Return the detection of an image that could be read.
 *
 * @param image `{path, sha256, format, width, height, frames}`
 * @param opinions of each bundle its `info`, whether the image `fits`, and what `Model.judge` gave
 * @param spec what bundles.json says: `policy`, `shares`, `model`
 * @param found the evidence in its file
 */
export function decideTogether(image, opinions, { policy, shares, model }, found) {
  const judging = opinions.filter(inScope);
  const merged = (which, counts) => bonferroni(opinions.map((one) => (inScope(one) ? one[which] : null)), counts);
  const [p_real, p_ai] = [merged("p_real", shares.real), merged("p_ai", shares.ai)];
  const said = opinions.map((one) => evidenceOf(one, policy, image));
  const deciding = decidingOf(found);
  const byPixels = () => (judging.length ? decide(p_real, p_ai, policy) : ["uncertain", "out_of_scope"]);
  const [verdict, reason] = deciding ? [deciding.says, deciding.strength] : byPixels();
  const alone = judging.length === 1 ? judging[0] : null;
  const knows = [...new Set(judging.flatMap(({ info }) => info.knows))];
  return {
    ...image,
    verdict,
    probability: alone && isScored(reason) ? alone.probability : null,
    logit: (alone ?? (opinions.length === 1 ? opinions[0] : null))?.logit ?? null,
    reason,
    explanation:
      deciding?.detail ??
      (reason === "uncalibrated" && said.length === 1 ? said[0].detail : tell(verdict, reason, p_real, p_ai, opinions, image, knows)),
    p_real,
    p_ai,
    max_fpr: policy.max_fpr,
    evidence: [...found, ...frameNote(image), ...said],
    model,
    error: null,
  };
}

/** Return the piece of evidence that outweighs the pixels, if there is one: anyone could have written that a camera took it. */
function decidingOf(found) {
  const order = [["verified", "ai"], ["verified", "real"], ["asserted", "ai"]];
  return order.map(([strength, says]) => found.find((item) => item.strength === strength && item.says === says)).find(Boolean);
}

const isForeign = ({ fits, p_typical, info }) => fits && p_typical !== null && p_typical <= info.foreign_rate;
const inScope = (opinion) => opinion.fits && !isForeign(opinion);

function bonferroni(values, counts) {
  const known = values.flatMap((p, i) => (p === null ? [] : [counts[i] * p]));
  return known.length ? Math.min(1, ...known) : null;
}

function evidenceOf(opinion, policy, image) {
  const { info, fits, logit, p_typical } = opinion;
  const inside = inScope(opinion);
  const [p_real, p_ai] = inside ? [opinion.p_real, opinion.p_ai] : [null, null];
  const [seen, reason] = inside ? decide(p_real, p_ai, policy) : ["uncertain", "out_of_scope"];
  let detail = tell(seen, reason, p_real, p_ai, [opinion], image, info.knows);
  if (reason === "uncalibrated" && info.threshold !== null && logit !== null) {
    detail += ` Its authors call an image AI above a score of ${Number(info.threshold.toPrecision(6))}; this one has ${logit.toFixed(2)}.`;
  }
  return {
    kind: "pixels",
    strength: "inferred",
    says: seen === "uncertain" ? null : seen,
    detail,
    data: { bundle: info.name, version: info.version, reason, logit, p_real, p_ai, p_typical: fits ? p_typical : null, knows: info.knows },
  };
}

function tell(verdict, reason, p_real, p_ai, opinions, image, knows) {
  if (reason === "uncalibrated") return "No images have calibrated this model, so its score decides nothing.";
  return reason === "out_of_scope" ? tellOutside(opinions, image) : explain(verdict, reason, p_real, p_ai, knows);
}

function tellOutside(opinions, { width, height }) {
  const many = opinions.length > 1;
  const so = `so ${many ? "their scores decide" : "its score decides"} nothing.`;
  const foreign = opinions.filter(isForeign).map(({ p_typical }) => p_typical);
  if (foreign.length) {
    const models = `model${many ? "s" : ""}`;
    return `This image looks unlike those that calibrated the ${models}: ${share(Math.max(...foreign))} of them are as unusual, ${so}`;
  }
  const madeFor = [...new Set(opinions.map(({ info }) => info.sizes))].join(" pixels a side, or of ");
  const [across, down] = [width, height].map((side) => side.toLocaleString("en"));
  return `The model${many ? "s were" : " was"} made for images of ${madeFor} pixels a side and this one has ${across} × ${down}, ${so}`;
}

function frameNote({ frames }) {
  if (!(frames > 1)) return [];
  const detail = `Of its ${frames.toLocaleString("en")} frames, only number 1 was judged.`;
  return [{ kind: "frames", strength: "inferred", says: null, detail, data: {} }];
}
