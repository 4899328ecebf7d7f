// The table of all rows: sorted, filtered, and built a page at a time.

const PAGE = 40;
const METHODS = [...new Set(rows.map((row) => row.method).filter(Boolean))]; // of energy; a single one stands in the head
const table = { sort: "accuracy", descending: true, length: PAGE };

function tableColumns() {
  const times = COSTS.filter((cost) => cost.key.startsWith("time "));
  const cost = (key) => COSTS.find((c) => c.key === key);
  const measured = (c, extra) =>
    c && {
      key: c.key,
      title: c.short,
      unit: extra && METHODS.length === 1 ? `${c.unit}, ${METHODS[0]}` : c.unit,
      number: true,
      value: (row) => c.of(row)?.[0] ?? null,
      cell: (row) => [
        figure(c.of(row)?.[0] ?? null, c.factor),
        small(bounds(c.of(row), (v) => figure(v, c.factor))),
        extra && METHODS.length > 1 ? small(extra(row)) : null,
      ],
    };
  return [
    { key: "name", title: "Model", value: (row) => row.name.toLowerCase(), cell: nameCell },
    view.machine === null &&
      machines.length > 1 && {
        key: "machine",
        title: "Machine",
        value: (row) => machines[row.machine].name,
        cell: (row) => [machines[row.machine].name],
      },
    {
      key: "accuracy",
      title: "Top-1",
      unit: "%",
      number: true,
      value: (row) => row.score?.top1[0] ?? null,
      cell: accuracyCell,
    },
    {
      key: "f1",
      title: "Macro-F1",
      number: true,
      value: (row) => row.score?.f1 ?? null,
      cell: (row) => [row.score?.f1 == null ? DASH : row.score.f1.toFixed(3)],
    },
    ...times.map((c) => measured(c)),
    measured(cost("energy"), (row) => row.method),
    measured(cost("carbon"), (row) => row.method),
    measured(cost("macs")),
    measured(cost("params")),
    measured(cost("stored")),
    {
      key: "status",
      title: "Front",
      value: (row) => ({ front: 0, tied: 1, dominated: 2 })[view.status.get(row)] ?? null,
      cell: (row) => [row.error ? "failed" : view.status.get(row) || DASH],
    },
  ].filter(Boolean);
}

const small = (content) => (content ? element("small", {}, content) : null);

function nameCell(row) {
  const taught = row.teachers.length ? small(`KD: ${row.teachers.join(", ")}`) : null;
  return [opener(row), taught, row.error ? element("small", { class: "failed" }, `failed: ${row.error}`) : null];
}

function accuracyCell(row) {
  if (!row.score) return [DASH];
  const marks = [
    row.score.source === "reference" ? "(ref)" : "",
    row.comparable ? "" : `(${scoredOn(row.score)})`,
  ]
    .join(" ")
    .trim();
  return [
    interval(row.score.top1),
    percent(row.score.top1[0], 2),
    small(bounds(row.score.top1, percent)),
    small(marks),
  ];
}

// The interval as a line with a dot, on the scale that all rows share.
function interval(triple) {
  const [low, high] = view.range,
    x = (v) => (2 + (66 * (v - low)) / (high - low || 1)).toFixed(1);
  const dot = x(triple[0]);
  return drawn(
    "svg",
    { class: "interval", viewBox: "0 0 70 10", width: 70, height: 10, "aria-hidden": "true" },
    drawn("path", { d: `M0 5H70`, class: "rail" }),
    drawn("path", { d: triple[1] === null ? "" : `M${x(triple[1])} 5H${x(triple[2])}`, class: "span" }),
    drawn("circle", { cx: dot, cy: 5, r: 2.6, class: "dot" }),
  );
}

function sorted(shown, columns) {
  const column = columns.find((c) => c.key === table.sort) || columns[0],
    sign = table.descending ? -1 : 1,
    scores = column.key === "accuracy" || column.key === "f1";
  return shown
    .map((row) => [column.value(row), row])
    .sort(([a, x], [b, y]) => {
      if (scores && x.comparable !== y.comparable) return y.comparable - x.comparable;
      if (a === null || b === null) return (a === null) - (b === null) || x.index - y.index;
      return (a < b ? -sign : a > b ? sign : 0) || x.index - y.index;
    })
    .map(([, row]) => row);
}

function drawTable(shown) {
  const columns = tableColumns();
  drawHead(columns);
  const body = document.querySelector("#table tbody"),
    ordered = sorted(shown, columns);
  body.replaceChildren(
    ...ordered.slice(0, table.length).map((row) => {
      const chosen = row === view.pick;
      return element(
        "tr",
        { class: chosen ? "chosen" : null },
        columns.map((column, i) =>
          element(
            i ? "td" : "th",
            {
              class: column.number ? "number" : column.key === "machine" ? "words" : null,
              scope: i ? null : "row",
              "data-title": i ? [column.title, column.unit].filter(Boolean).join(", ") : null,
            },
            column.cell(row),
          ),
        ),
      );
    }),
  );
  document.getElementById("shown").textContent =
    shown.length === rows.length
      ? `${rows.length.toLocaleString("en")} rows`
      : `${shown.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  const more = document.getElementById("more"),
    left = ordered.length - table.length;
  more.hidden = left <= 0;
  more.textContent = `Show ${Math.min(left, 4 * PAGE)} more of ${left}`;
}

function drawHead(columns) {
  const head = document.querySelector("#table thead tr");
  const focused = head.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  head.replaceChildren(
    ...columns.map((column) => {
      const direction = column.key === table.sort ? (table.descending ? "descending" : "ascending") : null;
      const button = element(
        "button",
        { type: "button", "data-key": column.key, onclick: () => sortBy(column) },
        element("span", { class: "title" }, column.title),
        column.unit ? element("span", { class: "unit" }, ` ${column.unit}`) : null,
      );
      return element(
        "th",
        { scope: "col", class: column.number ? "number" : null, "aria-sort": direction },
        button,
      );
    }),
  );
  if (focused) head.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function sortBy(column) {
  table.descending =
    table.sort === column.key ? !table.descending : column.key === "accuracy" || column.key === "f1";
  table.sort = column.key;
  drawTable(view.shown);
  say(`sorted by ${column.title}, ${table.descending ? "descending" : "ascending"}`);
}

function startTable() {
  let length = table.length;
  window.addEventListener("beforeprint", () => {
    length = table.length;
    table.length = rows.length;
    drawTable(view.shown);
  });
  window.addEventListener("afterprint", () => {
    table.length = length;
    drawTable(view.shown);
  });
  document.getElementById("more").addEventListener("click", () => {
    table.length += 4 * PAGE;
    drawTable(view.shown);
  });
}
