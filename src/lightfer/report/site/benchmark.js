// The benchmark's page: starts and stops the worker, keeps the journal, shows how far it is.

import { drop, keep, kept, stored, visitor } from "./kept.js";
import { load, loadJson } from "./nets.js";
import { makeOffline, settle } from "./offline.js";
import { PASSES, VERSION, visits, WARMUP } from "./protocol.js";
import { resultsOf, shownOf } from "./results.js";
import { graphicsProcessor } from "./runtime.js";
import { median } from "./statistics.js";

const by = (id) => document.getElementById(id);
const JOURNAL = "journal",
  RESULTS = "results",
  SHOWN = "shown",
  DEVICE = "device";

const site = await loadJson("site.json");
const names = site.nets.map((net) => net.name);
let worker = null,
  journal = null,
  shipped = null, // the results without times, which a run fills
  isStopping = false,
  since = 0; // when this run would have begun without breaks, in milliseconds of this page's clock

// Equal for runs that may be continued by one another.
const fingerprint = () => [site.build, crossOriginIsolated, navigator.userAgent].join(" ");

function unfinished() {
  const found = kept(JOURNAL);
  return found?.fingerprint === fingerprint() && found.visits.length ? found : null;
}

function fresh() {
  const rounds = Number(by("rounds").value),
    quick = rounds < 5;
  return {
    fingerprint: fingerprint(),
    started: new Date().toISOString().replace(/\.\d+Z$/, "+00:00"),
    protocol: {
      version: VERSION,
      quick,
      seconds: quick ? 0.25 : 1,
      passes: PASSES,
      warmup: WARMUP,
      rounds,
      batch_sizes: [1],
      seed: Math.floor(Math.random() * 2 ** 31),
      processes: false,
      garbage_collection: "the browser's",
      pinning: "the browser's",
    },
    backend: by("backend").value,
    threads: by("backend").value === "wasm" ? Number(by("threads").value) : 1,
    isolated: crossOriginIsolated,
    loading: {},
    watched: 0, // seconds
    visits: [],
  };
}

async function start(goingOn) {
  journal = (goingOn && unfinished()) || fresh();
  keep(JOURNAL, journal);
  isStopping = false;
  running(true);
  say("Starting ONNX Runtime Web …");
  try {
    await settle(site.build);
    [shipped] = await Promise.all([loadJson("shipped.json"), load("results.html")]); // kept from now on
    if (isStopping) stopped();
    else startWorker();
  } catch (error) {
    broken(error.message);
  }
}

function startWorker() {
  since = performance.now() - 1e3 * journal.watched;
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }) => {
    try {
      told(data);
    } catch (error) {
      broken(error.message);
    }
  });
  worker.addEventListener("error", (event) => broken(event.message || "the worker could not be started"));
  const { protocol } = journal;
  worker.postMessage({
    type: "start",
    nets: site.nets,
    order: visits(names, protocol.rounds, protocol.seed).slice(journal.visits.length),
    seconds: protocol.seconds,
    backend: journal.backend,
    threads: journal.threads,
    hidden: document.hidden,
  });
}

function told(data) {
  if (data.type === "runtime") Object.assign(journal, { runtime: data.version, step: data.step, gpu: data.gpu });
  else if (data.type === "opening") {
    say(`Opening ${data.net} (${data.done + 1} of ${data.of}) …`);
  } else if (data.type === "opened") journal.loading[data.net] = short(data.seconds);
  else if (data.type === "visit") visited(data);
  else if (data.type === "stopped") stopped();
  else if (data.type === "broken") broken(data.error);
  else if (data.type === "done") finish();
}

const short = (seconds) => Number(seconds.toPrecision(6));

function visited({ type, samples, ...visit }) {
  const figures = Object.entries({ ...visit, ...(samples && { samples }) });
  journal.visits.push(Object.fromEntries(figures.map(([name, value]) => [name, rounded(value)])));
  journal.watched = short((performance.now() - since) / 1e3);
  keep(JOURNAL, journal);
  drawProgress();
}

const rounded = (value) =>
  Array.isArray(value) ? value.map(short) : typeof value === "number" ? short(value) : value;

// Until there are results the journal stays: a run that fails here is one to go on with.
function finish() {
  const device = by("device").value.trim().slice(0, 80);
  const results = resultsOf({ shipped, journal, site, device, visitor: visitor() });
  const shown = shownOf(results, site.t);
  for (const name of [JOURNAL, RESULTS, SHOWN]) drop(name); // room, and no run that is older than this
  keep(RESULTS, results);
  keep(SHOWN, shown);
  ended(stored(SHOWN) && stored(RESULTS) ? "Finished." : "Finished. This browser could not keep the results: download them now.");
  showFinished();
}

