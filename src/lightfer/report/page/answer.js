// The answer on top: which model to take, why, and what is cheaper; and the chart in words.

function drawAnswer() {
  view.pick = null;
  by("answer").replaceChildren(...answer());
}

const take = (...words) => element("p", { class: "take" }, ...words);
const opener = (row) =>
  element("button", { type: "button", class: "link", onclick: () => openDetail(row) }, breakable(row.name));

function answer() {
  const cost = view.cost;
  if (!cost || !rows.some((row) => row.score && !row.error))
    return [take("No answer yet"), element("p", {}, "No row of this file has both an accuracy and a cost.")];
  if (view.machine === null && !cost.exact) {
    const why =
      "Time, energy and emissions are those of one machine; models of several are shown below but not " +
      "ranked against one another.";
    return [take("Choose a machine"), element("p", {}, why)];
  }
  const found = choose(view.shown, cost, view.limits);
  const pick = found.pick;
  if (!pick) {
    const why = found.able.length
      ? `None of ${found.able.length} models is known to keep these limits.${closest(found.able)}`
      : noneAble(cost);
    return [take("None fits"), element("p", {}, why)];
  }
  view.pick = pick;
  return [
    take("Take ", opener(pick)),
    figures(pick),
    element("p", {}, reasons(found).join(" ")),
    noise() ? element("p", { class: "noisy" }, noise()) : null,
    ...cheaper(found),
    element("p", { class: "note" }, DATA.rule.replace("the fastest", cost.time ? "the fastest" : "the one that costs least")),
  ].filter(Boolean);
}

// What the machine did meanwhile, where it was not quiet.
function noise() {
  const shown = [...new Set(view.shown.map((row) => row.machine))].map((index) => machines[index]);
  return shown
    .filter((machine) => machine.about?.noise && machine.about.noise.verdict !== "quiet")
    .map(({ name, about }) => {
      const where = shown.length > 1 ? `${name}: ` : "";
      const verdict = about.noise.verdict[0].toUpperCase() + about.noise.verdict.slice(1);
      return `${where}${verdict} machine while measuring: ${about.noise.reasons.join(", ")}.`;
    })
    .join(" ");
}

function figures(pick) {
  const cost = view.cost;
  const bold = (value, interval) => element("span", {}, element("b", {}, value), ` ${interval}`);
  return element(
    "p",
    { class: "figures" },
    bold(`${percent(pick.score.top1[0])} %`, bounds(pick.score.top1, percent)),
    bold(
      withUnit(cost, pick),
      bounds(cost.of(pick), (v) => figure(v, cost.factor)),
    ),
    cost.key === "stored" || pick.stored === null ? null : bold(`${figure(pick.stored, 1e-6)} MB`, ""),
  );
}

// Sentences: why this one, what does not differ significantly from it, and what a reader must know of its figures.
function reasons({ pick, best, fitting, able, equals, unknown }) {
  const limits = view.limits.filter((limit) => limit.most !== null);
  const models = able.length === 1 ? "model" : "models";
  const field = limits.length
    ? `the ${fitting.length} of ${able.length} ${models} that keep the limits`
    : `all ${able.length} ${models}`;
  const said = [];
  if (fitting.length === 1) {
    said.push(
      limits.length
        ? `The only one of ${able.length} ${models} that keeps the limits.`
        : "The only model here.",
    );
  } else if (pick === best) {
    said.push(
      `The most accurate of ${field}${equals.length ? "" : ", significantly so"}.`,
    );
  } else {
    const points = (100 * (best.score.top1[0] - pick.score.top1[0])).toFixed(1);
    said.push(
      `Of ${field}, ${cut(best.name)} has the highest accuracy (${percent(best.score.top1[0])} %), but the ` +
        `difference of ${points} points is not significant, and ${cut(pick.name)} is ${versus(view.cost, best, pick)}.`,
    );
  }
  if (equals.length)
    said.push(`Not significantly less accurate: ${list(equals.map((row) => row.name))}.`);
  const crosses = ({ cost, most }) => cost.of(pick)[2] !== null && cost.of(pick)[2] * cost.factor > most;
  if (limits.some(crosses)) said.push("The interval of its cost reaches beyond a limit.");
  if (unknown.length) said.push(`Left out for want of a figure for a limit: ${unknown.length}.`);
  return [...said, ...caveats(pick)];
}

