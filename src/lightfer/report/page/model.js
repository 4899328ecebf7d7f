// The data of the page as objects, the costs that there are, and how figures are written.

const DATA = JSON.parse(document.getElementById("data").textContent);

const rows = DATA.rows.map((values, index) => {
  const row = { index };
  DATA.columns.forEach((name, i) => {
    row[name] = values[i];
  });
  row.score = row.accuracy === null ? null : DATA.accuracies[row.accuracy];
  row.card = row.weights !== null && Object.hasOwn(DATA.cards, row.weights) ? DATA.cards[row.weights] : null;
  return row;
});

const machines = DATA.machines.map((machine, index) => {
  const about = machine.about;
  const chip = about ? about.gpu || about.cpu : machine.id;
  return { ...machine, index, name: about ? `${chip}, ${about.threads} thread${about.threads === 1 ? "" : "s"}` : `${chip} (not described)` };
});
for (const machine of machines) {
  const twins = machines.filter((other) => other.name === machine.name);
  if (twins.length > 1)
    twins.forEach((twin) => {
      twin.name += ` (${twin.id})`;
    });
}

// Two rows of one name on one machine are told apart by the start of their weights' hash.
const names = new Map();
const devices = new Set(rows.map((row) => row.device)).size;
for (const row of rows) {
  const eager = row.runtime === "pytorch" && row.precision === "float32";
  row.way = `${row.runtime} ${row.precision}`;
  row.variant = `${row.device} ${row.way}`;
  row.teachers = row.card?.distillation?.teachers.map((teacher) => teacher.model) ?? [];
  row.plain = row.model;
  const told = [row.model, eager ? "" : row.way, devices > 1 ? row.device : ""];
  row.full = told.filter(Boolean).join(" · ");
  const key = `${row.machine} ${row.full}`;
  names.set(key, (names.get(key) || []).concat(row));
}
for (const same of names.values()) {
  if (same.length > 1)
    same.forEach((row) => {
      const training = ` · ${row.weights ? row.weights.slice(0, 8) : "random weights"}`;
      row.full += training;
      row.plain += training;
    });
}
// A name may hold characters that turn the direction of what follows: they end with the name.
const kept = (name) =>
  /[\u0590-\u08ff\u202a-\u202e\u2066-\u2069]/.test(name) ? `\u2068${name}\u2069` : name;
// The runtime and precision are part of the name where several of them are shown.
for (const row of rows)
  Object.defineProperty(row, "name", { get: () => kept(view.together ? row.full : row.plain) });
for (const row of rows)
  row.search =
    `${row.model} ${row.family} ${row.way} ${row.device} ${row.recipe || ""} ${machines[row.machine].name}`.toLowerCase();

// A cost: what is on the axis, in which unit, and whether it is of a machine or of the net alone.
const batches = [...new Set(rows.flatMap((row) => Object.keys(row.times)))].sort(
  (a, b) => parseInt(a) - parseInt(b) || a.localeCompare(b),
);
const COSTS = [
  ...batches.map((key) => ({
    key: `time ${key}`,
    time: key,
    label:
      key === "1"
        ? "Time of one image"
        : `Time per image, ${key.replace(" ", " images at once, ")}${key.includes(" ") ? "" : " images at once"}`,
    short: key === "1" ? "1 image" : `${key} images, each`,
    unit: "ms",
    factor: 1e3,
    exact: false,
    verb: "faster",
    of: (row) => row.times[key] || null,
  })),
  {
    key: "energy",
    label: "Energy per image",
    short: "Energy",
    unit: "mJ",
    factor: 1e3,
    exact: false,
    verb: "less energy",
    of: (row) => row.energy,
  },
  {
    key: "carbon",
    label: "Emissions of a million images",
    short: "Emissions, 1M images",
    unit: "g CO₂e",
    factor: 1e3,
    exact: false,
    verb: "less CO₂e",
    of: (row) => row.carbon,
  },
  {
    key: "macs",
    label: "FLOPs per image",
    short: "FLOPs",
    unit: "M",
    factor: 2e-6, // of multiply-adds
    exact: true,
    verb: "fewer FLOPs",
    of: (row) => single(row.macs),
  },
  {
    key: "params",
    label: "Parameters",
    short: "Parameters",
    unit: "M",
    factor: 1e-6,
    exact: true,
    verb: "fewer parameters",
    of: (row) => single(row.params),
  },
  {
    key: "stored",
    label: "Stored size",
    short: "Size",
    unit: "MB",
    factor: 1e-6,
    exact: true,
    verb: "smaller",
    of: (row) => single(row.stored),
  },
  {
    key: "activation",
    label: "Largest activations of one image",
    short: "Activations",
    unit: "MB",
    factor: 1e-6,
    exact: true,
    verb: "less memory",
    of: (row) => single(row.activation),
  },
].filter((cost) => rows.some((row) => cost.of(row)));

function single(value) {
  return value === null ? null : [value, null, null];
}

// What an accuracy is of. Rows are compared whose accuracy is of the images, labels and view that most of
// those that are shown were scored on, as in lightfer.report.choose.
const scoredOn = (score) =>
  `${score.split}, ${score.labels} labels, ${score.view} view, ${score.images.toLocaleString("en")} images`;
for (const row of rows) row.scoredOn = row.score && `${scoredOn(row.score)}, ${row.score.data}`;
function mostScoredOn(some) {
  const counts = new Map();
  for (const row of some) if (row.score) counts.set(row.scoredOn, (counts.get(row.scoredOn) || 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([key]) => key)[0];
}
for (const row of rows)
  Object.defineProperty(row, "comparable", { get: () => row.scoredOn === view.scoredOn });

const DASH = "–";
function figure(value, factor = 1) {
  if (value === null || value === undefined) return DASH;
  const shown = value * factor,
    size = Math.abs(shown);
  if (size === 0) return "0";
  if (size >= 1000) return Math.round(shown).toLocaleString("en");
  if (size < 1e-4) return shown.toExponential(1);
  return shown.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
}
const percent = (value, digits = 1) => (value === null ? DASH : (100 * value).toFixed(digits));
const bounds = (triple, write) =>
  triple && triple[1] !== null ? `[${write(triple[1])}, ${write(triple[2])}]` : "";
const withUnit = (cost, row) => `${figure(cost.of(row)?.[0] ?? null, cost.factor)} ${cost.unit}`;

// A name that may be broken behind its underscores.
const breakable = (name) => name.split(/(?<=_)/).flatMap((part, i) => (i ? [element("wbr"), part] : [part]));

// Elements; strings become text, never markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}
const SVG = "http://www.w3.org/2000/svg";
function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
