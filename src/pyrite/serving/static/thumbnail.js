// Small pictures of the files. They are made here, and only of formats that the browser cannot show by the server.
import { postFile } from "./server.js";

const TOO_LARGE = 64_000_000; // bytes that a browser should not be made to decode for a small picture
const TINY = 64; // As in the worker.
const PARALLEL = 2; // One is decoded while the other is encoded.

// It encodes at once. The page would wait for idle time, of which it has none while it is used: a second a picture.
const worker = new Worker(new URL("thumbnail-worker.js", import.meta.url));
const waiting = [];
const running = new Map(); // What takes the worker's answer, by its number.
let count = 0;
let broken = false;

worker.addEventListener("message", ({ data: { id, made } }) => {
  running.get(id)(made && { ...made, url: URL.createObjectURL(made.blob) });
  running.delete(id);
  pump();
});
worker.addEventListener("error", () => {
  broken = true;
  for (const give of running.values()) give(null);
  running.clear();
  pump();
});

/**
 * Return `{blob, url, width, height, tiny}`, or `null` where the browser cannot show such a file or its entry was removed.
 * What was asked for last is made first: that is what is looked at.
 */
export function makeThumbnail(entry) {
  return new Promise((give) => {
    waiting.push({ entry, give });
    pump();
  });
}

// What every browser shows: where one of these has no picture, the file is the reason.
const SHOWN = new Set(["JPEG", "PNG", "GIF", "WEBP", "BMP"]);
let last = Promise.resolve();

/** Return the server's picture of a judged entry, or `null` where it has none to give; `patience` as `postFile` has it. */
export function askForThumbnail(entry, patience) {
  const { format, error } = entry.view;
  if (error || !format || SHOWN.has(format)) return Promise.resolve(null);
  last = last.then(async () => {
    if (entry.removed) return null;
    try {
      const { picture } = await postFile("v1/thumbnail", entry.file, { patience, signal: entry.stop.signal });
      const [, type, data] = picture.match(/^data:(.*);base64,(.*)$/s);
      const blob = new Blob([Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0))], { type });
      const { width, height } = await createImageBitmap(blob);
      return { blob, url: URL.createObjectURL(blob), width, height, tiny: Math.max(width, height) <= TINY };
    } catch {
      return null;
    }
  });
  return last;
}

function pump() {
  while (waiting.length && running.size < PARALLEL) {
    const { entry, give } = waiting.pop();
    const { file, removed } = entry;
    if (broken || removed || file.size > TOO_LARGE || file.size === 0) give(null);
    else {
      running.set(++count, give);
      worker.postMessage({ id: count, file });
    }
  }
}
