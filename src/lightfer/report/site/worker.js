// The benchmark in a worker: opens the nets, then visits them in the order it is given. After each
// visit it listens: a hidden tab makes it wait, and what was measured meanwhile is thrown away.

import { load, netBytes } from "./nets.js";
import { noise, openNet, startRuntime } from "./runtime.js";
import { clockStep, COARSEST_S, passesPerSample, visit } from "./protocol.js";
import { lowerQuartile } from "./statistics.js";

const YARDSTICK = "yardstick";
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

async function run({ nets, order, hidden }) {
  tab.hidden = hidden;
  const step = clockStep();
  if (!(step <= COARSEST_S))
    throw new Error(
      `this browser's clock has steps of ${(1e3 * step).toFixed(0)} ms, which are too coarse: ` +
        "switch off its protection against fingerprinting for this page, or take another browser",
    );
  postMessage({ type: "runtime", version: await startRuntime(), step });
  const opened = await open([YARDSTICK, ...nets], step);
  for (const { net, round } of order) {
    if (tab.stopped) break;
    const { error } = opened.get(net);
    const found = error ? { error } : await visited(opened, net, step);
    if (!tab.stopped) postMessage({ type: "visit", net, round, ...found });
  }
  postMessage({ type: tab.stopped ? "stopped" : "done" });
}

async function open(names, step) {
  const opened = new Map(),
    face = noise();
  for (const [i, name] of names.entries()) {
    await listen();
    if (tab.stopped) break;
    postMessage({ type: "opening", net: name, done: i, of: names.length });
    try {
      const net = await openNet(await (name === YARDSTICK ? load("yardstick.onnx") : netBytes(name)));
      const pass = () => net(face);
      opened.set(name, { pass, passes: await passesPerSample(pass, step) });
    } catch (error) {
      if (name === YARDSTICK) throw error;
      opened.set(name, { error: String(error.message || error) });
    }
  }
  return opened;
}

// One undisturbed visit, with the yardstick before it; a failing one is tried once more.
async function visited(opened, name, step) {
  const net = opened.get(name),
    beside = opened.get(YARDSTICK);
  let thrownAway = 0;
  for (let tries = 2; ; ) {
    while (tab.hidden && !tab.stopped) await listen();
    tab.disturbed = tab.hidden;
    try {
      const yardstick = lowerQuartile(await visit(beside, step));
      const samples = await visit(net, step);
      await listen();
      if (tab.stopped || !tab.disturbed)
        return { samples, yardstick, passes: net.passes, thrownAway };
      thrownAway += 1;
    } catch (error) {
      tries -= 1;
      if (!tries) return { error: String(error.message || error), thrownAway };
    }
  }
}
