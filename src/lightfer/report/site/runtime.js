// ONNX Runtime Web: loaded once in a worker, and a net opened in it.

import { env, InferenceSession, Tensor } from "./ort/ort.wasm.min.mjs";
import { load } from "./nets.js";
import { generator } from "./random.js";

export const SIDE = 48;

export async function startRuntime(threads = 1) {
  env.logLevel = "error";
  env.wasm.numThreads = threads;
  env.wasm.wasmBinary ??= (await load("ort/ort-wasm-simd-threaded.wasm.gz")).buffer;
  return env.versions.web;
}

// An ONNX model -> a function of faces, float32 (n, 1, 48, 48) as one array, to logits (n, 7).
export async function openNet(bytes) {
  const session = await InferenceSession.create(bytes, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
  const [input] = session.inputNames,
    [output] = session.outputNames;
  return async (faces) => {
    const image = new Tensor("float32", faces, [faces.length / SIDE ** 2, 1, SIDE, SIDE]);
    return (await session.run({ [input]: image }))[output].data;
  };
}

// Noise in place of faces, normalised: a convolution takes as long on any pixels.
export function noise(images = 1, { mean, std } = { mean: 0.508, std: 0.255 }) {
  const next = generator(0);
  return Float32Array.from(
    { length: images * SIDE ** 2 },
    () => (Math.floor(256 * next()) / 255 - mean) / std,
  );
}
