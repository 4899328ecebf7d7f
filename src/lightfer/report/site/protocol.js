// How one visit to a net is timed, as lightfer bench does it (version 3 of its protocol): the passes in
// two parts, each once the net is warm, the yardstick before, between and after. Times are in seconds.

import { generator } from "./random.js";
import { lowerQuartile, median } from "./statistics.js";

export const VERSION = 3,
  PASSES = 50, // samples of a visit, at least
  WARMUP = 10; // samples in a group of the warm-up
const STABLE = 0.05, // two groups whose medians differ by less are warm
  MAX_GROUPS = 20,
  PARTS = 2,
  YARDSTICK_SHARE = 0.05, // of a visit's seconds, for each block of the yardstick
  FEWEST = 4, // samples of such a block
  COOLED = 3, // passes before it, not timed: the net beside it had the caches
  STEPS = 50, // of the clock that a sample is to last; half of them at least
  COARSEST_S = 0.0021; // a coarser clock cannot time these nets in reasonable time

const now = () => performance.now() / 1e3;

// The smallest step of the clock: 5 microseconds in an isolated page, else 100 or more. Throws where it
// is too coarse.
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
  if (smallest <= COARSEST_S) return smallest;
  throw new Error(
    `this browser's clock has steps of ${Math.round(1e3 * smallest)} ms, which are too coarse: ` +
      "switch off its protection against fingerprinting for this page, or take another browser",
  );
}

// How many passes one sample holds, so that it lasts at least STEPS steps of the clock: by the fastest
// of some groups, as the first passes of a net are slow, and any may be on a busy machine.
export async function passesPerSample(pass, step) {
  for (let passes = 4; ; passes *= 2) {
    const taken = passes * Math.min(...(await samples({ pass, passes }, WARMUP)));
    if (taken >= STEPS * step) return Math.max(1, Math.ceil((STEPS * step * passes) / taken));
  }
}

// One visit to `net` beside `yardstick`, each { pass, passes }: the samples, and the yardstick's time.
// Where the machine proves to be faster than when `passes` was found, so that samples are short for
// the clock, all is done again.
export async function visit(net, yardstick, seconds, step) {
  for (;;) {
    const taken = [],
      beside = await block(yardstick, YARDSTICK_SHARE * seconds);
    for (let part = 0; part < PARTS; part++) {
      await warmUp(net);
      taken.push(...(await samples(net, Math.ceil(PASSES / PARTS), seconds / PARTS)));
      beside.push(...(await block(yardstick, YARDSTICK_SHARE * seconds)));
    }
    if (longEnough(net, taken, step) && longEnough(yardstick, beside, step))
      return { taken, yardstick: lowerQuartile(beside) };
  }
}

// Whether samples are long enough for the clock; if not, the next ones will be.
function longEnough(net, taken, step) {
  const shortest = net.passes * Math.min(...taken);
  if (shortest >= (STEPS / 2) * step) return true;
  net.passes = Math.ceil((net.passes * STEPS * step) / shortest);
  return false;
}

async function block(yardstick, seconds) {
  for (let i = 0; i < COOLED; i++) await yardstick.pass();
  return samples(yardstick, FEWEST, seconds);
}

async function warmUp(net) {
  for (let group = 0, before = null; group < MAX_GROUPS; group++) {
    const middle = median(await samples(net, WARMUP));
    if (before !== null && Math.abs(middle - before) <= STABLE * before) return;
    before = middle;
  }
}

// Seconds of a pass: at least `fewest` samples, and until they have taken `seconds`.
async function samples({ pass, passes }, fewest, seconds = 0) {
  const found = [];
  for (let left = seconds; found.length < fewest || left > 0; ) {
    const start = now();
    for (let i = 0; i < passes; i++) await pass();
    const taken = now() - start;
    if (taken > 0) found.push(taken / passes); // else the clock was set back
    left -= taken;
  }
  return found;
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
