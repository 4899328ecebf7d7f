// The live page's worker: finds the faces of a frame, and has networks read them, each face by itself.
// Once it failed, the page takes another: what could not be had is asked for anew.

import { loadJson, netBytes } from "../nets.js";
import { noise, openNet, SIDE, startRuntime } from "../runtime.js";
import { CROP_SIDE, faceCrop } from "./crop.js";
import { faceFinder } from "./faces.js";
import { luma } from "./pixels.js";

const MOST_PIXELS = 50_000_000; // as lightfer predict
const opened = new Map();
let canvas = null;

const runtime = startRuntime();
const finder = loadJson("live/cascade.json").then(faceFinder);

let last = Promise.resolve(); // one frame after the other
self.addEventListener("message", ({ data }) => {
  last = last
    .then(() => looked(data))
    .catch((error) => ({ error: String(error.message || error) }))
    .then((found) => postMessage({ id: data.id, ...found }));
});

// `nets` are { name, mean, std, temperature }. A picture that is a crop already has the one box null.
async function looked({ frame, smallest, nets }) {
  const find = await finder,
    runs = await Promise.all(nets.map(net));
  const picture = greyOf(frame);
  const start = performance.now();
  const isCrop = Math.max(picture.width, picture.height) <= CROP_SIDE;
  const boxes = isCrop ? [null] : find(picture, smallest);
  const finding = performance.now() - start;
  const crops = boxes.map((box) => faceCrop(picture, box, SIDE));
  const read = [];
  for (const [i, run] of runs.entries()) {
    const inputs = crops.map((crop) => Float32Array.from(crop, (value) => (value / 255 - nets[i].mean) / nets[i].std));
    const from = performance.now(),
      logits = [];
    for (const input of inputs) logits.push(await run(input));
    const ms = (performance.now() - from) / crops.length;
    read.push({ name: nets[i].name, shares: logits.map((row) => softmax(row, nets[i].temperature ?? 1)), ms });
  }
  return { width: picture.width, height: picture.height, boxes, finding, read };
}

// Opened once, and warm when it is first timed.
function net({ name, file }) {
  if (!opened.has(name)) {
    const open = runtime.then(async () => {
      const run = await openNet(await netBytes({ name, file }));
      await run(noise());
      return run;
    });
    opened.set(name, open);
  }
  return opened.get(name);
}

function greyOf(frame) {
  const { width, height } = frame;
  if (width * height > MOST_PIXELS) throw new Error(`${width}×${height} pixels are too many: make the picture smaller`);
  if (canvas?.width !== width || canvas?.height !== height) canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // under what is transparent
  context.fillRect(0, 0, width, height);
  context.drawImage(frame, 0, 0);
  frame.close();
  return { grey: luma(context.getImageData(0, 0, width, height).data), width, height };
}

function softmax(logits, temperature) {
  const most = Math.max(...logits),
    shares = Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const sum = shares.reduce((a, b) => a + b);
  return shares.map((share) => share / sum);
}
