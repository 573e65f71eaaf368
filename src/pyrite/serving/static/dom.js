// Elements, made so that a stranger's text stays text.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element; children are elements, or anything else as text. `null` and `false` are left out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an element of SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** Make a list of terms, of [name, what it is] each. */
export function terms(rows, kind) {
  return h("dl", { class: kind }, rows.map(([name, told]) => h("div", {}, h("dt", {}, name), h("dd", {}, told))));
}

/** Return a sentence with what stands between backticks as code. */
export function withCode(text) {
  return text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));
}

/** Show or hide; says which. */
export function show(element, visible) {
  element.hidden = !visible;
  return visible;
}

/** Set a text, but only where it is another: a live region would be read again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Return a text in which nothing is invisible: control and direction signs are written out. */
export function visible(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (sign) =>
    sign === "\u200d" ? sign : `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`,
  );
}

export function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

const MARKS = {
  ai: ["path", { d: "M8 1.6 15.2 14.4H.8Z" }],
  real: ["circle", { cx: 8, cy: 8, r: 6.6 }],
  uncertain: ["path", { d: "M8 .9 15.1 8 8 15.1.9 8Z", class: "hollow" }],
  error: ["path", { d: "M3 3 13 13M13 3 3 13", class: "hollow" }],
};

/** Return the shape of an outcome, which tells it apart without colour. */
export function mark(outcome) {
  const [tag, attributes] = MARKS[outcome];
  return s("svg", { viewBox: "0 0 16 16", class: "mark", "aria-hidden": "true" }, s(tag, attributes));
}

/** Return a probability as a percentage. */
export function percent(p) {
  const value = 100 * p;
  // Never 0% or 100%, which no estimate is.
  if (value < 0.1) return "under 0.1%";
  if (value > 99.9) return "over 99.9%";
  return `${value.toFixed(1)}%`;
}
