// The state of the page, its controls, and the answer on top.

const view = { machine: 0, runtime: "", precision: "", find: "", later: 0, cost: COSTS[0] || null, limits: [], shown: [], status: new Map(), pick: null, range: [0, 1] };
const by = (id) => document.getElementById(id);

function say(message) { by("said").textContent = message; }

view.redraw = () => {
  const words = view.find.toLowerCase().split(/\s+/).filter(Boolean);
  view.shown = rows.filter((row) => (view.machine === null || row.machine === view.machine)
    && (!view.runtime || row.runtime === view.runtime) && (!view.precision || row.precision === view.precision)
    && words.every((word) => row.search.includes(word)));
  const known = view.shown.filter((row) => row.score).flatMap((row) => row.score.top1.filter((v) => v !== null));
  view.range = known.length ? [extreme(known, Math.min), extreme(known, Math.max)] : [0, 1];
  if (view.cost) {
    view.status = standing(view.shown, view.cost);
    drawAnswer();
    const limit = view.limits.find((l) => l.cost === view.cost);
    drawChart(view.shown, view.cost, view.status, view.pick, limit ? limit.most : null);
    drawSummary();
  } else drawAnswer();
  drawTable(view.shown);
  clearTimeout(view.later);
  view.later = setTimeout(() => { drawMachines(view.shown); drawDetail(); }, view.later ? 60 : 0);
};

function drawAnswer() {
  const box = by("answer");
  view.pick = null;
  if (!view.cost || !rows.some((row) => row.comparable)) return box.replaceChildren(element("p", { class: "take" }, "No answer yet"), element("p", {}, "No row of this file has both an accuracy and a cost."));
  if (view.machine === null && !view.cost.exact) return box.replaceChildren(element("p", { class: "take" }, "Choose a machine"), element("p", {}, "Time, energy and emissions are those of one machine; models of several are shown below but not ranked against one another."));
  const found = choose(view.shown, view.cost, view.limits), { pick, best, fitting, able } = found;
  if (!pick) return box.replaceChildren(element("p", { class: "take" }, "None fits"), element("p", {}, able.length ? `None of ${able.length} models is known to keep these limits.${closest(able)}` : "No model that is shown has both an accuracy and this cost."));
  view.pick = pick;
  const cost = view.cost, noun = (n) => (n === 1 ? "model" : "models");
  const crossing = view.limits.some((l) => l.most !== null && l.cost.of(pick)[2] !== null && l.cost.of(pick)[2] * l.cost.factor > l.most);
  const limited = view.limits.some((l) => l.most !== null);
  const reasons = [];
  const field = limited ? `the ${fitting.length} of ${able.length} ${noun(able.length)} that keep the limits` : `all ${able.length} ${noun(able.length)}`;
  if (fitting.length === 1) reasons.push(limited ? `The only one of ${able.length} ${noun(able.length)} that keeps the limits.` : "The only model here.");
  else if (pick === best) reasons.push(`The most accurate of ${field}${found.equals.length ? "" : ", by differences that chance does not explain"}.`);
  else reasons.push(`Of ${field}, ${best.name} has the highest accuracy (${percent(best.score.top1[0])} %), but the difference of ${(100 * (best.score.top1[0] - pick.score.top1[0])).toFixed(1)} points may be chance, and ${pick.name} is ${versus(cost, best, pick)}.`);
  if (found.equals.length) reasons.push(`Not told apart from it in accuracy: ${list(found.equals.map((row) => row.name))}.`);
  if (crossing) reasons.push("The interval of its cost reaches beyond a limit.");
  if (found.unknown.length) reasons.push(`${found.unknown.length} without a figure for a limit ${found.unknown.length === 1 ? "is" : "are"} left out.`);
  if (pick.score.source === "reference") reasons.push("Its accuracy is quoted from the weights' card, not measured on this machine.");
  if (pick.score.labels === "synthetic") reasons.push("Accuracies here are of drawn faces and say nothing of real ones.");
  if (["energy", "carbon"].includes(cost.key) && (pick.method || "").includes("modelled")) reasons.push("Energy here is modelled from time.");
  const parts = [
    element("p", { class: "take" }, "Take ", element("button", { type: "button", class: "link", onclick: () => openDetail(pick) }, pick.name)),
    element("p", { class: "figures" },
      element("span", {}, element("b", {}, `${percent(pick.score.top1[0])} %`), ` ${bounds(pick.score.top1, percent)}`),
      element("span", {}, element("b", {}, withUnit(cost, pick)), ` ${bounds(cost.of(pick), (v) => figure(v, cost.factor))}`),
      cost.key === "stored" || pick.stored === null ? null : element("span", {}, element("b", {}, `${figure(pick.stored, 1e-6)} MB`))),
    element("p", {}, reasons.join(" ")),
  ];
  if (found.others.length) parts.push(element("p", { class: "less" }, "If that costs too much:"), element("ul", { class: "tradeoffs" }, found.others.slice(0, 4).map((row) => element("li", {},
    element("button", { type: "button", class: "link", onclick: () => openDetail(row) }, row.name),
    ` ${versus(cost, pick, row)}, ${(100 * (pick.score.top1[0] - row.score.top1[0])).toFixed(1)} points lower${accuracyDiffers(pick, row) ? "" : " (not told apart)"}`))));
  box.replaceChildren(...parts);
}

