// One bundle with its model loaded into ONNX Runtime: images to logits, and to what calibration makes of them.
import { pAi, pReal, probability } from "./decision.js";
import { mergeLogits, prepare } from "./geometry.js";
import { readNovelty, typicality } from "./novelty.js";

const RUNTIME = new URL("../runtime/", import.meta.url);
const MOST_BYTES = 1_000_000; // of model inputs that are scored at a time: a network's first layers make several times as many
const MOST_THREADS = 4; // And half of the processors: the page, and what decodes for it, needs some.

/** Load ONNX Runtime: for the graphics processor, or for the CPU, with threads where the page may have them. */
export async function loadRuntime(gpu) {
  const at = (name) => new URL(name, RUNTIME).href;
  const ort = await import(at(gpu ? "ort.webgpu.min.js" : "ort.wasm.min.js"));
  ort.env.logLevel = "error";
  const core = `ort-wasm-simd-threaded${gpu ? ".asyncify" : ""}`;
  ort.env.wasm.wasmPaths = { mjs: at(`${core}.js`), wasm: at(`${core}.wasm`) };
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, Math.ceil(navigator.hardwareConcurrency / 2)) : 1;
  return ort;
}

export class Model {
  #ort;
  #session;
  #novelty;

  /** @param info as bundles.json has it; @param root where its files are */
  static async load(ort, info, root, gpu) {
    const model = new Model();
    model.#ort = ort;
    const novelty = info.novelty && fetchPart(root, "novelty.json").then((answer) => answer.json());
    const content = new Uint8Array(await (await fetchPart(root, "model.onnx")).arrayBuffer());
    model.#session = await ort.InferenceSession.create(content, {
      executionProviders: gpu ? ["webgpu", "wasm"] : ["wasm"],
      logSeverityLevel: 3,
      // Threads that wait in a loop take the processor from what decodes the next images.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
    model.#novelty = novelty && readNovelty(await novelty);
    model.info = { ...info, foreign_rate: model.#novelty ? model.#novelty.rate : 0 };
    return model;
  }

  fits({ width, height }) {
    const { min_side, max_side } = this.info.scope;
    return min_side <= Math.min(width, height) && (max_side === null || Math.max(width, height) <= max_side);
  }

  prepare(image) {
    return prepare(this.info.preprocess, image);
  }

  /** Return what this bundle says of images by their inputs; of one that it does not judge, these are `null`. */
  async judge(images) {
    const taken = images.filter(Boolean);
    const scores = await this.#score(taken.flat());
    let at = 0;
    return images.map((inputs) => {
      if (!inputs) return { logit: null, probability: null, p_real: null, p_ai: null, p_typical: null };
      const own = scores.slice(at, (at += inputs.length));
      const { calibration, preprocess } = this.info;
      const logit = mergeLogits(preprocess, own.map((score) => score.logit));
      const seen = own[0].features && own.map((score) => score.features);
      return {
        logit,
        probability: probability(calibration, logit),
        p_real: pReal(calibration, logit),
        p_ai: pAi(calibration, logit),
        p_typical: this.#novelty ? typicality(this.#novelty, inputs, seen, preprocess) : null,
      };
    });
  }

  /** Return the logit of each input, and its features where the model gives them and something asks for them. */
  async #score(inputs) {
    const { height, width } = this.info.preprocess;
    const size = 3 * height * width;
    const most = this.info.one_by_one ? 1 : Math.max(1, Math.floor(MOST_BYTES / size));
    const name = this.#session.outputNames.find((output) => output !== "features");
    const wanted = this.#novelty?.features ? [name, "features"] : [name];
    const scores = [];
    for (let start = 0; start < inputs.length; start += most) {
      const batch = inputs.slice(start, start + most);
      const data = new Uint8Array(batch.length * size);
      batch.forEach((pixels, i) => data.set(pixels, i * size));
      const tensor = new this.#ort.Tensor("uint8", data, [batch.length, height, width, 3]);
      const found = await this.#session.run({ [this.#session.inputNames[0]]: tensor }, wanted);
      const [logits, features] = wanted.map((output) => found[output].data);
      if (logits.length !== batch.length || !logits.every(Number.isFinite)) throw new Error("The model gave no number for an image.");
      const each = features && features.length / batch.length;
      batch.forEach((_, i) => scores.push({ logit: logits[i], features: features?.slice(i * each, (i + 1) * each) }));
    }
    return scores;
  }
}

async function fetchPart(root, name) {
  const answer = await fetch(new URL(name, root));
  if (!answer.ok) throw new Error(`${name} of the bundle cannot be loaded (${answer.status}).`);
  return answer;
}
