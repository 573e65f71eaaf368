// Where images come from: dropped, pasted, picked or photographed.
import { WORDS } from "./place.js";

const MOST = 10_000; // files of one drop; more is a job for `pyrite detect -r`
const LINK = /^(https?|data|blob):/i;

/** Call `take(files)` with `[{file, name}]` whenever there are any, and `refuse(sentence)` for anything else. */
export function listen({ zone, pickers, take, refuse }) {
  const give = (files) => {
    if (files.length) take(files.slice(0, MOST));
    if (files.length > MOST) refuse(`Only the first ${MOST.toLocaleString("en")} files were taken.`);
  };
  for (const input of pickers) {
    input.addEventListener("change", () => {
      const files = [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
      give(files.filter(({ name }) => !name.includes("/.")));
      input.value = ""; // The same file may be picked again.
    });
  }
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length) {
      const text = event.clipboardData.getData("text").trim();
      if (!event.target.closest("input") && LINK.test(text)) refuse(WORDS.link);
      return;
    }
    event.preventDefault();
    give(files.map((file) => ({ file, name: file.name })));
  });

  let inside = 0; // Enter and leave come for every element on the way.
  const mark = (value) => {
    inside = value;
    zone.classList.toggle("over", inside > 0);
  };
  const carriesFiles = (event) => event.dataTransfer.types.includes("Files");
  addEventListener("dragenter", (event) => carriesFiles(event) && mark(inside + 1));
  addEventListener("dragleave", (event) => carriesFiles(event) && mark(inside - 1));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    mark(0);
    const link = event.dataTransfer.getData("text/uri-list"); // It is gone after the first wait.
    const found = await dropped(event.dataTransfer);
    give(found);
    if (!found.length) refuse(LINK.test(link) ? WORDS.link : "There was no file in that. Save the picture first, then drop it here.");
  });
}

async function dropped(data) {
  // Both must be asked for at once: they are gone after the first wait.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...data.files].map((file) => ({ file, name: file.name }));
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (found.length > MOST) return;
  if (entry.isFile) {
    try {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      found.push({ file, name: entry.fullPath.replace(/^\//, "") });
    } catch {
      // Gone since it was dropped.
    }
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) return;
    for (const inner of some) if (!inner.name.startsWith(".")) await walk(inner, found);
  }
}
