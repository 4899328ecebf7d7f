// The machines, what they say of their own noise, and one figure of every model on each of them.

const ACROSS = 25;

function drawMachines(shown) {
  const section = document.getElementById("across");
  section.hidden = machines.length < 2 || !view.cost;
  if (section.hidden) return;
  const cost = view.cost,
    names = new Map();
  const words = view.find.toLowerCase().split(/\s+/).filter(Boolean);
  const every =
    view.machine === null
      ? shown
      : rows.filter(
          (row) =>
            (!view.variant || row.variant === view.variant) &&
            words.every((word) => row.search.includes(word)),
        );
  const name = new Set(every.map((row) => row.variant)).size > 1 ? "full" : "plain";
  for (const row of every) {
    if (!names.has(row[name])) names.set(row[name], new Map());
    names.get(row[name]).set(row.machine, row);
  }
  document.getElementById("across-what").textContent =
    `${cost.label}, ${cost.unit}, with its 95 % interval where there is one.`;
  document
    .querySelector("#across thead tr")
    .replaceChildren(
      element("th", { scope: "col" }, "Model"),
      ...machines.map((m) => element("th", { scope: "col", class: "number" }, m.name)),
    );
  document.querySelector("#across tbody").replaceChildren(
    ...[...names].slice(0, ACROSS).map(([name, found]) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, kept(name)),
        machines.map((m) => {
          const row = found.get(m.index),
            triple = row ? cost.of(row) : null;
          return element(
            "td",
            { class: "number", "data-title": m.name },
            figure(triple?.[0] ?? null, cost.factor),
            small(bounds(triple, (v) => figure(v, cost.factor))),
            row?.error ? small("failed") : null,
          );
        }),
      ),
    ),
  );
  document.getElementById("across-left").textContent =
    names.size > ACROSS
      ? `The first ${ACROSS} of ${names.size} models; narrow them down with the filters above.`
      : "";
}
