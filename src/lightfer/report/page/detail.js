// Two models side by side: their figures, classes and confusions.

const detail = { rows: [null, null] };

function openDetail(row) {
  detail.rows[0] = row;
  if (detail.rows[1] === row) detail.rows[1] = null;
  drawDetail();
  const section = document.getElementById("detail");
  section.scrollIntoView({
    behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
  });
  section.querySelector("select").focus({ preventScroll: true });
}

function drawDetail() {
  ["first", "second"].forEach((id, i) => {
    const list = [...new Set([detail.rows[i], ...view.shown.slice(0, 300)].filter(Boolean))];
    const options = list.map((row) =>
      element(
        "option",
        { value: row.index, selected: row === detail.rows[i] },
        view.machine === null ? `${row.name} — ${machines[row.machine].name}` : row.name,
      ),
    );
    document
      .getElementById(id)
      .replaceChildren(element("option", { value: "" }, i ? "none" : "choose"), ...options);
  });
  const chosen = detail.rows.filter(Boolean);
  document.getElementById("facts").replaceChildren(...factTable(chosen));
  document.getElementById("classes").replaceChildren(...classBars(chosen));
  document
    .getElementById("columns")
    .replaceChildren(
      ...chosen.map((row, i) => element("article", { class: i ? "second" : "first" }, ...column(row))),
    );
}

function column(row) {
  return [
    element("h3", {}, breakable(row.name)),
    row.error ? element("p", { class: "failed" }, `failed: ${row.error}`) : null,
    confusion(row),
    training(row),
    weightCard(row),
  ].filter(Boolean);
}

function facts(row) {
  const lines = [
    ["Machine", `${machines[row.machine].name}, ${row.device}`],
    ["Computed by", row.way],
  ];
  if (row.score)
    lines.push([
      `Top-1, ${scoredOn(row.score)}`,
      `${percent(row.score.top1[0], 2)} % ${bounds(row.score.top1, percent)}${row.score.source === "reference" ? " (quoted from the card)" : ""}`,
    ]);
  for (const index of row.others) {
    const other = DATA.otherAccuracies[index];
    lines.push([scoredOn(other), `${percent(other.top1[0], 2)} % ${bounds(other.top1, percent)}`]);
  }
  const share = (value) => `${percent(value, 2)} %`;
  if (row.corrupted !== null) lines.push(["Top-1 on images made worse", share(row.corrupted)]);
  if (row.score?.surest != null) lines.push(["Top-1 on the 80 % it is surest of", share(row.score.surest)]);
  if (row.score?.ece != null)
    lines.push(["Calibration error", `${share(row.score.ece)} ${bounds([0, ...(row.score.eceBounds ?? [null])], (v) => percent(v, 2))}`]);
  for (const cost of COSTS)
    if (cost.of(row))
      lines.push([
        cost.label,
        `${withUnit(cost, row)} ${bounds(cost.of(row), (v) => figure(v, cost.factor))}${["energy", "carbon"].includes(cost.key) && row.method ? ` (${row.method})` : ""}`,
      ]);
  for (const cost of COSTS)
    if (row.raw[cost.time])
      lines.push([
        `${cost.label}, not corrected`,
        `${figure(row.raw[cost.time][0], cost.factor)} ${cost.unit} ${bounds(row.raw[cost.time], (v) => figure(v, cost.factor))}`,
      ]);
  if (row.testSet !== null && row.images)
    lines.push([
      `All ${row.images.toLocaleString("en")} images`,
      `${figure(row.testSet[0])} s ${bounds(row.testSet, figure)}`,
    ]);
  if (row.net)
    lines.push([
      "Energy beyond idle",
      `${figure(row.net[0], 1e3)} mJ ${bounds(row.net, (v) => figure(v, 1e3))} (${row.method})`,
    ]);
  if (row.repaid !== null)
    lines.push([
      "Use has cost as much energy as its own training after",
      `${figure(row.repaid)} images${row.method ? ` (${row.method})` : ""}`,
    ]);
  for (const warning of row.warnings) lines.push(["Warning on energy", warning]);
  if (row.storedAs) lines.push(["Size is of", row.storedAs]);
  if (row.grid) lines.push(["Emissions assume", row.grid]);
  return lines;
}

