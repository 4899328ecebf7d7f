// Which rows stand on the Pareto front, and which one to take. The rules of lightfer.results.stats.

// Whether the accuracies of two rows are told apart: by the table of their machine, else by intervals.
function accuracyDiffers(a, b) {
  if (a.accuracy === b.accuracy) return false;
  if (a.machine === b.machine) {
    const { place, flags, n } = apartTable(a.machine);
    return flags[place[a.accuracy] * n + place[b.accuracy]] === 1;
  }
  return a.score.top1[1] > b.score.top1[2] || b.score.top1[1] > a.score.top1[2];
}

// The bits of a machine's table, a byte each, made when first asked for.
const apartTables = new Map();
function apartTable(index) {
  if (!apartTables.has(index)) {
    const { used, apart } = machines[index],
      n = used.length;
    const place = new Int32Array(DATA.accuracies.length),
      flags = new Uint8Array(n * n);
    used.forEach((accuracy, i) => {
      place[accuracy] = i;
    });
    apart.forEach((line, i) => {
      const last = i * n + n - 1; // the last digit holds the last four
      for (let k = 0; k < line.length; k++) {
        const digit = parseInt(line[line.length - 1 - k], 16);
        for (let b = 0; b < 4 && 4 * k + b < n; b++) flags[last - 4 * k - b] = (digit >> b) & 1;
      }
    });
    apartTables.set(index, { place, flags, n });
  }
  return apartTables.get(index);
}

function costDiffers(cost, a, b) {
  const x = cost.of(a),
    y = cost.of(b);
  if (cost.exact || (x[1] === null && y[1] === null)) return x[0] !== y[0];
  if (x[1] === null || y[1] === null) return false;
  return x[1] > y[2] || y[1] > x[2];
}

// Row -> "front", "tied" or "dominated", among the rows of each machine. A row is beaten by another
// that is better on one axis and no worse on the other; surely, if what differs is told apart.
function standing(shown, cost) {
  const found = new Map(),
    groups = new Map();
  for (const row of shown) {
    const c = row.comparable && !row.error ? cost.of(row) : null;
    if (!c || !(c[0] > 0)) continue;
    if (!groups.has(row.machine)) groups.set(row.machine, []);
    groups.get(row.machine).push({ row, c: c[0], a: row.score.top1[0] });
  }
  for (const field of groups.values()) {
    field.sort((x, y) => x.c - y.c);
    for (const { row, c, a } of field) {
      let status = "front";
      for (const other of field) {
        if (other.c > c) break;
        if (other.a < a || (other.c === c && other.a === a)) continue;
        status = "tied";
        const surely =
          (other.c === c || costDiffers(cost, other.row, row)) &&
          (other.a === a || accuracyDiffers(other.row, row));
        if (surely) {
          status = "dominated";
          break;
        }
      }
      found.set(row, status);
    }
  }
  return found;
}

// The model to take: the rule of lightfer.report.choose, for any cost. Of those within the limits, all
// whose accuracy is not significantly different from the highest; of these the cheapest.
function choose(shown, cost, limits) {
  const able = shown.filter((row) => row.comparable && !row.error && cost.of(row));
  const set = limits.filter((limit) => limit.most !== null);
  const unknown = able.filter((row) => set.some((limit) => !limit.cost.of(row)));
  const fitting = able.filter((row) =>
    set.every(({ cost: c, most }) => c.of(row) && c.of(row)[0] * c.factor <= most),
  );
  const result = { able, fitting, unknown, pick: null, best: null, equals: [], others: [] };
  if (!fitting.length) return result;
  const best = fitting.reduce((a, b) => (b.score.top1[0] > a.score.top1[0] ? b : a));
  const equals = fitting.filter((row) => row === best || !accuracyDiffers(row, best));
  const cheaper = (a, b) => cost.of(a)[0] - cost.of(b)[0] || b.score.top1[0] - a.score.top1[0];
  const pick = [...equals].sort(cheaper)[0];
  const status = standing(fitting, cost);
  const others = fitting.filter(
    (row) =>
      status.get(row) === "front" && cost.of(row)[0] < cost.of(pick)[0] && costDiffers(cost, row, pick),
  );
  others.sort((a, b) => cost.of(b)[0] - cost.of(a)[0]);
  return { ...result, pick, best, equals: equals.filter((row) => row !== pick && row !== best), others };
}
