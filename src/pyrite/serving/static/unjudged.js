// Of an image that no bundle here is made for, as unjudged.py has it.
import { h, terms } from "./dom.js";

export const NEXT_STEPS = [
  "Use a bundle for images of this size: the one that comes with Pyrite knows only images of 32 pixels a side.",
  "Find the original with a reverse image search: who published it first, and what do they say about it?",
  "Get the file from its source: screenshots, and copies from chats, have lost what cameras and generators write into files.",
];

export function isUnjudged({ evidence }) {
  const pixels = evidence.filter((item) => item.kind === "pixels");
  return pixels.length > 0 && pixels.every((item) => item.data.reason === "out_of_scope");
}

/** Return what was made of the pixels and of the file. */
export function lookedAt({ evidence, reason }) {
  const count = evidence.filter((item) => !["pixels", "frames", "reader"].includes(item.kind)).length;
  const rests = reason === "out_of_scope" ? "None of that decides the verdict." : "The verdict rests on that.";
  return {
    Pixels: "Not judged: no bundle here is made for images of this size.",
    File: count
      ? `${count} piece${count === 1 ? "" : "s"} of evidence found. ${rests}`
      : "No evidence found. That proves nothing, since it is easily removed.",
  };
}

export function drawUnjudged(found) {
  const part = (title, content) => h("section", {}, h("h4", {}, title), content);
  const steps = h("ul", { class: "steps" }, NEXT_STEPS.map((step) => h("li", {}, step)));
  return [
    part("What was looked at", terms(Object.entries(lookedAt(found)))),
    found.reason === "out_of_scope" && part("What you can do next", steps),
  ].filter(Boolean);
}
