// Two models side by side: classes, confusions, training, and the card of the weights.

const detail = { rows: [null, null] };

function openDetail(row) {
  detail.rows[0] = row;
  if (detail.rows[1] === row) detail.rows[1] = null;
  drawDetail();
  const section = document.getElementById("detail");
  section.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  section.querySelector("select").focus({ preventScroll: true });
}

function drawDetail() {
  ["first", "second"].forEach((id, i) => {
    const list = [...new Set([detail.rows[i], ...view.shown.slice(0, 300)].filter(Boolean))];
    const options = list.map((row) => element("option", { value: row.index, selected: row === detail.rows[i] }, view.machine === null ? `${row.name} — ${machines[row.machine].name}` : row.name));
    document.getElementById(id).replaceChildren(element("option", { value: "" }, i ? "none" : "choose"), ...options);
  });
  const chosen = detail.rows.filter(Boolean);
  document.getElementById("classes").replaceChildren(...classBars(chosen));
  document.getElementById("columns").replaceChildren(...chosen.map((row, i) => element("article", { class: i ? "second" : "first" }, ...column(row))));
}

function column(row) {
  return [
    element("h3", {}, row.name),
    row.error ? element("p", { class: "failed" }, `failed: ${row.error}`) : null,
    facts(row), confusion(row), training(row), weightCard(row),
  ].filter(Boolean);
}

function facts(row) {
  const lines = [["Machine", `${machines[row.machine].name}, ${row.device}`], ["Computed by", row.way]];
  if (row.score) lines.push([`Top-1, ${scoredOn(row.score)}`, `${percent(row.score.top1[0], 2)} % ${bounds(row.score.top1, percent)}${row.score.source === "reference" ? " (quoted from the card)" : ""}`]);
  for (const index of row.others) {
    const other = DATA.otherAccuracies[index];
    lines.push([scoredOn(other), `${percent(other.top1[0], 2)} % ${bounds(other.top1, percent)}`]);
  }
  for (const cost of COSTS) if (cost.of(row)) lines.push([cost.label, `${withUnit(cost, row)} ${bounds(cost.of(row), (v) => figure(v, cost.factor))}${["energy", "carbon"].includes(cost.key) && row.method ? ` (${row.method})` : ""}`]);
  if (row.testSet !== null && row.images) lines.push([`All ${row.images.toLocaleString("en")} images`, `${figure(row.testSet)} s`]);
  if (row.storedAs) lines.push(["Size is of", row.storedAs]);
  if (row.grid) lines.push(["Emissions assume", row.grid]);
  return definitions(lines);
}

const definitions = (lines) => element("dl", {}, lines.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]));

function classBars(chosen) {
  const scored = chosen.filter((row) => row.score && row.score.classes.length);
  if (!scored.length) return [element("p", { class: "quiet" }, chosen.length ? "No figures by class are stored for this model." : "Choose a model to see its classes, training and card.")];
  const classes = scored[0].score.classes.map(([name]) => name);
  const head = element("tr", {}, element("th", { scope: "col" }, "Class"), element("th", { scope: "col", class: "number" }, "Images"), scored.map((row) => element("th", { scope: "col" }, `F1 of ${row.name}`)));
  const lines = classes.map((name, i) => element("tr", {}, element("th", { scope: "row" }, name), element("td", { class: "number" }, String(scored[0].score.classes[i][1])),
    scored.map((row) => {
      const f1 = row.score.classes.find((c) => c[0] === name)?.[4] ?? null, bar = element("span", { class: `bar ${row === chosen[0] ? "first" : "second"}` });
      bar.style.inlineSize = `${70 * (f1 ?? 0)}%`;
      return element("td", { class: "barred" }, bar, element("span", {}, f1 === null ? DASH : f1.toFixed(2)));
    })));
  return [element("table", { class: "classes" }, element("caption", {}, "F1 by class"), element("thead", {}, head), element("tbody", {}, lines))];
}

