// Which rows stand on the Pareto front, and which one to take. The same rules as lightfer.stats.

// Whether the accuracies of two rows are told apart: by the table of their machine, else by intervals.
function accuracyDiffers(a, b) {
  if (a.accuracy === b.accuracy) return false;
  if (a.machine === b.machine) return machineApart(a.machine)(a.accuracy, b.accuracy);
  return a.score.top1[1] > b.score.top1[2] || b.score.top1[1] > a.score.top1[2];
}

const apartTables = new Map();
function machineApart(index) {
  if (!apartTables.has(index)) {
    const { used, apart } = machines[index];
    const place = new Map(used.map((accuracy, i) => [accuracy, i]));
    const lines = apart.map((line) => BigInt(`0x${line}`));
    const n = used.length;
    apartTables.set(index, (a, b) => Boolean((lines[place.get(a)] >> BigInt(n - 1 - place.get(b))) & 1n));
  }
  return apartTables.get(index);
}

function costDiffers(cost, a, b) {
  const x = cost.of(a), y = cost.of(b);
  if (cost.exact || (x[1] === null && y[1] === null)) return x[0] !== y[0];
  if (x[1] === null || y[1] === null) return false;
  return x[1] > y[2] || y[1] > x[2];
}

// Whether `a` beats `b`: better on one axis and no worse on the other; `surely` counts only what is told apart.
function beats(cost, a, b, surely) {
  const cheaper = cost.of(b)[0] - cost.of(a)[0], better = a.score.top1[0] - b.score.top1[0];
  if (cheaper < 0 || better < 0) return false;
  if (surely && cheaper > 0 && !costDiffers(cost, a, b)) return false;
  if (surely && better > 0 && !accuracyDiffers(a, b)) return false;
  return cheaper > 0 || better > 0;
}

// Row -> "front", "tied" or "dominated", among the rows of each machine.
function standing(shown, cost) {
  const found = new Map();
  const usable = shown.filter((row) => row.comparable && !row.error && cost.of(row) && cost.of(row)[0] > 0);
  for (const machine of new Set(usable.map((row) => row.machine))) {
    const field = usable.filter((row) => row.machine === machine);
    field.sort((a, b) => cost.of(a)[0] - cost.of(b)[0]);
    for (const row of field) {
      let status = "front";
      for (const other of field) {
        if (cost.of(other)[0] > cost.of(row)[0]) break;
        if (other === row || !beats(cost, other, row, false)) continue;
        status = "tied";
        if (beats(cost, other, row, true)) { status = "dominated"; break; }
      }
      found.set(row, status);
    }
  }
  return found;
}

// The model to take: of those within the limits, all that are not told apart from the most accurate,
// and of these the cheapest. Where costs are not told apart either, the more accurate one.
function choose(shown, cost, limits) {
  const able = shown.filter((row) => row.comparable && !row.error && cost.of(row));
  const set = limits.filter((limit) => limit.most !== null);
  const unknown = able.filter((row) => set.some((limit) => !limit.cost.of(row)));
  const fitting = able.filter((row) => set.every(({ cost: c, most }) => c.of(row) && c.of(row)[0] * c.factor <= most));
  const result = { able, fitting, unknown, pick: null, best: null, equals: [], others: [] };
  if (!fitting.length) return result;
  const best = fitting.reduce((a, b) => (b.score.top1[0] > a.score.top1[0] ? b : a));
  const equals = fitting.filter((row) => row === best || !accuracyDiffers(row, best));
  const cheapest = equals.reduce((a, b) => (cost.of(b)[0] < cost.of(a)[0] ? b : a));
  const asCheap = equals.filter((row) => row === cheapest || !costDiffers(cost, row, cheapest));
  const pick = asCheap.reduce((a, b) => (b.score.top1[0] > a.score.top1[0] ? b : a));
  const status = standing(fitting, cost);
  const others = fitting.filter((row) => row !== pick && status.get(row) === "front" && cost.of(row)[0] < cost.of(pick)[0]);
  others.sort((a, b) => cost.of(b)[0] - cost.of(a)[0]);
  return { ...result, pick, best, equals: equals.filter((row) => row !== pick), others };
}