function stopped() {
  ended(journal.visits.length ? "Stopped. Nothing is lost: “Go on” continues where it was." : "Stopped.");
}

function broken(error) {
  ended(`It did not work: ${error}`);
  by("status").classList.add("failed");
}

function ended(message) {
  worker?.terminate();
  worker = null;
  running(false);
  say(message);
}

function running(is) {
  by("start").hidden = by("again").hidden = is;
  by("stop").hidden = !is;
  by("status").classList.remove("failed");
  if (is) by("finished").hidden = true;
  else showStart();
  drawProgress();
}

function showStart() {
  const left = unfinished();
  by("start").textContent = left ? "Go on" : "Measure this device";
  by("again").hidden = !left;
}

function showFinished() {
  const results = kept(RESULTS);
  by("finished").hidden = !results;
  by("which").hidden = !stored(SHOWN);
  if (!results) return;
  const [about] = Object.values(results.environments);
  by("verdict").textContent = about.noise.reasons.length
    ? `This device was ${about.noise.verdict} while it measured: ${about.noise.reasons.join("; ")}. Close other tabs and programs and measure again for closer figures.`
    : "This device was quiet while it measured.";
}

function say(message) {
  by("status").textContent = message;
}

function drawProgress() {
  const done = journal?.visits ?? [],
    total = names.length * (journal?.protocol.rounds ?? 1);
  by("bar").max = total;
  by("bar").value = done.length;
  by("bar").hidden = !journal;
  if (worker && done.length) {
    const last = done.at(-1);
    say(`Measured ${last.net}, round ${last.round + 1} of ${journal.protocol.rounds} (${done.length} of ${total} visits)`);
  }
  for (const row of by("nets").tBodies[0].rows) {
    const found = done.filter((visit) => visit.net === row.dataset.net);
    const samples = found.flatMap((visit) => visit.samples ?? []);
    const error = found.find((visit) => visit.error)?.error;
    row.cells[4].textContent = samples.length ? (1e3 * median(samples)).toFixed(2) : error ? "failed" : "–";
    row.cells[5].textContent = journal ? `${found.length} of ${journal.protocol.rounds}` : "–";
  }
}

function drawNets() {
  const figure = (value, digits) => (value === null ? "–" : value.toFixed(digits));
  by("nets").tBodies[0].replaceChildren(
    ...site.nets.map((net) => {
      const row = document.createElement("tr");
      row.dataset.net = net.name;
      const head = document.createElement("th");
      head.scope = "row";
      head.append(...net.name.split(/(?<=[_ ])/).flatMap((part) => [part, document.createElement("wbr")]));
      const cells = [figure(net.top1 === null ? null : 100 * net.top1, 1), figure(net.params / 1e6, 2), figure(net.bytes / 1e6, 1), "–", "–"];
      row.append(
        head,
        ...cells.map((text) => Object.assign(document.createElement("td"), { className: "number", textContent: text })),
      );
      return row;
    }),
  );
}

function download() {
  const results = kept(RESULTS);
  const [key] = Object.keys(results.environments);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(results)}\n`], { type: "application/json" }));
  link.download = `lightfer-${key}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

document.addEventListener("visibilitychange", () => {
  worker?.postMessage({ type: "visibility", hidden: document.hidden });
  if (worker && document.hidden) say("Waiting: the tab is hidden, and hidden tabs are slowed down.");
});
by("start").addEventListener("click", () => start(true));
by("again").addEventListener("click", () => {
  drop(JOURNAL);
  start(false);
});
by("stop").addEventListener("click", () => {
  say("Stopping after this visit …");
  isStopping = true;
  worker?.postMessage({ type: "stop" });
});
by("download").addEventListener("click", download);
by("backend").addEventListener("change", offerThreads);
by("device").value = kept(DEVICE) ?? "";
by("device").addEventListener("change", () => keep(DEVICE, by("device").value.trim()));
by("clock").textContent = crossOriginIsolated
  ? "This page is isolated: its clock has steps of 5 µs."
  : "This page is not isolated: its clock has coarser steps, so several passes are timed together.";

// More than one thread needs memory that they share, which browsers give to isolated pages alone.
function offerThreads() {
  const most = crossOriginIsolated ? navigator.hardwareConcurrency || 1 : 1;
  by("threading").hidden = most < 2 || by("backend").value !== "wasm";
  by("threads").replaceChildren(...[1, 2, 4].filter((n) => n <= most).map((n) => new Option(n)));
}

async function offerGraphics() {
  if (!(await graphicsProcessor())) return;
  by("backend").append(new Option("the graphics processor (WebGPU)", "webgpu"));
  by("backends").hidden = false;
}

makeOffline(by("reload"));
startTheme();
offerThreads();
offerGraphics();
drawNets();
journal = unfinished();
showStart();
showFinished();
drawProgress();
document.body.dataset.ready = "true";
