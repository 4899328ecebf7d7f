// The statistics of a run, as lightfer.results.stats and lightfer.measure.noise compute them.

const ascending = (values) => [...values].sort((a, b) => a - b);

// Linear between the two nearest order statistics.
export function quantile(values, p) {
  const ordered = ascending(values),
    place = p * (ordered.length - 1),
    low = Math.floor(place),
    high = Math.min(low + 1, ordered.length - 1);
  return ordered[low] + (place - low) * (ordered[high] - ordered[low]);
}

export const median = (values) => quantile(values, 0.5);
export const lowerQuartile = (values) => quantile(values, 0.25);

// Of more than `most` samples those of evenly spaced ranks.
export function evenlyRanked(samples, most) {
  if (samples.length <= most) return samples;
  const ordered = ascending(samples);
  return Array.from({ length: most }, (_, i) => ordered[Math.floor(((i + 0.5) * samples.length) / most)]);
}

// [estimate, low, high] of the time of a net from one number per round, two to eleven of them: the
// Hodges-Lehmann pseudomedian of the logarithms and Student's t; `t` holds its quantiles of 97.5 % by
// degrees of freedom, from 1 on.
export function timeInterval(values, t) {
  if (values.length < 2) return [values[0], null, null];
  const logs = values.map(Math.log),
    n = logs.length;
  const estimate = median(logs.flatMap((a, i) => logs.slice(i).map((b) => (a + b) / 2)));
  const mean = logs.reduce((a, b) => a + b) / n,
    variance = logs.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1),
    half = t[n - 2] * Math.sqrt(variance / n);
  return [estimate, estimate - half, estimate + half].map(Math.exp);
}

// (slowest - fastest) / fastest of the closest majority of rounds, relative to the yardstick.
function roundSpread(nets) {
  const spreads = nets
    .filter((net) => net.rounds.length > 1)
    .map((net) => {
      const times = ascending(net.rounds.map((samples, i) => lowerQuartile(samples) / net.yardstick[i])),
        half = Math.floor(times.length / 2);
      const widths = times.slice(0, times.length - half).map((time, i) => times[i + half] / time);
      return Math.min(...widths) - 1;
    });
  return spreads.length ? median(spreads) : null;
}

// How much slower the slowest tenth is than the fastest tenth.
function middleSpread(values) {
  if (values.length < 2) return null;
  const ordered = ascending(values),
    tenth = Math.floor(ordered.length / 10);
  return ordered.at(-1 - tenth) / ordered[tenth] - 1;
}

const VERDICTS = ["quiet", "noisy", "unusable"];

// What a browser can know of the noise of its machine: the spread between rounds.
export function noiseVerdict(nets, seconds) {
  const rounds = roundSpread(nets),
    yardstick = middleSpread(nets.flatMap((net) => net.yardstick));
  const limits = [
    [rounds, 0.1, 0.35, "rounds differ by"],
    [yardstick, 0.1, Infinity, "the machine's own speed changed by"],
  ];
  const found = limits
    .filter(([value, noisy]) => value !== null && value >= noisy)
    .map(([value, , unusable, text]) => [value >= unusable ? 2 : 1, `${text} ${Math.round(100 * value)}%`]);
  return {
    verdict: VERDICTS[Math.max(0, ...found.map(([level]) => level))],
    reasons: found.map(([, text]) => text),
    seconds,
    load_before: null,
    load_after: null,
    other_cpu_share: null,
    steal_share: null,
    governor: null,
    throttle_events: null,
    round_spread: rounds,
    yardstick_spread: yardstick,
  };
}
