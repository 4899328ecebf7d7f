// The benchmark in a worker: opens the nets, then visits them in the order it is given. After each
// visit it listens: a hidden tab makes it wait, and what was measured meanwhile is thrown away.

import { netBytes } from "./nets.js";
import { graphicsProcessor, noise, openNet, startRuntime } from "./runtime.js";
import { clockStep, passesPerSample, visit } from "./protocol.js";
import { evenlyRanked, quantile } from "./statistics.js";

const YARDSTICK = "yardstick",
  MOST_KEPT = 200,
  ROTATING = 16; // images that are shown in turn
const tab = { hidden: false, disturbed: false, stopped: false };

self.addEventListener("message", ({ data }) => {
  if (data.type === "start")
    run(data).catch((error) => postMessage({ type: "broken", error: String(error.message || error) }));
  else if (data.type === "stop") tab.stopped = true;
  else if (data.type === "visibility") {
    tab.hidden = data.hidden;
    tab.disturbed ||= data.hidden;
  }
});

const listen = () => new Promise((resolve) => setTimeout(resolve, 5));

async function run({ nets, order, seconds, backend, threads, hidden }) {
  tab.hidden = hidden;
  const step = clockStep();
  const gpu = backend === "webgpu" ? await graphicsProcessor() : null;
  postMessage({ type: "runtime", version: await startRuntime(threads, backend), step, gpu });
  const opened = await open([{ name: YARDSTICK, file: "yardstick.onnx" }, ...nets], step);
  for (const { net, round } of order) {
    if (tab.stopped) break;
    const { error } = opened.get(net);
    const found = error ? { error } : await visited(opened, net, seconds, step);
    if (!tab.stopped) postMessage({ type: "visit", net, round, ...found });
  }
  postMessage({ type: tab.stopped ? "stopped" : "done" });
}

async function open(nets, step) {
  const opened = new Map();
  for (const [i, about] of nets.entries()) {
    const { name } = about;
    await listen();
    if (tab.stopped) break;
    postMessage({ type: "opening", net: name, done: i, of: nets.length });
    try {
      const bytes = await netBytes(about);
      const start = performance.now();
      const net = await openNet(bytes);
      postMessage({ type: "opened", net: name, seconds: (performance.now() - start) / 1e3 });
      const pass = rotating(net);
      opened.set(name, { pass, passes: await passesPerSample(pass, step) });
    } catch (error) {
      if (name === YARDSTICK) throw error;
      opened.set(name, { error: String(error.message || error) });
    }
  }
  return opened;
}

// A pass of one image after the other: a cache that knows the one image flatters.
function rotating(net) {
  const faces = noise(ROTATING),
    size = faces.length / ROTATING;
  const each = Array.from({ length: ROTATING }, (_, i) => faces.slice(i * size, (i + 1) * size));
  let next = 0;
  return () => net(each[next++ % ROTATING]);
}

// One undisturbed visit, with the yardstick before it; a failing one is tried once more.
async function visited(opened, name, seconds, step) {
  const net = opened.get(name),
    beside = opened.get(YARDSTICK);
  let thrownAway = 0;
  for (let tries = 2; ; ) {
    while (tab.hidden && !tab.stopped) await listen();
    tab.disturbed = tab.hidden;
    try {
      const { taken, yardstick } = await visit(net, beside, seconds, step);
      await listen();
      if (tab.stopped || !tab.disturbed)
        return { ...round(taken, net.passes), yardstick, thrownAway };
      thrownAway += 1;
    } catch (error) {
      tries -= 1;
      if (!tries) return { error: String(error.message || error), thrownAway };
    }
  }
}

// What is kept of a visit: at most `MOST_KEPT` samples of evenly spaced ranks, and the percentiles of
// all, where each is one pass.
function round(taken, passes) {
  const known = (p) => passes === 1 && taken.length * (1 - p) >= 10 - 1e-9;
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((p) => (known(p) ? quantile(taken, p) : null));
  return { samples: evenlyRanked(taken, MOST_KEPT), count: passes * taken.length, passes, p50, p90, p99 };
}
