// How the weights of a model were made: curves of the training, and the card.

function training(row) {
  const history = row.card?.history;
  if (!history || !history.length)
    return element(
      "p",
      { class: "quiet" },
      row.card
        ? "The history of this training is not stored with the weights, so there are no curves."
        : "No card of these weights is in the file.",
    );
  const wanted = [
    ["validation_top1", "top-1 on validation"],
    ["train_loss", "loss on train"],
    ["validation_loss", "loss on validation"],
  ];
  const known = wanted.filter(([key]) => history.some((epoch) => typeof epoch[key] === "number"));
  return element(
    "div",
    { class: "curves" },
    known.map(([key, label]) => curve(history, key, label, row.card.epoch)),
  );
}

function curve(history, key, label, kept) {
  const points = history
    .map((epoch, i) => [epoch.epoch ?? i + 1, epoch[key]])
    .filter(([, value]) => typeof value === "number");
  const values = points.map(([, value]) => value),
    low = extreme(values, Math.min),
    high = extreme(values, Math.max),
    last = points.at(-1)[0],
    begin = points[0][0];
  const x = (e) => 34 + (196 * (e - begin)) / (last - begin || 1),
    y = (v) => 78 - (64 * (v - low)) / (high - low || 1);
  const path = points.map(([e, v], i) => `${i ? "L" : "M"}${x(e).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  const at = points.find(([e]) => e === kept);
  const summary =
    `${label}: ${figure(values[0])} in epoch ${begin}, ${figure(values.at(-1))} in epoch ${last}` +
    (at ? `, ${figure(at[1])} in the kept epoch ${kept}` : "");
  return element(
    "figure",
    {},
    drawn(
      "svg",
      { viewBox: "0 0 240 100", role: "img", "aria-label": summary },
      drawn("path", { d: "M34 14V78H230", class: "frame" }),
      text(30, 18, figure(high), "end", "tick"),
      text(30, 80, figure(low), "end", "tick"),
      text(34, 94, String(begin), "middle", "tick"),
      text(230, 94, String(last), "end", "tick"),
      drawn("path", { d: path, class: "curve" }),
      ...(at ? [drawn("path", { d: circle(x(at[0]), y(at[1]), 3), class: "front" })] : []),
    ),
    element("figcaption", {}, `${label}, by epoch`),
  );
}

function weightCard(row) {
  const card = row.card;
  if (!card) return null;
  const minutes =
    card.training_s >= 90 ? `${(card.training_s / 60).toFixed(0)} min` : `${figure(card.training_s)} s`;
  const lines = [
    ["Weights", row.weights],
    ["Recipe", `${card.recipe}, seed ${card.seed}`],
    ["Epochs", card.settings?.keep === "final"
      ? `${card.epochs}, the last one kept`
      : `${card.epochs}, kept ${card.epoch}, the best on ${card.chosen_on}`],
    ["Training took", minutes],
    ["Energy of training", trainingEnergy(card.training_energy)],
    ["Taught by", taughtBy(card.distillation)],
    ["Data", `${card.data}: trained on ${card.trained_on}, settings chosen on ${card.chosen_on}`],
    ["Top-1 on validation", card.validation ? `${percent(card.validation.top1, 2)} %` : DASH],
    ["Intended for", card.intended_use],
    ["Not for", card.not_intended_use],
    ["Licence", card.license],
    ["Code", card.code],
  ];
  return element(
    "details",
    { class: "card" },
    element("summary", {}, "Card of the weights"),
    definitions(lines),
    element(
      "pre",
      { tabindex: "0", "aria-label": "Training settings" },
      JSON.stringify(card.settings, null, 1),
    ),
  );
}

function taughtBy(distillation) {
  if (!distillation) return "labels alone";
  return `labels and ${distillation.teachers.map((teacher) => teacher.model).join(", ")}`;
}

function trainingEnergy(cost) {
  if (!cost || typeof cost.energy_j !== "number") return "not stored";
  const grams = typeof cost.g_co2e === "number" ? `, ${figure(cost.g_co2e)} g CO₂e` : "";
  return `${figure(cost.energy_j, 1e-3)} kJ${grams} (${cost.energy_method})`;
}
