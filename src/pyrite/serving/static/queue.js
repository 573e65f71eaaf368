// The files that wait to be judged: a few at a time, and none lost when the server is.
import { PARALLEL } from "./place.js";
import { isReady, postFile } from "./server.js";

const PAUSES = [1, 2, 3, 5]; // seconds between looks for a server that is gone; then the last again and again
const CUTS = 3; // So often may sending one file break off while the server is well.

/**
 * Judge files one after the other.
 *
 * Each entry is `{file, name, order, state, sent, detection, model}`; `state` goes from `waiting` over `sending` and `judging`
 * to `done`, and back to `waiting` where there was no answer.
 */
export class Queue {
  #waiting = [];
  #running = new Set();
  #limits = null;
  #held = true;

  /**
   * @param hooks `changed(entry)`; `model(entry)` gives what judged it; `status(state, error)`: `well`, `lost`, `busy`
   *   or `key`; `returned()`: the server is back, and may be another
   */
  constructor(hooks) {
    this.hooks = hooks;
  }

  /** Begin, or go on, with a server of these limits. */
  start(limits) {
    this.#limits = limits;
    this.#held = false;
    this.#pump();
  }

  add(entries) {
    this.#waiting.push(...entries);
    this.#pump();
  }

  /** Take an entry out, whatever becomes of it. */
  remove(entry) {
    this.#waiting = this.#waiting.filter((other) => other !== entry);
    entry.stop?.abort();
  }

  get unfinished() {
    return new Set([...this.#waiting, ...this.#running]).size; // One that was put back is in both for a moment.
  }

  #pump() {
    while (!this.#held && this.#waiting.length && this.#running.size < PARALLEL) this.#judge(this.#waiting.shift());
  }

  async #judge(entry) {
    this.#running.add(entry);
    try {
      entry.detection = await this.#ask(entry);
      entry.model = await this.hooks.model(entry.detection);
      entry.state = "done";
    } catch (error) {
      if (error.kind !== "ended") await this.#failed(entry, error);
    } finally {
      this.#running.delete(entry);
    }
    if (!entry.stop.signal.aborted) this.hooks.changed(entry);
    this.#pump();
  }

  async #ask(entry) {
    const { max_bytes, timeout_seconds } = this.#limits;
    entry.stop = new AbortController();
    if (entry.file.size > max_bytes) {
      const message = `The file is larger than the limit of ${max_bytes.toLocaleString("en")} bytes.`;
      return unread(entry, { code: "too_many_bytes", message });
    }
    const progress = (sent) => {
      entry.state = sent < 1 ? "sending" : "judging";
      entry.sent = sent;
      this.hooks.changed(entry);
    };
    progress(0);
    const answer = await postFile("v1/detect", entry.file, {
      patience: timeout_seconds + 30,
      onprogress: progress,
      signal: entry.stop.signal,
    });
    const [found] = answer.detections ?? [];
    if (!found) return unread(entry, { code: "no_detection", message: "The server's answer has no verdict in it." });
    return { ...found, path: entry.name };
  }

  async #failed(entry, error) {
    entry.state = "waiting";
    entry.sent = 0;
    if (error.kind === "busy" || error.kind === "key") {
      this.#putBack(entry);
      this.#hold(error);
    } else if (error.kind !== "lost") {
      this.#give(entry, error.code ?? "page", error.message);
    } else if (await isGone(entry.file)) {
      this.#give(entry, "unreadable", "The file cannot be read any more: it was moved, renamed or changed since.");
    } else {
      const well = await isReady();
      entry.cuts = (entry.cuts ?? 0) + (well ? 1 : 0);
      if (entry.cuts >= CUTS) {
        this.#give(entry, "cut_off", "The file could not be sent: each time, the connection was cut off on the way. A proxy may not take files of this size.");
      } else {
        this.#putBack(entry);
        if (!well) this.#hold(error);
      }
    }
  }

  #putBack(entry) {
    this.#waiting.push(entry);
    this.#waiting.sort((a, b) => a.order - b.order);
  }

  #give(entry, code, message) {
    entry.detection = unread(entry, { code, message });
    entry.state = "done";
  }

  /** Stop sending until there is a reason to go on. */
  async #hold(error) {
    if (this.#held) return;
    this.#held = true;
    const { kind, wait } = error;
    this.hooks.status(kind, error);
    if (kind === "key") return; // The page goes on by `start`.
    if (kind === "busy") await sleep(wait);
    else {
      for (let i = 0; !(await isReady()); i++) await sleep(PAUSES[Math.min(i, PAUSES.length - 1)]);
      if (!(await this.hooks.returned())) return;
    }
    this.hooks.status("well");
    this.#held = false;
    this.#pump();
  }
}

/** Return what stands for a file that got no verdict: the same fields as a detection. */
function unread(entry, error) {
  const nothing = (...names) => Object.fromEntries(names.map((name) => [name, null]));
  return {
    path: entry.name,
    ...nothing("sha256", "format", "width", "height", "frames"),
    verdict: "uncertain",
    ...nothing("probability", "logit"),
    reason: "unreadable",
    explanation: error.message,
    ...nothing("p_real", "p_ai", "max_fpr"),
    evidence: [],
    model: null,
    error,
  };
}

async function isGone(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return false;
  } catch {
    return true;
  }
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
