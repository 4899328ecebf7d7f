// Which rows stand on the Pareto front, and which one to take. The rules of lightfer.report.rank.

// The rows that are compared with one another: those of one variant, as in `lightfer rank`, where all
// that are shown are of one, else those of their machine.
const SETS = DATA.sets.map((set) => ({
  ...set,
  accuracy: set.accuracy.map((place) => DATA.accuracyTables[place]),
}));
const variantOf = (row) => `${row.machine} ${row.variant}`;
const setOfVariant = new Map(),
  setOfMachine = new Map();
for (const set of SETS) {
  const members = set.rows.map((index) => rows[index]),
    [first] = members;
  if (members.every((row) => variantOf(row) === variantOf(first))) setOfVariant.set(variantOf(first), set);
  if (members.length === rows.filter((row) => row.machine === first.machine).length)
    setOfMachine.set(first.machine, set);
}
const setOf = (row) => (view.together ? setOfMachine.get(row.machine) : setOfVariant.get(variantOf(row)));

// Whether the table among some that holds both says that they differ; undefined where none holds both.
function tested(tables, kind, a, b) {
  for (const table of tables) {
    table.place ??= new Map(table.of.map((of, i) => [of, i]));
    const i = table.place.get(a),
      j = table.place.get(b);
    if (i === undefined || j === undefined) continue;
    table.flags ??= {};
    table.flags[kind] ??= unpacked(table[kind]);
    return table.flags[kind][i * table.of.length + j] === 1;
  }
}

// The bits of a table, a byte each.
function unpacked(lines) {
  const n = lines.length,
    flags = new Uint8Array(n * n);
  lines.forEach((line, i) => {
    const last = i * n + n - 1; // the last digit holds the last four
    for (let k = 0; k < line.length; k++) {
      const digit = parseInt(line[line.length - 1 - k], 16);
      for (let b = 0; b < 4 && 4 * k + b < n; b++) flags[last - 4 * k - b] = (digit >> b) & 1;
    }
  });
  return flags;
}

// Whether two rows differ significantly, as lightfer.report.significance has it.
function accuracyDiffers(a, b, kind = "differ") {
  if (a.accuracy === b.accuracy) return false;
  const set = setOf(a),
    tables = setOf(b) === set ? set.accuracy : [];
  return tested(tables, kind, a.accuracy, b.accuracy) ?? apart(a.score.top1, b.score.top1);
}

// The same where one row is compared with the others: fewer tests are corrected together.
const differsFrom = (one, row) => accuracyDiffers(one, row, "differFrom");

function costDiffers(cost, a, b) {
  if (cost.exact) return cost.of(a)[0] !== cost.of(b)[0];
  const set = setOf(a),
    tables = (setOf(b) === set && set.times[cost.time]) || [];
  return tested(tables, "differ", a.index, b.index) ?? apart(cost.of(a), cost.of(b));
}

// Whether two intervals share no point; without an interval nothing is known to differ.
const apart = (x, y) => x[1] !== null && y[1] !== null && (x[1] > y[2] || y[1] > x[2]);

// Whether a cost is known; a time of one round has no interval, and nothing is known to differ from it.
const isKnown = (cost, row) => (cost.time ? (cost.of(row)?.[1] ?? null) : cost.of(row)) !== null;
const isAble = (cost, row) => row.comparable && !row.error && isKnown(cost, row);
const noneAble = (cost) =>
  `No model here that did not fail has both an accuracy and this ${cost.time ? "time of two rounds or more" : "cost"}.`;

// Row -> "front", "tied" or "dominated", among the rows of each machine. A row is beaten by another
// that is better on one axis and no worse on the other; surely, if what differs does so significantly.
function standing(shown, cost) {
  const found = new Map(),
    groups = new Map();
  for (const row of shown) {
    if (!isAble(cost, row)) continue;
    const c = cost.of(row);
    if (!(c[0] > 0)) continue;
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
  const able = shown.filter((row) => isAble(cost, row));
  const set = limits.filter((limit) => limit.most !== null);
  const unknown = able.filter((row) => set.some((limit) => !limit.cost.of(row)));
  const fitting = able.filter((row) =>
    set.every(({ cost: c, most }) => c.of(row) && c.of(row)[0] * c.factor <= most),
  );
  const result = { able, fitting, unknown, pick: null, best: null, equals: [], others: [] };
  if (!fitting.length) return result;
  const best = fitting.reduce((a, b) => (b.score.top1[0] > a.score.top1[0] ? b : a));
  const equals = fitting.filter((row) => row === best || !differsFrom(best, row));
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