// The figures of the chosen models, line by line beside one another; several may have one term.
function factTable(chosen) {
  if (!chosen.length) return [];
  const found = chosen.map((row) => {
    const lines = new Map();
    for (const [term, value] of facts(row)) lines.set(term, [...(lines.get(term) ?? []), value]);
    return lines;
  });
  const terms = [...new Set(found.flatMap((lines) => [...lines.keys()]))];
  return [
    element(
      "table",
      { class: "facts" },
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          element("th", { scope: "col" }, "Figure"),
          chosen.map((row) => element("th", { scope: "col" }, breakable(row.name))),
        ),
      ),
      element(
        "tbody",
        {},
        terms.map((term) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, term),
            found.map((lines) =>
              element(
                "td",
                {},
                (lines.get(term) ?? [DASH]).map((value) => element("div", {}, value)),
              ),
            ),
          ),
        ),
      ),
    ),
  ];
}

const definitions = (lines) =>
  element(
    "dl",
    {},
    lines.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]),
  );

function classBars(chosen) {
  const scored = chosen.filter((row) => row.score && row.score.classes.length);
  if (!scored.length)
    return [
      element(
        "p",
        { class: "quiet" },
        chosen.length
          ? "No figures by class are stored for this model."
          : "Choose a model to see its classes, training and card.",
      ),
    ];
  const classes = scored[0].score.classes.map(([name]) => name);
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, "Class"),
    element("th", { scope: "col", class: "number" }, "Images"),
    scored.map((row) => element("th", { scope: "col" }, "F1 of ", breakable(row.name))),
  );
  const lines = classes.map((name, i) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element("td", { class: "number" }, String(scored[0].score.classes[i][1])),
      scored.map((row) => {
        const f1 = row.score.classes.find((c) => c[0] === name)?.[4] ?? null,
          bar = element("span", { class: `bar ${row === chosen[0] ? "first" : "second"}` });
        bar.style.inlineSize = `${70 * (f1 ?? 0)}%`;
        return element(
          "td",
          { class: "barred" },
          bar,
          element("span", {}, f1 === null ? DASH : f1.toFixed(2)),
        );
      }),
    ),
  );
  return [
    element(
      "table",
      { class: "classes" },
      element("caption", {}, "F1 by class"),
      element("thead", {}, head),
      element("tbody", {}, lines),
    ),
  ];
}

function confusion(row) {
  const matrix = row.score?.confusion;
  if (!matrix) return element("p", { class: "quiet" }, "No confusion matrix is stored.");
  const labels = matrix.map((_, i) => row.score.classes[i]?.[0] ?? String(i));
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, "true ↓ as →"),
    labels.map((name) => element("th", { scope: "col", title: name }, name.slice(0, 3))),
  );
  const lines = matrix.map((line, i) => {
    const total = line.reduce((a, b) => a + b, 0);
    return element(
      "tr",
      {},
      element("th", { scope: "row", title: labels[i] }, labels[i]),
      line.map((count, j) => {
        const share = total ? count / total : 0;
        const cell = element(
          "td",
          {
            class: i === j ? "right" : "wrong",
            title: `${labels[i]} taken for ${labels[j]}: ${count} of ${total}`,
          },
          total ? String(Math.round(100 * share)) : DASH,
        );
        cell.style.setProperty("--share", `${Math.round(100 * share)}%`);
        return cell;
      }),
    );
  });
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": `Confusion matrix of ${row.name}` },
    element(
      "table",
      { class: "confusion" },
      element("caption", {}, "Confusions, % of each true class"),
      element("thead", {}, head),
      element("tbody", {}, lines),
    ),
  );
}

function startDetail() {
  ["first", "second"].forEach((id, i) =>
    document.getElementById(id).addEventListener("change", (event) => {
      detail.rows[i] = event.target.value === "" ? null : rows[Number(event.target.value)];
      drawDetail();
    }),
  );
}
