// From the visits of a benchmark to a results file of schema lightfer/1, and to what the report shows.

import { evenlyRanked, median, noiseVerdict, timeInterval } from "./statistics.js";

const RUNTIMES = { wasm: "onnxruntime-web", webgpu: "onnxruntime-webgpu" };

// A net's name in this site: that of its model, and of the precision of an exported file.
export const nameOf = ({ model, precision }) => (precision === "float32" ? model : `${model} ${precision}`);

// `shipped` is a results file of the nets without times, made with the site; `journal` what was
// measured, `device` what the visitor calls the device, `visitor` random characters of its own.
export function resultsOf({ shipped, journal, site, device, visitor }) {
  const nets = measured(journal);
  const environment = { ...environmentOf(journal, site, device), noise: noiseOf(nets, journal) };
  const machine = deviceKey(environment, visitor);
  const key = `${machine}-${hash(JSON.stringify(environment)).slice(0, 6)}`; // of this run
  const entries = shipped.entries.map((entry) => ({
    ...entryOf(entry, nets.get(nameOf(entry)), journal),
    id: `${machine}/${entry.model}/${entry.weights.slice(0, 8)}/${RUNTIMES[journal.backend]}-${entry.precision}`,
    environment: key,
  }));
  return { ...shipped, environments: { [key]: environment }, entries };
}

// Each net's rounds, with the yardstick beside each.
function measured(journal) {
  const nets = new Map();
  for (const visit of journal.visits) {
    if (!nets.has(visit.net)) nets.set(visit.net, { visits: [], errors: [], thrownAway: 0 });
    const found = nets.get(visit.net);
    found.thrownAway += visit.thrownAway ?? 0;
    if (visit.error) found.errors.push(visit.error);
    else found.visits.push(visit);
  }
  for (const net of nets.values()) {
    const fewest = Math.min(...net.visits.map((visit) => visit.samples.length)); // as many of each
    net.rounds = net.visits.map((visit) => evenlyRanked(visit.samples, fewest));
    net.yardstick = net.visits.map((visit) => visit.yardstick);
  }
  return nets;
}

function noiseOf(nets, journal) {
  return noiseVerdict([...nets.values()], journal.watched);
}

function environmentOf(journal, site, device) {
  return {
    cpu: device || "unknown processor (browsers hide its name)",
    cores: navigator.hardwareConcurrency || 1,
    threads: journal.threads,
    memory_bytes: null,
    gpu: journal.gpu && [device, journal.gpu].filter(Boolean).join(", "),
    system: /\(([^)]*)\)/.exec(navigator.userAgent)?.[1] ?? "unknown",
    python: "none",
    versions: { lightfer: site.version, "onnxruntime-web": journal.runtime, ...browser() },
    allocator: "browser",
    flush_denormal: false,
    code: site.version,
    command: "lightfer web",
    data: null,
    started: journal.started,
    yardstick: site.yardstick,
    protocol: journal.protocol,
  };
}

function browser() {
  const known = [
    ["Firefox", /Firefox\/([\d.]+)/],
    ["Edge", /Edg\/([\d.]+)/],
    ["Chromium", /(?:Chrome|Chromium|HeadlessChrome)\/([\d.]+)/],
    ["Safari", /Version\/([\d.]+).*Safari/],
  ];
  for (const [name, pattern] of known) {
    const found = pattern.exec(navigator.userAgent);
    if (found) return { [name]: found[1] };
  }
  return { browser: "unknown" };
}

// The device's short name: a hash of what is fixed and of something that no other visitor has ends it.
function deviceKey(environment, visitor) {
  const fixed = { ...environment, started: "", noise: null, protocol: null };
  const slug = environment.cpu.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "device";
  return `${slug.slice(0, 60)}-${environment.threads}t-${hash(visitor + JSON.stringify(fixed))}`;
}

// FNV-1a, twice: not a secret, and there where a page without https has no crypto.subtle.
function hash(text) {
  const half = (seed) => {
    let value = seed;
    for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193);
    return (value >>> 0).toString(16).padStart(8, "0");
  };
  return half(0x811c9dc5) + half(0x2166f3a1);
}

function entryOf(entry, net, journal) {
  const latency = [];
  if (net?.rounds.length)
    latency.push({
      batch_size: 1,
      threads: journal.threads,
      samples_s: net.rounds.flat(),
      median_s: median(net.rounds.flat()),
      rounds: net.rounds.length,
      clock: "wall",
      yardstick_s: net.yardstick,
      passes: net.visits.map((visit) => visit.count),
      p50_s: net.visits.map((visit) => visit.p50),
      p90_s: net.visits.map((visit) => visit.p90),
      p99_s: net.visits.map((visit) => visit.p99),
    });
  const failed = net?.errors.length
    ? `${net.errors.length} rounds failed twice: ${[...new Set(net.errors)].join("; ")}`
    : null;
  return {
    ...entry,
    device: journal.backend === "webgpu" ? "webgpu" : entry.device,
    runtime: RUNTIMES[journal.backend],
    runtime_version: journal.runtime,
    runtime_settings: {
      backend: journal.backend,
      opened: "once",
      threads: journal.threads,
      cross_origin_isolated: journal.isolated ? "yes" : "no",
      timer_step_us: Math.round(1e6 * journal.step),
      passes_per_sample: net?.visits.at(-1)?.passes ?? 0,
      blocks_thrown_away: net?.thrownAway ?? 0,
    },
    latency,
    load_s: journal.loading[nameOf(entry)] ?? null,
    error: failed,
  };
}

// What the report shows of it: the machine, and of each net its time with the interval, raw and as if
// the machine had been equally fast in all rounds, by the yardstick beside each.
export function shownOf(results, t) {
  const [[key, about]] = Object.entries(results.environments);
  const timed = results.entries.flatMap((entry) => entry.latency);
  const reference = timed.length ? median(timed.flatMap((latency) => latency.yardstick_s)) : null;
  const nets = Object.fromEntries(
    results.entries.map(({ model, precision, latency: [latency], error }) => {
      const name = nameOf({ model, precision });
      if (!latency) return [name, { error, time: null, raw: null }];
      const raw = rounds(latency).map(median);
      const corrected = raw.map((seconds, i) => (seconds * reference) / latency.yardstick_s[i]);
      return [name, { error, time: timeInterval(corrected, t), raw: timeInterval(raw, t) }];
    }),
  );
  const [{ runtime, device }] = results.entries;
  return { key, about, runtime, device, nets };
}

function rounds({ samples_s, rounds }) {
  const size = samples_s.length / rounds;
  return Array.from({ length: rounds }, (_, i) => samples_s.slice(i * size, (i + 1) * size));
}
