// Accuracy against cost: one path per kind of mark, so that thousands of models stay quick.

const MOST_BARS = 1000; // beyond, intervals would cover one another
const chart = { rows: [], place: new Map(), current: -1 };

function drawChart(shown, cost, status, pick, limit) {
  const box = document.getElementById("plot"),
    width = Math.max(300, box.clientWidth),
    narrow = width < 560;
  const height = narrow ? 340 : 440,
    left = 46,
    right = narrow ? 14 : 26,
    top = 14,
    bottom = 46;
  chart.rows = shown.filter((row) => status.has(row)).sort((a, b) => cost.of(a)[0] - cost.of(b)[0]);
  chart.place = new Map();
  chart.cost = cost;
  chart.current = -1;
  document.getElementById("tip").hidden = true;
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  box.replaceChildren(svg);
  if (!chart.rows.length) {
    svg.append(text(width / 2, height / 2, "No model here can be compared.", "middle", "note"));
    return;
  }
  const barred = chart.rows.length <= MOST_BARS;
  const costs = chart.rows
    .flatMap((row) => (barred ? cost.of(row).filter((v) => v > 0) : cost.of(row)[0]))
    .map((v) => v * cost.factor);
  const tops = chart.rows
    .flatMap((row) => (barred ? row.score.top1.filter((v) => v !== null) : row.score.top1[0]))
    .map((v) => 100 * v);
  const [x0, x1] = [extreme(costs, Math.min) / 1.06, extreme(costs, Math.max) * (narrow ? 1.15 : 1.12)];
  const [y0, y1] = [extreme(tops, Math.min) - 0.6, extreme(tops, Math.max) + 0.6];
  const X = (v) => left + ((width - left - right) * Math.log(v / x0)) / Math.log(x1 / x0);
  const Y = (v) => height - bottom - ((height - top - bottom) * (v - y0)) / (y1 - y0);

  let grid = "";
  for (const tick of logTicks(x0, x1, narrow ? 7 : 10)) {
    grid += `M${X(tick)} ${top}V${height - bottom}`;
    svg.append(text(X(tick), height - bottom + 17, String(tick), "middle", "tick"));
  }
  for (const tick of linearTicks(y0, y1)) {
    grid += `M${left} ${Y(tick)}H${width - right}`;
    svg.append(text(left - 7, Y(tick) + 4, String(tick), "end", "tick"));
  }
  svg.prepend(drawn("path", { d: grid, class: "grid" }));
  svg.append(text(width - right, height - 8, `${cost.label}, ${cost.unit} (logarithmic)`, "end", "axis"));
  svg.append(text(left + 6, top + 10, "Top-1 accuracy, %", "start", "axis"));
  if (limit !== null && limit > x0 && limit < x1) {
    svg.append(
      drawn("rect", {
        x: X(limit),
        y: top,
        width: width - right - X(limit),
        height: height - top - bottom,
        class: "beyond",
      }),
    );
  }

  const marks = { front: "", tied: "", dominated: "" },
    radius = chart.rows.length > 400 ? 2.2 : 4.6;
  let bars = "";
  for (const row of chart.rows) {
    const [c, cLow, cHigh] = cost.of(row),
      [a, aLow, aHigh] = row.score.top1;
    const x = X(c * cost.factor),
      y = Y(100 * a);
    chart.place.set(row, [x, y]);
    marks[status.get(row)] += circle(x, y, radius);
    if (!barred) continue;
    if (aLow !== null) bars += `M${x.toFixed(1)} ${Y(100 * aLow).toFixed(1)}V${Y(100 * aHigh).toFixed(1)}`;
    if (cLow !== null)
      bars += `M${X(Math.max(cLow * cost.factor, x0)).toFixed(1)} ${y.toFixed(1)}H${X(cHigh * cost.factor).toFixed(1)}`;
  }
  svg.append(drawn("path", { d: bars, class: chart.rows.length > 60 ? "bars many" : "bars" }));
  for (const machine of new Set(chart.rows.map((row) => row.machine))) {
    svg.append(
      drawn("path", {
        d: stairs(
          chart.rows.filter((row) => row.machine === machine && status.get(row) === "front"),
          width - right,
        ),
        class: "front-line",
      }),
    );
  }
  for (const kind of ["dominated", "tied", "front"])
    svg.append(drawn("path", { d: marks[kind], class: kind }));
  if (pick && chart.place.has(pick))
    svg.append(drawn("path", { d: circle(...chart.place.get(pick), 9), class: "pick" }));
  svg.append(...labels(status, pick, width, height));
  svg.append(drawn("path", { id: "ring", d: "", class: "ring" }));
}

