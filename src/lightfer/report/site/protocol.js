// How one visit to a net is timed, as lightfer bench does it: warm until two groups agree, then
// samples; and how the visits are ordered. Times are in seconds.

import { generator } from "./random.js";
import { median } from "./statistics.js";

export const STABLE = 0.05, // two groups whose medians differ by less are warm
  MAX_GROUPS = 20,
  WARMUP = 10, // samples in a group
  PASSES = 50, // samples of a visit
  STEPS = 50, // of the clock that a sample is to last; half of them at least
  COARSEST_S = 0.0021; // a coarser clock cannot time these nets in reasonable time

const now = () => performance.now() / 1e3;

// The smallest step of the clock: 5 microseconds in an isolated page, else 100 or more.
export function clockStep() {
  let smallest = Infinity;
  const until = now() + 0.25;
  for (let seen = 0, last = now(); seen < 40 && last < until; ) {
    const next = now();
    if (next > last) {
      smallest = Math.min(smallest, next - last);
      seen += 1;
      last = next;
    }
  }
  return smallest;
}

// How many passes one sample holds, so that it lasts at least STEPS steps of the clock: by the fastest
// of some groups, as the first passes of a net are slow, and any may be on a busy machine.
export async function passesPerSample(pass, step) {
  for (let passes = 4; ; passes *= 2) {
    const taken = passes * Math.min(...(await samples(pass, passes, WARMUP)));
    if (taken >= STEPS * step) return Math.max(1, Math.ceil((STEPS * step * passes) / taken));
  }
}

// Seconds of each of PASSES samples of a net, { pass, passes }, once warm. Where the machine proves to
// be faster than when `passes` was found, so that samples are short for the clock, all is done again.
export async function visit(net, step) {
  for (;;) {
    await warmUp(net);
    const found = await samples(net.pass, net.passes, PASSES);
    const shortest = net.passes * Math.min(...found);
    if (shortest >= (STEPS / 2) * step) return found;
    net.passes = Math.ceil((net.passes * STEPS * step) / shortest);
  }
}

async function warmUp({ pass, passes }) {
  for (let group = 0, before = null; group < MAX_GROUPS; group++) {
    const middle = median(await samples(pass, passes, WARMUP));
    if (before !== null && Math.abs(middle - before) <= STABLE * before) return;
    before = middle;
  }
}

async function samples(pass, passes, count) {
  const found = [];
  while (found.length < count) {
    const seconds = await sample(pass, passes);
    if (seconds > 0) found.push(seconds); // a clock that was set back
  }
  return found;
}

async function sample(pass, passes) {
  const start = now();
  for (let i = 0; i < passes; i++) await pass();
  return (now() - start) / passes;
}

// All visits in their order: each round is shuffled anew, by a seed that is kept.
export function visits(names, rounds, seed) {
  const next = generator(seed),
    order = [];
  for (let round = 0; round < rounds; round++) {
    const shuffled = [...names];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = Math.floor((i + 1) * next());
      [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
    }
    order.push(...shuffled.map((net) => ({ net, round })));
  }
  return order;
}
