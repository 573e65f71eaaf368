// Judges images beside the page, which goes on meanwhile: reads them as they come, and scores in batches what is there.
import { readCredentials } from "./credentials.js";
import { readMetadata } from "./metadata.js";
import { loadRuntime, Model } from "./model.js";
import { decideTogether } from "./opinion.js";
import { keepsPixels, readPixels } from "./pixels.js";

const ROOT = new URL("../", import.meta.url);
const TOLERANCE = 1e-3; // Of a golden image's logit, as golden.py has it.
const GPU_TOLERANCE = 0.05;
const CHECK_MILLISECONDS = 3000;
const READERS = 4; // A large photograph takes a hundred megabytes until it is read.

const loading = load();
loading.catch(() => {}); // Told with each image.
const waiting = [];
let reading = 0;
let prepared = [];
let scoring = false;

addEventListener("message", ({ data }) => {
  waiting.push(data);
  while (waiting.length && reading < READERS) readNext();
});

async function readNext() {
  const { id, file, path, limits } = waiting.shift();
  reading++;
  try {
    const judge = await loading;
    const read = await prepare(judge, file, path, limits);
    prepared.push({ id, ...read });
    if (!scoring) scoreAll(judge);
  } catch (error) {
    const lost = ["NotReadableError", "NotFoundError"].includes(error.name); // The file itself is gone.
    postMessage({ id, error: { code: error.code ?? "page", message: error.message, lost } });
  }
  reading--;
  if (waiting.length) readNext();
}

async function prepare({ models }, file, path, { max_pixels }) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const { pixels, ...facts } = await readPixels(bytes, max_pixels);
  const image = { path, sha256: await hash(bytes), format: facts.format, width: facts.width, height: facts.height, frames: facts.frames };
  // An image out of scope gets no score: it would decide nothing.
  const inputs = models.map((model) => (model.fits(image) ? model.prepare({ ...facts, pixels }) : null));
  const evidence = [...(await readCredentials(bytes, facts.format)), ...(await readMetadata(bytes, image))];
  return { image, inputs, evidence };
}

async function scoreAll({ models, spec }) {
  scoring = true;
  try {
    while (prepared.length) {
      const batch = prepared;
      prepared = [];
      try {
        for (const [i, found] of (await score(models, spec, batch)).entries()) postMessage({ id: batch[i].id, found });
      } catch (error) {
        for (const { id } of batch) postMessage({ id, error: { code: "model", message: `The model failed: ${error.message}` } });
      }
    }
  } finally {
    scoring = false;
  }
}

async function score(models, spec, batch) {
  const said = [];
  for (const [place, model] of models.entries()) said.push(await model.judge(batch.map(({ inputs }) => inputs[place])));
  return batch.map(({ image, evidence }, i) => {
    const opinions = models.map((model, place) => ({ info: model.info, fits: model.fits(image), ...said[place][i] }));
    return decideTogether(image, opinions, spec, evidence);
  });
}

// ---- Begin

async function load() {
  if (!keepsPixels()) {
    throw new Error("This browser changes the pixels that a page reads, as a protection against tracking. Nothing can be judged so: allow it for this page, or use another browser.");
  }
  const spec = await (await fetch(new URL("v1/bundles.json", ROOT))).json();
  const adapter = spec.gpu && (await navigator.gpu?.requestAdapter().catch(() => null));
  // A fallback adapter is the CPU in disguise, and slower than the CPU itself.
  if (adapter && !adapter.info.isFallbackAdapter) {
    try {
      return await loadOn(true, spec);
    } catch {
      // It is the CPU, then.
    }
  }
  return loadOn(false, spec);
}

async function loadOn(gpu, spec) {
  const ort = await loadRuntime(gpu);
  const models = [];
  for (const [place, info] of spec.bundles.entries()) {
    const model = await Model.load(ort, info, new URL(`bundles/${place}/`, ROOT), gpu);
    await check(model, gpu ? GPU_TOLERANCE : TOLERANCE);
    models.push(model);
  }
  return { models, spec };
}

/**
 * Judge the bundle's golden images, and refuse to go on where this browser reads or scores them as something else; of a
 * model that takes long, as many as a few seconds allow, and at least one.
 */
async function check(model, tolerance) {
  const { golden, name } = model.info;
  const end = performance.now() + CHECK_MILLISECONDS;
  for (const { png, sha256, logit } of golden.vectors) {
    const image = await readPixels(Uint8Array.from(atob(png), (sign) => sign.charCodeAt(0)), Infinity);
    const inputs = model.prepare(image);
    const [found] = await model.judge([inputs]);
    const own = await hash(await new Blob(inputs).arrayBuffer());
    const difference = Math.abs(found.logit - logit) / Math.max(1, Math.abs(logit));
    if ((own !== null && own !== sha256) || !(difference <= tolerance)) {
      throw new Error(`This browser does not get the scores that the bundle ${name} had where it was made, so nothing is judged here. Another browser may judge it, and pyrite detect does.`);
    }
    if (performance.now() > end) return;
  }
}

/** Return the SHA-256 in hexadecimal; `null` of a page that came over plain HTTP, where browsers have none. */
async function hash(bytes) {
  if (!crypto.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
