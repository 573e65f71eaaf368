// What a file and its pixels say of its origin, in three groups by how far that can be trusted.
import { h, terms, visible, withCode } from "./dom.js";
import { READS_FILES, WORDS } from "./place.js";

const GROUPS = {
  verified: {
    title: "Verified",
    means: "A signature, checked against a trust list. It decides the verdict alone.",
  },
  asserted: {
    title: "Asserted",
    means: "Anyone could have written it. It can make an image AI, and never real.",
  },
  inferred: {
    title: "Inferred",
    means: "Concluded from the pixels. It decides where nothing above does.",
  },
};

const SOUGHT = {
  verified: WORDS.signature,
  asserted: "a note in the file of what made it",
};

const NAMES = {
  pixels: "The pixels",
  frames: "Frames",
  credentials: "Content credentials",
  generator: "A generator's note",
  source_type: "Digital source type",
  watermark: "An invisible mark",
  camera: "A camera's note",
  history: "The image's history",
  reader: "Something unread",
};

const FORGED = "prove it: this can be added to any image, changed, or removed.";

/** What each kind of evidence can show, and what it cannot. */
const POWERS = {
  pixels: [
    "how usual this score is among the real and the AI images that calibrated the model.",
    "prove anything about a single image, or hold for other generators, cameras or sizes, for screenshots or edits.",
  ],
  frames: ["which of several frames the verdict is about.", "say anything about the others."],
  generator: ["what was written into the file, mostly by the program that made it.", FORGED],
  source_type: ["what was declared as the image's origin.", FORGED],
  watermark: ["that the pixels hold a watermark that a generator's code writes.", FORGED],
  camera: [
    "which camera and settings the file names.",
    "make an image real: the note can be copied into any file, and stays when a photo is edited.",
  ],
  history: ["what programs and services left in the file.", FORGED],
  reader: ["that the file holds something that was not read.", "say what that is."],
};

function powers(item) {
  if (item.data?.reason === "out_of_scope") return [];
  if (item.kind !== "credentials") return POWERS[item.kind];
  if (item.data.remote_url) return ["where credentials are said to be kept.", "show what they say: nothing was downloaded."];
  if (item.data.valid === undefined) return ["that there are credentials.", "show what they say: they could not be read."];
  if (!item.data.valid) return ["that there are credentials, and that they are not valid for this file.", "show anything else."];
  if (item.strength === "verified") {
    return [
      "that a signer on the trust list stands behind this, and that the file has not changed since.",
      "show that the signer told the truth, or that the camera was not pointed at a screen or a print.",
    ];
  }
  if (item.data.trusted) {
    return [
      "who signed this file, and that it has not changed since.",
      "show that the part about AI is true: it is by somebody whom no trust list vouches for.",
    ];
  }
  return [
    "what was claimed, and that the file has not changed since it was signed.",
    "show who signed: nobody on the trust list vouches for that.",
  ];
}

/** Return the groups that have evidence, and what is said of the others, as elements. */
export function drawLedger(evidence) {
  const groups = Object.entries(GROUPS).map(([strength, group]) => [strength, group, evidence.filter((item) => item.strength === strength)]);
  const missing = groups.filter(([, , items]) => !items.length).map(([strength]) => strength);
  return [
    ...groups.filter(([, , items]) => items.length).map(([strength, group, items]) => drawGroup(strength, group, items)),
    missing.length > 0 && h("p", { class: "missing fine" }, drawMissing(missing)),
  ].filter(Boolean);
}

function drawGroup(strength, { title, means }, items) {
  return h(
    "section",
    { class: `group ${strength}` },
    h("h4", {}, h("span", { class: "seal", "aria-hidden": "true" }), title),
    h("p", { class: "means" }, means),
    h("ul", {}, items.map(drawItem)),
  );
}

/** Say in one place what was not found, and that this proves nothing. */
function drawMissing(missing) {
  if (!READS_FILES) return withCode(WORDS.unread);
  const found = missing.filter((strength) => strength !== "inferred").map((strength) => SOUGHT[strength]);
  if (!found.length) return "The pixels were not judged.";
  return `Not found: ${found.join(", and ")}. That proves nothing: most files never had any, or have lost it.`;
}

function drawItem(item) {
  const [can, cannot] = powers(item) ?? [];
  const says = { ai: "for AI", real: "for real" }[item.says] ?? "takes no side";
  const { bundle, version } = item.data ?? {}; // Of pixels, the sentence tells what the numbers mean.
  const { prompt, negative_prompt, ...rest } = item.kind === "pixels" ? { bundle: `${bundle} ${version}` } : (item.data ?? {});
  return h(
    "li",
    {},
    h("p", { class: "kind" }, h("b", {}, NAMES[item.kind] ?? visible(item.kind)), h("span", { class: `says ${item.says ?? ""}` }, says)),
    h("p", {}, visible(item.detail)),
    typeof prompt === "string" && quote("Prompt", prompt),
    typeof negative_prompt === "string" && quote("Negative prompt", negative_prompt),
    Object.keys(rest).length > 0 && drawData(rest),
    can && h("p", { class: "power" }, h("b", {}, "Can show "), can),
    can && h("p", { class: "power" }, h("b", {}, "Cannot "), cannot),
  );
}

function quote(title, text) {
  return h("figure", { class: "prompt" }, h("figcaption", {}, title), h("blockquote", {}, unbroken(text)));
}

/** A prompt may have lines, which `visible` would write out. */
function unbroken(text) {
  return text.split("\n").map(visible).join("\n");
}

function drawData(data) {
  const known = Object.entries(data).filter(([, value]) => value !== null);
  return terms(known.map(([name, value]) => [visible(name.replaceAll("_", " ")), drawValue(name, value)]));
}

function drawValue(name, value) {
  if (Array.isArray(value)) return value.length ? h("ul", {}, value.map((inner) => h("li", {}, drawValue(name, inner)))) : "none";
  if (typeof value === "object") return drawData(value);
  if (name === "exposure_time" && value > 0 && value < 0.4) return `1/${Math.round(1 / value)} s`;
  if (name === "exposure_time") return `${value} s`;
  if (name === "f_number") return `f/${value}`;
  if (name === "focal_length") return `${value} mm`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  return unbroken(String(value));
}

/** Return the generators that a file names, each with its model. */
export function generatorsOf(evidence) {
  return evidence
    .filter((item) => item.kind === "generator" && item.data?.generator)
    .map(({ data }) => visible(data.model ? `${data.generator}, ${data.model}` : String(data.generator)));
}