const extreme = (values, pick) => values.reduce((a, b) => pick(a, b));
const tenth = (v) => Math.round(10 * v) / 10;
const circle = (x, y, r) =>
  `M${tenth(x - r)} ${tenth(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
function text(x, y, content, anchor, kind) {
  return drawn("text", { x, y, "text-anchor": anchor, class: kind }, content);
}

// The front as stairs: what is reached at a cost, until the next model is paid for.
function stairs(front, end) {
  let path = "",
    y = null;
  for (const row of front) {
    const [px, py] = chart.place.get(row);
    path += y === null ? `M${px} ${py}` : `H${px}V${py}`;
    y = py;
  }
  return path && `${path}H${end}`;
}

function logTicks(low, high, most) {
  const make = (steps) => {
    const ticks = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) {
      for (const step of steps) {
        const tick = Number((step * 10 ** e).toPrecision(3));
        if (tick >= low && tick <= high) ticks.push(tick);
      }
    }
    return ticks;
  };
  for (const steps of [
    [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 5, 7],
    [1, 2, 5],
  ]) {
    const ticks = make(steps);
    if (ticks.length <= most) return ticks.length > 1 ? ticks : linearTicks(low, high).filter((t) => t > 0);
  }
  return make([1]);
}

function linearTicks(low, high) {
  const rough = (high - low) / 6,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) ticks.push(Number(t.toPrecision(6)));
  return ticks;
}

// Names beside their marks, where they hit no mark and no other name, and no other mark is nearer. The answer and the front are
// always named, farther off and with a line to their mark if need be; of the others who finds room.
function labels(status, pick, width, height) {
  const order = { front: 0, tied: 1, dominated: 2 },
    taken = [],
    made = [];
  for (const [x, y] of chart.place.values()) taken.push([x - 9, y - 9, x + 9, y + 9]);
  const must = (row) => row === pick || status.get(row) === "front";
  const sorted = [...chart.rows].sort(
    (a, b) => (b === pick) - (a === pick) || order[status.get(a)] - order[status.get(b)],
  );
  const covered = (box) =>
    taken.filter((t) => box[0] < t[2] && t[0] < box[2] && box[1] < t[3] && t[1] < box[3]).length;
  const gap = (box, [x, y]) =>
    Math.hypot(Math.max(box[0] - x, 0, x - box[2]), Math.max(box[1] - y, 0, y - box[3]));
  const nearer = (box, own) => {
    const mine = gap(box, own);
    return [...chart.place.values()].filter((other) => gap(box, other) < mine).length;
  };
  for (const [place, row] of sorted.entries()) {
    if (place >= 40 && !must(row)) break;
    const whole = `${row.name}${row.teachers.length && width > 480 ? " (KD)" : ""}`, // else the table has it
      name = whole.length > 40 ? `${whole.slice(0, 38)}…` : whole;
    const [x, y] = chart.place.get(row),
      wide = name.length * 6.7;
    let best = null;
    for (const far of must(row) ? [1, 2.4, 4, 6, 8, 11] : [1]) {
      for (const [dx, dy, anchor] of [
        [10, -8, "start"],
        [10, 16, "start"],
        [-10, -8, "end"],
        [-10, 16, "end"],
        [0, -14, "middle"],
        [0, 22, "middle"],
      ]) {
        const free = { start: x + dx, end: x + dx - wide, middle: x - wide / 2 }[anchor],
          from = must(row) ? Math.max(48, Math.min(free, width - 2 - wide)) : free,
          base = y + dy * far;
        const box = [from, base - 11, from + wide, base + 3];
        if (box[0] < 48 || box[2] > width - 2 || box[1] < 0 || box[3] > height - 46) continue;
        const hits = 10 * covered(box) + nearer(box, [x, y]);
        if (!best || hits < best.hits) best = { hits, box, from, base, far };
        if (!hits) break;
      }
      if (best?.hits === 0) break;
    }
    if (!best || (best.hits && !must(row))) continue;
    taken.push(best.box);
    if (best.far > 1)
      made.push(
        drawn("path", {
          d: `M${x} ${y}L${Math.max(best.from, Math.min(x, best.from + wide))} ${best.base < y ? best.base + 3 : best.base - 10}`,
          class: "leader",
        }),
      );
    made.push(text(best.from, best.base, name, "start", `name ${status.get(row)}`));
  }
  return made;
}

function pointAt(index) {
  const row = chart.rows[index],
    tip = document.getElementById("tip"),
    ring = document.getElementById("ring");
  chart.current = row ? index : -1;
  tip.hidden = !row;
  if (ring) ring.setAttribute("d", row ? circle(...chart.place.get(row), 9) : "");
  if (!row) return;
  const [x, y] = chart.place.get(row),
    cost = chart.cost,
    triple = cost.of(row);
  tip.replaceChildren(
    element("b", {}, row.name),
    element("span", {}, `${percent(row.score.top1[0])} % ${bounds(row.score.top1, percent)}`),
    element("span", {}, `${withUnit(cost, row)} ${bounds(triple, (v) => figure(v, cost.factor))}`),
    element(
      "span",
      { class: "quiet" },
      `${row.raw[cost.time] ? `raw ${figure(row.raw[cost.time][0], cost.factor)} ${bounds(row.raw[cost.time], (v) => figure(v, cost.factor))} · ` : ""}${view.status.get(row)}${view.machine === null ? ` · ${machines[row.machine].name}` : ""}`,
    ),
  );
  const box = document.getElementById("plot");
  tip.style.left = `${Math.max(0, Math.min(x + 14, box.clientWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(0, y - tip.offsetHeight - 12)}px`;
}

function nearest(event) {
  const frame = document.getElementById("plot").getBoundingClientRect();
  const px = event.clientX - frame.left,
    py = event.clientY - frame.top;
  let best = -1,
    least = 26 ** 2;
  chart.rows.forEach((row, i) => {
    const [x, y] = chart.place.get(row),
      far = (x - px) ** 2 + (y - py) ** 2;
    if (far < least) {
      best = i;
      least = far;
    }
  });
  return best;
}

function startChart() {
  const box = document.getElementById("plot");
  box.addEventListener("pointermove", (event) => pointAt(nearest(event)));
  box.addEventListener("pointerleave", () => pointAt(-1));
  box.addEventListener("blur", () => pointAt(-1));
  box.addEventListener("click", (event) => {
    const i = nearest(event);
    if (i >= 0) openDetail(chart.rows[i]);
  });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && chart.rows.length) {
      event.preventDefault();
      const next = chart.current < 0 ? (step > 0 ? 0 : chart.rows.length - 1) : chart.current + step;
      pointAt((next + chart.rows.length) % chart.rows.length);
      say(document.getElementById("tip").innerText.replace(/\n+/g, ", "));
    } else if (event.key === "Enter" && chart.current >= 0) openDetail(chart.rows[chart.current]);
    else if (event.key === "Escape") pointAt(-1);
  });
  new ResizeObserver(() => {
    if (box.clientWidth !== chart.width) {
      chart.width = box.clientWidth;
      view.redraw();
    }
  }).observe(box);
}
