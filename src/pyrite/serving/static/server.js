// The requests to the server that this page came from; there are no others.

/** What went wrong with a request. `kind`: `lost` (no answer), `busy` (try later), `key`, or `refused`. */
export class RequestError extends Error {
  constructor(kind, code, message, wait = 0) {
    super(message);
    Object.assign(this, { kind, code, wait }); // Seconds to wait.
  }
}

const SILENT = "The server does not answer.";
let key = "";

/** Send this key with every request from now on. It is kept in this page's memory alone. */
export function setKey(value) {
  key = value;
}

// Below wherever the page is, for servers behind a proxy with a path of its own.
const address = (path) => new URL(path, document.baseURI);

export const hasKey = () => key !== "";

export async function getJson(path, seconds = 10) {
  let answer;
  try {
    answer = await fetch(address(path), { headers: headers(), cache: "no-store", signal: AbortSignal.timeout(seconds * 1000) });
  } catch {
    throw new RequestError("lost", "no_answer", SILENT);
  }
  const body = await answer.text().catch(() => "");
  return understand(answer.status, body, answer.headers.get("Retry-After"));
}

/** Say whether the server is there and ready. */
export async function isReady() {
  try {
    return (await fetch(address("readyz"), { cache: "no-store", signal: AbortSignal.timeout(5000) })).ok;
  } catch {
    return false;
  }
}

const LINES = "application/x-ndjson";

/**
 * Post one file, and return the JSON of the answer. `patience`: seconds without a sign of life; `onprogress`: called with
 * the share that is sent, 0 to 1; `onstep`: called with how much is done and how much there is to do, where the server
 * tells; `signal`: ends it.
 */
export function postFile(path, file, { patience, onprogress = () => {}, onstep, signal }) {
  return new Promise((resolve, reject) => {
    const ended = () => new RequestError("ended", "ended", "Ended.");
    if (signal?.aborted) {
      reject(ended());
      return;
    }
    const request = new XMLHttpRequest(); // fetch does not tell how much has been sent.
    let timer;
    const give = (action) => (value) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      action(value);
    };
    const done = give(resolve);
    const fail = give(reject);
    const abort = () => {
      request.abort();
      fail(ended());
    };
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        request.abort();
        fail(new RequestError("lost", "no_answer", "The server did not answer in time."));
      }, patience * 1000);
    };
    request.upload.addEventListener("progress", (event) => {
      watch();
      if (event.lengthComputable) onprogress(event.loaded / event.total);
    });
    request.upload.addEventListener("load", () => onprogress(1));
    request.addEventListener("progress", () => {
      watch();
      const step = onstep && isLines(request) && linesOf(request).at(-1)?.progress;
      if (step) onstep(step.done, step.total);
    });
    request.addEventListener("load", () => {
      try {
        const retryAfter = request.getResponseHeader("Retry-After");
        done(isLines(request) ? lastOf(request) : understand(request.status, request.responseText, retryAfter));
      } catch (error) {
        fail(error);
      }
    });
    request.addEventListener("error", () => fail(new RequestError("lost", "no_answer", SILENT)));
    signal?.addEventListener("abort", abort);
    request.open("POST", address(path));
    for (const [name, value] of Object.entries(headers(onstep && LINES))) request.setRequestHeader(name, value);
    const form = new FormData();
    form.append("files", file, file.name);
    request.send(form);
    watch();
  });
}

const isLines = (request) => request.getResponseHeader("Content-Type")?.startsWith(LINES);

/** Return what the lines say that have come as a whole. */
const linesOf = (request) => request.responseText.split("\n").slice(0, -1).map((line) => JSON.parse(line));

/** Return the result in the last line, or fail with the error there. */
function lastOf(request) {
  const { result, error } = linesOf(request).at(-1) ?? {};
  if (error) throw new RequestError("refused", error.code, error.message);
  if (!result) throw new RequestError("lost", "no_answer", SILENT);
  return result;
}

function headers(accept = "application/json") {
  return { Accept: accept, ...(key && { Authorization: `Bearer ${key}` }) };
}

function understand(status, body, retryAfter) {
  let content = null;
  try {
    content = JSON.parse(body);
  } catch {
    // Told below.
  }
  if (status >= 200 && status < 300 && content !== null) return content;
  const said = typeof content?.error?.message === "string" ? content.error : null;
  const code = said?.code ?? `http_${status}`;
  if (status === 401) throw new RequestError("key", code, said?.message ?? "The server asks for a key.");
  if (status === 413 && !said) {
    const why = "A proxy in front of the server does not take a file of this size. Its operator can raise the limit (in nginx, client_max_body_size).";
    throw new RequestError("refused", code, why);
  }
  if (status === 502) throw new RequestError("lost", code, SILENT);
  if (status === 429 || status === 503) {
    const wait = Math.min(60, Math.max(1, Number(retryAfter) || 2));
    throw new RequestError("busy", code, said?.message ?? "The server is busy.", wait);
  }
  throw new RequestError("refused", code, said?.message ?? `The server gave an answer that this page does not understand (${status}).`);
}
