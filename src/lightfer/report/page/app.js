// The state of the page and its controls.

const view = {
  machine: 0,
  variant: "",
  find: "",
  later: 0,
  cost: COSTS[0] || null,
  limits: [],
  shown: [],
  together: false, // rows of several variants are shown
  scoredOn: undefined, // what the accuracies that are compared are of
  status: new Map(),
  pick: null,
  range: [0, 1],
};
const by = (id) => document.getElementById(id);

function say(message) {
  by("said").textContent = message;
}

view.redraw = () => {
  const words = view.find.toLowerCase().split(/\s+/).filter(Boolean);
  view.shown = rows.filter(
    (row) =>
      (view.machine === null || row.machine === view.machine) &&
      (!view.variant || row.variant === view.variant) &&
      words.every((word) => row.search.includes(word)),
  );
  view.together = new Set(view.shown.map((row) => row.variant)).size > 1;
  const sound = view.shown.filter((row) => !row.error);
  view.scoredOn =
    (view.cost && mostScoredOn(sound.filter((row) => isKnown(view.cost, row)))) ?? mostScoredOn(sound);
  const known = view.shown
    .filter((row) => row.score)
    .flatMap((row) => row.score.top1.filter((v) => v !== null));
  view.range = known.length ? [extreme(known, Math.min), extreme(known, Math.max)] : [0, 1];
  if (view.cost) {
    view.status = standing(view.shown, view.cost);
    drawAnswer();
    const limit = view.limits.find((l) => l.cost === view.cost);
    drawChart(view.shown, view.cost, view.status, view.pick, limit ? limit.most : null);
    drawSummary();
    by("noise").textContent = noise();
  } else drawAnswer();
  drawTable(view.shown);
  clearTimeout(view.later);
  view.later = setTimeout(
    () => {
      drawMachines(view.shown);
      drawDetail();
    },
    view.later ? 60 : 0,
  );
};

function fill(id, options, value) {
  by(id).replaceChildren(
    ...options.map(([key, label]) => element("option", { value: key, selected: key === value }, label)),
  );
}

function startControls() {
  const most = machines.map(
    (m) => rows.filter((row) => row.machine === m.index && row.score && !row.error).length,
  );
  view.machine = machines.length ? most.indexOf(extreme(most, Math.max)) : null;
  fill(
    "machine",
    [
      ...machines.map((m) => [String(m.index), m.name]),
      ...(machines.length > 1 ? [["", "all machines"]] : []),
    ],
    String(view.machine),
  );
  view.variant = usual(view.machine);
  fillVariants();
  fill(
    "cost",
    COSTS.map((c) => [c.key, c.label]),
    view.cost?.key,
  );
  const limited = [
    ["limit-time", COSTS.find((c) => c.key === "time 1")],
    ["limit-size", COSTS.find((c) => c.key === "stored")],
    ["limit-energy", COSTS.find((c) => c.key === "energy")],
  ];
  for (const [id, cost] of limited) {
    by(id).disabled = !cost;
    if (!cost) {
      by(id).placeholder = "not known";
      continue;
    }
    const limit = { cost, most: null };
    view.limits.push(limit);
    by(id).addEventListener("input", () => {
      const value = by(id).valueAsNumber;
      limit.most = Number.isFinite(value) ? value : null;
      view.redraw();
    });
  }
  by("machine").addEventListener("change", (e) => {
    view.machine = e.target.value === "" ? null : Number(e.target.value);
    fillVariants();
    restart();
  });
  by("variant").addEventListener("change", (e) => {
    view.variant = e.target.value;
    restart();
  });
  by("cost").addEventListener("change", (e) => {
    view.cost = COSTS.find((c) => c.key === e.target.value);
    view.redraw();
  });
  by("find").addEventListener("input", (e) => {
    view.find = e.target.value;
    restart();
  });
  by("clear").addEventListener("click", () => {
    for (const [id] of limited) by(id).value = "";
    view.limits.forEach((limit) => {
      limit.most = null;
    });
    view.redraw();
  });
}

const ofMachine = (index) => rows.filter((row) => index === null || row.machine === index);

function fillVariants() {
  const found = [...new Map(ofMachine(view.machine).map((row) => [row.variant, row])).values()];
  const devices = new Set(found.map((row) => row.device)).size;
  const options = found.map((row) => [row.variant, devices > 1 ? `${row.way}, ${row.device}` : row.way]);
  if (options.length > 1) options.push(["", "all, side by side"]);
  if (!options.some(([key]) => key === view.variant)) view.variant = usual(view.machine);
  fill("variant", options, view.variant);
}

// Where to begin, as the README does: of the variants with most models the fastest in float32.
function usual(index) {
  const variants = new Map();
  for (const row of ofMachine(index))
    if (!row.error) variants.set(row.variant, (variants.get(row.variant) || []).concat(row));
  const mean = (members) => {
    const known = members.filter((row) => row.times["1"]?.[1]);
    return known.reduce((sum, row) => sum + Math.log(row.times["1"][0]), 0) / (known.length || 1);
  };
  const order = ([, a], [, b]) =>
    (b[0].precision === "float32") - (a[0].precision === "float32") || b.length - a.length || mean(a) - mean(b);
  return [...variants].sort(order)[0]?.[0] ?? "";
}

function restart() {
  table.length = PAGE;
  view.redraw();
}

startTheme();
startControls();
startTable();
startDetail();
view.redraw();
detail.rows = [view.pick || rows[0] || null, null];
startChart();
by("page").dataset.ready = "true";
