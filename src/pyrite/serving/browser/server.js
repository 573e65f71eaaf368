// In place of the server: what the page asks of one is answered here, by a worker of the page's own.

/** What went wrong with a request; see the server's own module. */
export class RequestError extends Error {
  constructor(kind, code, message) {
    super(message);
    Object.assign(this, { kind, code, wait: 0 });
  }
}

const worker = new Worker(new URL("judge-worker.js", import.meta.url), { type: "module" });
const asked = new Map(); // What takes an answer, by its number.
const limits = getJson("v1/limits");
limits.catch(() => {}); // The page asks for them too, and tells.
let count = 0;
let broken = null;

worker.addEventListener("message", ({ data: { id, found, error } }) => {
  const { resolve, reject } = asked.get(id) ?? {};
  asked.delete(id);
  if (found) resolve?.({ detections: [found] });
  else reject?.(new RequestError(error.lost ? "lost" : "refused", error.code, error.message));
});
worker.addEventListener("error", () => {
  broken = new RequestError("refused", "page", "The part of this page that judges images could not be started, or ended. Load the page again.");
  for (const { reject } of asked.values()) reject(broken);
  asked.clear();
});

export function setKey() {}
export const hasKey = () => false;

/** Say whether images can be judged: there is no server that could be away. */
export const isReady = async () => true;

export async function getJson(path) {
  try {
    const answer = await fetch(new URL(`${path}.json`, document.baseURI));
    if (answer.ok) return await answer.json();
  } catch {
    // Told below.
  }
  throw new RequestError("lost", "no_answer", "A part of this page cannot be loaded.");
}

/** Judge one file; what else a server does with files is not done here. */
export async function postFile(path, file, { onprogress = () => {}, signal }) {
  if (path !== "v1/detect") throw new RequestError("refused", "not_here", "This page does not do that.");
  if (broken) throw broken;
  onprogress(1);
  const bounds = await limits;
  return new Promise((resolve, reject) => {
    const id = ++count;
    asked.set(id, { resolve, reject });
    signal?.addEventListener("abort", () => {
      asked.delete(id);
      reject(new RequestError("ended", "ended", "Ended."));
    });
    worker.postMessage({ id, file, path: file.name, limits: bounds });
  });
}

// It keeps the whole page, so that it opens without a network; see sw.js.
navigator.serviceWorker?.register(new URL("sw.js", document.baseURI)).catch(() => {});
