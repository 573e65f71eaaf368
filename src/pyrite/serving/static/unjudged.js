// Of an image that no bundle here judges, as unjudged.py has it.
import { h, terms, withCode } from "./dom.js";
import { READS_FILES, WORDS } from "./place.js";

const NEXT_SIZE =
  "Use a bundle for images of this size: the one that comes with Pyrite knows only images of 32 pixels a side. " +
  "`pyrite bundle catalogue` lists others.";
const NEXT_FOREIGN =
  "Judge the picture by itself: a border, a collage or a caption makes it look unlike what the bundle was made for.";
const NEXT_STEPS = [
  "Find the original with a reverse image search: who published it first, and what do they say about it?",
  "Get the file from its source: screenshots, and copies from chats, have lost what cameras and generators write into files.",
];

export function isUnjudged({ evidence }) {
  const pixels = evidence.filter((item) => item.kind === "pixels");
  return pixels.length > 0 && pixels.every((item) => item.data.reason === "out_of_scope");
}

/** Say whether an image has a size that a bundle is made for, and looks unlike those that calibrated it. */
export function isForeign(found) {
  return isUnjudged(found) && found.evidence.some((item) => (item.data?.p_typical ?? null) !== null);
}

/** Return what one can do with an image that is out of scope. */
export const nextSteps = (found) => [isForeign(found) ? NEXT_FOREIGN : NEXT_SIZE, ...NEXT_STEPS];

/** Return what was made of the pixels and of the file. */
export function lookedAt(found) {
  const { evidence, reason } = found;
  const count = evidence.filter((item) => !["pixels", "frames", "reader"].includes(item.kind)).length;
  const rests = reason === "out_of_scope" ? "None of that decides the verdict." : "The verdict rests on that.";
  const inFile = count
    ? `${count} piece${count === 1 ? "" : "s"} of evidence found. ${rests}`
    : "No evidence found. That proves nothing, since it is easily removed.";
  return {
    Pixels: isForeign(found)
      ? "Not judged: the image looks unlike those that calibrated the bundle."
      : "Not judged: no bundle here is made for images of this size.",
    File: READS_FILES || count ? inFile : WORDS.unseen,
  };
}

export function drawUnjudged(found) {
  const part = (title, content) => h("section", {}, h("h4", {}, title), content);
  const steps = h("ul", { class: "steps" }, nextSteps(found).map((step) => h("li", {}, withCode(step))));
  return [
    part("What was looked at", terms(Object.entries(lookedAt(found)))),
    found.reason === "out_of_scope" && part("What you can do next", steps),
  ].filter(Boolean);
}