function caveats(pick) {
  const said = [];
  if (pick.teachers.length)
    said.push(`${cut(pick.name)} learnt from the answers of ${list(pick.teachers)} beside the labels (KD).`);
  if (pick.score.source === "reference")
    said.push("Its accuracy is quoted from the weights' card, not measured on this machine.");
  if (pick.score.labels === "synthetic")
    said.push("Accuracies here are of drawn faces and say nothing of real ones.");
  if (["energy", "carbon"].includes(view.cost.key) && /modelled|simulated/.test(pick.method || ""))
    said.push(`Energy here is not measured (${pick.method}).`);
  return said;
}

function cheaper({ pick, others }) {
  if (!others.length) return [];
  const line = (row) => {
    const points = (100 * (pick.score.top1[0] - row.score.top1[0])).toFixed(1);
    const told = differsFrom(pick, row) ? "" : " (not significant)";
    return element("li", {}, opener(row), ` ${versus(view.cost, pick, row)}, ${points} points lower${told}`);
  };
  return [
    element("p", { class: "less" }, "If that costs too much:"),
    element("ul", { class: "tradeoffs" }, others.slice(0, 4).map(line)),
  ];
}

function versus(cost, dear, cheap) {
  const ratio = cost.of(dear)[0] / cost.of(cheap)[0],
    told = costDiffers(cost, dear, cheap) ? "" : " (not significant)";
  const times = `${ratio.toFixed(ratio < 10 ? 1 : 0)} times`;
  if (cost.verb === "faster") return `${times} as fast${told}`;
  if (cost.verb === "smaller") return `${times} ${cost.verb}${told}`;
  return `at ${times} ${cost.verb}${told}`;
}

// What would fit if one limit were looser: the nearest figure of each.
function closest(able) {
  const near = view.limits
    .filter((l) => l.most !== null)
    .map((l) => {
      const known = able
        .map((row) => l.cost.of(row))
        .filter(Boolean)
        .map((t) => t[0] * l.cost.factor);
      return known.length
        ? `the least ${l.cost.label.toLowerCase()} is ${figure(extreme(known, Math.min))} ${l.cost.unit}`
        : `${l.cost.label.toLowerCase()} is not known of any`;
    });
  return near.length ? ` Here ${near.join("; ")}.` : "";
}

const cut = (name) => (name.length > 80 ? `${name.slice(0, 78)}…` : name);
const list = (items) =>
  items.length > 6
    ? `${items.slice(0, 5).map(cut).join(", ")} and ${items.length - 5} more`
    : items.map(cut).join(", ");

function drawSummary() {
  const of = (kind) => chart.rows.filter((row) => view.status.get(row) === kind);
  const parts = [],
    cost = view.cost;
  if (view.machine === null && machines.length > 1)
    parts.push(`${chart.rows.length.toLocaleString("en")} models; each machine has a front of its own.`);
  else {
    parts.push(
      `On the front, cheapest first: ${list(of("front").map((row) => `${row.name} (${percent(row.score.top1[0])} %, ${withUnit(cost, row)})`)) || "none"}.`,
    );
    if (of("tied").length) parts.push(`Tied with it: ${list(of("tied").map((row) => row.name))}.`);
    if (of("dominated").length) parts.push(`Dominated: ${list(of("dominated").map((row) => row.name))}.`);
  }
  const without = view.shown.filter((row) => !view.status.has(row));
  if (chart.rows.length > MOST_BARS) parts.push("Intervals are drawn when fewer models are shown.");
  if (without.length)
    parts.push(
      `Not in the chart: ${list(without.map((row) => row.name))}, for want of an accuracy on the same images or of this ${cost.time ? "time, of two rounds or more" : "cost"}.`,
    );
  if (!cost.exact && chart.rows.length && chart.rows.every((row) => cost.of(row)[1] === null))
    parts.push("This cost has no intervals here, so ties in it cannot be seen.");
  by("summary").textContent = parts.join(" ");
}
