// ONNX Runtime Web: one of its builds, loaded once in a worker, and a net opened in it.

import { load } from "./nets.js";
import { generator } from "./random.js";

export const SIDE = 48;
const BUILDS = {
  wasm: { module: "./ort/ort.wasm.min.mjs", binary: "ort/ort-wasm-simd-threaded.wasm.gz" },
  webgpu: { module: "./ort/ort.webgpu.min.mjs", binary: "ort/ort-wasm-simd-threaded.asyncify.wasm.gz" },
};
let ort = null, // the build that was started
  options = null;

// What a graphics processor is called, or null where the browser offers none. Many hide its name.
export async function graphicsProcessor() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter) return null;
  const { vendor, architecture, description } = adapter.info ?? {};
  return [description || vendor, architecture].filter(Boolean).join(" ") || "unknown graphics processor";
}

// `backend` is "wasm", or "webgpu", which runs every operation there or refuses the net.
export async function startRuntime(threads = 1, backend = "wasm") {
  const { module, binary } = BUILDS[backend];
  ort = await import(module);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary ??= (await load(binary)).buffer;
  options = { executionProviders: [backend], graphOptimizationLevel: "all" };
  if (backend === "webgpu")
    Object.assign(options, {
      extra: { session: { disable_cpu_ep_fallback: "1" } },
      freeDimensionOverrides: { N: 1 }, // one image: shapes are then known, and nothing is left to the CPU
    });
  return ort.env.versions.web;
}

// An ONNX model -> a function of faces, float32 (n, 1, 48, 48) as one array, to logits (n, 7).
export async function openNet(bytes) {
  const session = await ort.InferenceSession.create(bytes, options);
  const [input] = session.inputNames,
    [output] = session.outputNames;
  return async (faces) => {
    const image = new ort.Tensor("float32", faces, [faces.length / SIDE ** 2, 1, SIDE, SIDE]);
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