function confusion(row) {
  const matrix = row.score?.confusion;
  if (!matrix) return element("p", { class: "quiet" }, "No confusion matrix is stored.");
  const labels = matrix.map((_, i) => row.score.classes[i]?.[0] ?? String(i));
  const head = element("tr", {}, element("th", { scope: "col" }, "true ↓ as →"), labels.map((name) => element("th", { scope: "col", title: name }, name.slice(0, 3))));
  const lines = matrix.map((line, i) => {
    const total = line.reduce((a, b) => a + b, 0);
    return element("tr", {}, element("th", { scope: "row", title: labels[i] }, labels[i]), line.map((count, j) => {
      const share = total ? count / total : 0;
      const cell = element("td", { class: i === j ? "right" : "wrong", title: `${labels[i]} taken for ${labels[j]}: ${count} of ${total}` }, total ? String(Math.round(100 * share)) : DASH);
      cell.style.setProperty("--share", `${Math.round(100 * share)}%`);
      return cell;
    }));
  });
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Confusion matrix of ${row.name}` }, element("table", { class: "confusion" }, element("caption", {}, "Confusions, % of each true class"), element("thead", {}, head), element("tbody", {}, lines)));
}

function training(row) {
  const history = row.card?.history;
  if (!history || !history.length) return element("p", { class: "quiet" }, row.card ? "The history of this training is not stored with the weights, so there are no curves." : "No card of these weights is in the file.");
  const wanted = [["validation_top1", "top-1 on validation"], ["train_loss", "loss on train"], ["validation_loss", "loss on validation"]];
  const known = wanted.filter(([key]) => history.some((epoch) => typeof epoch[key] === "number"));
  return element("div", { class: "curves" }, known.map(([key, label]) => curve(history, key, label, row.card.epoch)));
}

function curve(history, key, label, kept) {
  const points = history.map((epoch, i) => [epoch.epoch ?? i + 1, epoch[key]]).filter(([, value]) => typeof value === "number");
  const values = points.map(([, value]) => value), low = extreme(values, Math.min), high = extreme(values, Math.max), last = points.at(-1)[0], begin = points[0][0];
  const x = (e) => 34 + 196 * (e - begin) / (last - begin || 1), y = (v) => 78 - 64 * (v - low) / (high - low || 1);
  const path = points.map(([e, v], i) => `${i ? "L" : "M"}${x(e).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  const at = points.find(([e]) => e === kept);
  const summary = `${label}: ${figure(values[0])} in epoch ${begin}, ${figure(values.at(-1))} in epoch ${last}` + (at ? `, ${figure(at[1])} in the kept epoch ${kept}` : "");
  return element("figure", {}, drawn("svg", { viewBox: "0 0 240 100", role: "img", "aria-label": summary },
    drawn("path", { d: "M34 14V78H230", class: "frame" }), text(30, 18, figure(high), "end", "tick"), text(30, 80, figure(low), "end", "tick"),
    text(34, 94, String(begin), "middle", "tick"), text(230, 94, String(last), "end", "tick"),
    drawn("path", { d: path, class: "curve" }), ...(at ? [drawn("path", { d: circle(x(at[0]), y(at[1]), 3), class: "front" })] : [])),
  element("figcaption", {}, `${label}, by epoch`));
}

function weightCard(row) {
  const card = row.card;
  if (!card) return null;
  const minutes = card.training_s >= 90 ? `${(card.training_s / 60).toFixed(0)} min` : `${figure(card.training_s)} s`;
  const lines = [
    ["Weights", row.weights], ["Recipe", `${card.recipe}, seed ${card.seed}`], ["Epochs", `${card.epochs}, kept ${card.epoch}`],
    ["Training took", minutes], ["Energy of training", card.training_energy ? JSON.stringify(card.training_energy) : "not stored"],
    ["Data", `${card.data}: trained on ${card.trained_on}, chosen on ${card.chosen_on}`],
    ["Top-1 on validation", card.validation ? `${percent(card.validation.top1, 2)} %` : DASH],
    ["Intended for", card.intended_use], ["Not for", card.not_intended_use], ["Licence", card.license], ["Code", card.code],
  ];
  return element("details", { class: "card" }, element("summary", {}, "Card of the weights"), definitions(lines), element("pre", { tabindex: "0", "aria-label": "Training settings" }, JSON.stringify(card.settings, null, 1)));
}

function startDetail() {
  ["first", "second"].forEach((id, i) => document.getElementById(id).addEventListener("change", (event) => {
    detail.rows[i] = event.target.value === "" ? null : rows[Number(event.target.value)];
    drawDetail();
  }));
}
