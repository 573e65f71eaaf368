// Of an image that no bundle here is made for: what was looked at, and what one can do next. As unjudged.py has it.
import { h } from "./dom.js";

export const NEXT_STEPS = [
  "Use a bundle that is made for images of this size. The one that comes with Pyrite knows only images of 32 pixels a side.",
  "Look for the original with a reverse image search: who published it first, and what do they say about it?",
  "Get the file from its source. A screenshot, or a copy from a chat or a social network, has usually lost what cameras " +
    "and generators write into a file.",
];

export function isUnjudged(found) {
  const pixels = found.evidence.filter((item) => item.kind === "pixels");
  return pixels.length > 0 && pixels.every((item) => item.data.reason === "out_of_scope");
}

/** Return what was made of the pixels and of the file. */
export function lookedAt(found) {
  const count = found.evidence.filter((item) => !["pixels", "frames", "reader"].includes(item.kind)).length;
  const rests = found.reason === "out_of_scope" ? "None of that decides the verdict." : "The verdict rests on that.";
  const told = count
    ? `${count} piece${count === 1 ? "" : "s"} of evidence found. ${rests}`
    : "No evidence found. That proves nothing, since it is easily removed.";
  const unread = found.evidence.some((item) => item.kind === "reader") ? " Something in it could not be read." : "";
  return { Pixels: "Not judged: no bundle here is made for images of this size.", File: told + unread };
}

/** Return it as elements; `heading` is the tag of their titles. */
export function drawUnjudged(found, heading) {
  const rows = Object.entries(lookedAt(found)).map(([name, told]) => h("div", {}, h("dt", {}, name), h("dd", {}, told)));
  const looked = h("section", {}, h(heading, {}, "What was looked at"), h("dl", {}, rows));
  if (found.reason !== "out_of_scope") return [looked];
  const steps = h("ul", { class: "steps" }, NEXT_STEPS.map((step) => h("li", {}, step)));
  return [looked, h("section", {}, h(heading, {}, "What you can do next"), steps)];
}
