// Before the report's scripts: puts what this browser measured into the page's data.

const place = document.getElementById("data"),
  shown = kept();
if (shown) {
  const { key, about, runtime, device, nets } = shown,
    data = JSON.parse(place.textContent);
  const at = (name) => data.columns.indexOf(name);
  for (const row of data.rows) {
    const [model, precision] = ["model", "precision"].map((name) => row[at(name)]);
    const found = nets[precision === "float32" ? model : `${model} ${precision}`];
    row[at("runtime")] = runtime ?? row[at("runtime")];
    row[at("device")] = device ?? row[at("device")];
    row[at("times")] = found?.time ? { 1: found.time } : {};
    row[at("raw")] = found?.raw ? { 1: found.raw } : {};
    row[at("error")] = found?.error ?? null;
  }
  Object.assign(data.machines[0], { id: key, about });
  place.textContent = JSON.stringify(data);
  describe(key, about);
} else location.replace("index.html");

function kept() {
  try {
    return JSON.parse(localStorage.getItem("lightfer-shown"));
  } catch {
    return null; // no storage, or not ours
  }
}

// The one row of the table of machines, which the site could not know.
function describe(key, about) {
  const cells = document.querySelectorAll("#machines .scroll:first-of-type tbody tr > *");
  const lines = [
    [about.gpu || about.cpu, key],
    [about.noise.verdict, ...about.noise.reasons],
    [`${about.cores} cores, ${about.threads} ${about.threads === 1 ? "thread" : "threads"}`],
    [about.system],
    [Object.entries(about.versions).map((pair) => pair.join(" ")).join(", ")],
    ["–"],
    [about.started.slice(0, 10), about.command],
  ];
  lines.forEach(([first, ...rest], i) => {
    cells[i].replaceChildren(
      first,
      ...rest.map((text) => Object.assign(document.createElement("small"), { textContent: text })),
    );
  });
}
