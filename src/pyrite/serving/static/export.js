// What goes out of the page as a file.
import { h, say } from "./dom.js";
import { toCsv, toJson } from "./formats.js";
import { makeReport } from "./report.js";

const $ = (id) => document.getElementById(id);

export function download(content, name, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Return what a file is called, without its folder and ending. */
export const baseName = (name) => name.split("/").at(-1).replace(/\.[^.]*$/, "") || "image";

/** Save the report of a wrong verdict, as `pyrite detect --report` writes it. */
export function saveVerdict({ name, view }, { pyrite, bundles }) {
  const report = {
    pyrite,
    bundles: bundles.map(({ name, version, sha256 }) => ({ name, version, sha256 })),
    expected: null,
    detection: { ...view, path: name.split("/").at(-1) },
  };
  download(`${JSON.stringify(report, null, 2)}\n`, `${baseName(name)}-verdict.json`, "application/json");
}

export const fromBase64 = (text) => new Blob([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))], { type: "image/png" });

const EXPORTS = {
  json: (entries) => [toJson(entries.map(({ view }) => view)), "application/json"],
  csv: (entries) => [toCsv(entries.map(({ view }) => view)), "text/csv"],
  async html(entries, { pictureOf, head }, progress) {
    let drawn = 0;
    await Promise.all(entries.map((entry) => pictureOf(entry).then(() => progress(++drawn / entries.length))));
    return [await makeReport(entries, ...head(entries)), "text/html"];
  },
};

/** Let the buttons export. `chosen()` gives the entries, `pictureOf(entry)` a promise of its picture, `head(entries)` a report's. */
export function offerExports({ chosen, ...hooks }) {
  for (const button of $("export").querySelectorAll("[data-export]")) {
    const name = button.textContent;
    button.addEventListener("click", async () => {
      if (button.getAttribute("aria-disabled")) return;
      button.setAttribute("aria-disabled", "true");
      const kind = button.dataset.export;
      const [content, type] = await EXPORTS[kind](chosen(), hooks, (done) => say(button, `${name} ${Math.floor(100 * done)}%`));
      download(content, `pyrite-${new Date().toISOString().slice(0, 10)}.${kind}`, type);
      say(button, name);
      button.removeAttribute("aria-disabled");
    });
  }
}