function versus(cost, dear, cheap) {
  const ratio = cost.of(dear)[0] / cost.of(cheap)[0], told = costDiffers(cost, dear, cheap) ? "" : " (not told apart)";
  const times = `${ratio.toFixed(ratio < 10 ? 1 : 0)} times`;
  if (cost.verb === "faster" || cost.verb === "smaller") return `${times} ${cost.verb}${told}`;
  return `at ${times} ${cost.verb}${told}`;
}

// What would fit if one limit were looser: the nearest figure of each.
function closest(able) {
  const near = view.limits.filter((l) => l.most !== null).map((l) => {
    const known = able.map((row) => l.cost.of(row)).filter(Boolean).map((t) => t[0] * l.cost.factor);
    return known.length ? `the least ${l.cost.label.toLowerCase()} is ${figure(extreme(known, Math.min))} ${l.cost.unit}` : `${l.cost.label.toLowerCase()} is not known of any`;
  });
  return near.length ? ` Here ${near.join("; ")}.` : "";
}

const list = (items) => (items.length > 6 ? `${items.slice(0, 5).join(", ")} and ${items.length - 5} more` : items.join(", "));

function drawSummary() {
  const of = (kind) => chart.rows.filter((row) => view.status.get(row) === kind);
  const parts = [], cost = view.cost;
  if (view.machine === null && machines.length > 1) parts.push(`${chart.rows.length.toLocaleString("en")} models; each machine has a front of its own.`);
  else {
    parts.push(`On the front, cheapest first: ${list(of("front").map((row) => `${row.name} (${percent(row.score.top1[0])} %, ${withUnit(cost, row)})`)) || "none"}.`);
    if (of("tied").length) parts.push(`Tied with it: ${list(of("tied").map((row) => row.name))}.`);
    if (of("dominated").length) parts.push(`Dominated: ${list(of("dominated").map((row) => row.name))}.`);
  }
  const without = view.shown.filter((row) => !view.status.has(row));
  if (chart.rows.length > MOST_BARS) parts.push("Intervals are drawn when fewer models are shown.");
  if (without.length) parts.push(`Not in the chart: ${list(without.map((row) => row.name))}, for want of an accuracy on the same images or of this cost.`);
  if (!cost.exact && chart.rows.length && chart.rows.every((row) => cost.of(row)[1] === null)) parts.push("This cost has no intervals here, so ties in it cannot be seen.");
  by("summary").textContent = parts.join(" ");
}

function fill(id, options, value) {
  by(id).replaceChildren(...options.map(([key, label]) => element("option", { value: key, selected: key === value }, label)));
}

function startControls() {
  const most = machines.map((m) => rows.filter((row) => row.machine === m.index && row.comparable && !row.error).length);
  view.machine = machines.length ? most.indexOf(extreme(most, Math.max)) : null;
  fill("machine", [...machines.map((m) => [String(m.index), m.name]), ...(machines.length > 1 ? [["", "all machines"]] : [])], String(view.machine));
  const distinct = (key) => [...new Set(rows.map((row) => row[key]))].sort();
  fill("runtime", [["", "any"], ...distinct("runtime").map((r) => [r, r])], "");
  fill("precision", [["", "any"], ...distinct("precision").map((p) => [p, p])], "");
  fill("cost", COSTS.map((c) => [c.key, c.label]), view.cost?.key);
  const limited = [["limit-time", COSTS.find((c) => c.key.startsWith("time "))], ["limit-size", COSTS.find((c) => c.key === "stored")], ["limit-energy", COSTS.find((c) => c.key === "energy")]];
  for (const [id, cost] of limited) {
    by(id).disabled = !cost;
    if (!cost) { by(id).placeholder = "not known"; continue; }
    const limit = { cost, most: null };
    view.limits.push(limit);
    by(id).addEventListener("input", () => {
      const value = by(id).valueAsNumber;
      limit.most = Number.isFinite(value) ? value : null;
      view.redraw();
    });
  }
  by("machine").addEventListener("change", (e) => { view.machine = e.target.value === "" ? null : Number(e.target.value); restart(); });
  for (const id of ["runtime", "precision"]) by(id).addEventListener("change", (e) => { view[id] = e.target.value; restart(); });
  by("cost").addEventListener("change", (e) => { view.cost = COSTS.find((c) => c.key === e.target.value); view.redraw(); });
  by("find").addEventListener("input", (e) => { view.find = e.target.value; restart(); });
  by("clear").addEventListener("click", () => {
    for (const [id] of limited) by(id).value = "";
    view.limits.forEach((limit) => { limit.most = null; });
    view.redraw();
  });
}

function restart() { table.length = PAGE; view.redraw(); }

function startTheme() {
  const root = document.documentElement, button = by("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
  let kept = null;
  try { kept = localStorage.getItem("lightfer-theme"); } catch { /* a page from disk may have no storage */ }
  const show = () => {
    const isDark = kept ? kept === "dark" : dark.matches;
    if (kept) root.dataset.theme = kept;
    button.textContent = isDark ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to the ${isDark ? "light" : "dark"} theme`);
    button.dataset.to = isDark ? "light" : "dark";
  };
  button.addEventListener("click", () => {
    kept = button.dataset.to;
    try { localStorage.setItem("lightfer-theme", kept); } catch { /* then it lasts as long as the page */ }
    show();
  });
  dark.addEventListener("change", show);
  show();
}

startTheme();
startControls();
startTable();
startDetail();
view.redraw();
detail.rows = [view.pick || rows[0] || null, null];
startChart();
by("page").dataset.ready = "true";
