// The live page: a camera, pictures or a film, in which the worker finds faces. What is seen stays here.

import { loadJson } from "../nets.js";
import { makeOffline, settle } from "../offline.js";
import { median } from "../statistics.js";

const by = (id) => document.getElementById(id);
const site = await loadJson("site.json");
const { classes } = site.live;
const FEW = 30, // frames of whose times the median is shown
  PATIENCE_MS = 3000; // between two announcements of what a film shows
const NETS = ["first", "second"],
  video = by("video"),
  picture = by("picture"),
  overlay = by("boxes");

let worker = null,
  asked = 0,
  shown = null, // what is looked at: { kind: "camera" | "film" | "picture", … }
  files = [],
  seen = null, // the worker's last answer
  announced = null, // what a film showed when it was last said, and when that was
  times = null; // of each network, ms a face

const settings = () => ({
  smallest: Number(by("smallest").value),
  nets: NETS.map((id) => site.nets.find(({ name }) => name === by(id).value)),
});

// What the worker says of a frame, which is given away; for ever silent where it is asked anew meanwhile.
async function ask(frame) {
  const own = (worker ??= startWorker());
  try {
    const started = await own,
      id = ++asked;
    return await new Promise((resolve, reject) => {
      const failed = (message) => reject(new Error(message));
      started.onmessage = ({ data }) => data.id === id && (data.error ? failed(data.error) : resolve(data));
      started.onerror = (event) => failed(event.message || "the worker could not be started");
      started.postMessage({ id, frame, ...settings() }, [frame]);
    });
  } catch (error) {
    if (worker === own) worker = null; // the next frame begins anew
    own.then((started) => started.terminate()).catch(() => {});
    throw error;
  }
}

async function startWorker() {
  say("Opening the networks …");
  await settle(site.build);
  await Promise.all([location.href, import.meta.url].map((path) => fetch(path))); // kept from now on
  return new Worker(new URL("worker.js", import.meta.url), { type: "module" });
}

// Shows something else; what was shown ends, and a camera is given back.
function show(next) {
  video.pause();
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  video.removeAttribute("src");
  if (shown?.url) URL.revokeObjectURL(shown.url);
  shown = next;
  seen = null;
  announced = { text: "", at: 0 };
  times = NETS.map(() => []);
  const kind = next?.kind ?? null;
  video.hidden = kind !== "camera" && kind !== "film";
  video.controls = kind === "film";
  picture.hidden = kind !== "picture";
  by("empty").hidden = !video.hidden || !picture.hidden;
  by("stop").hidden = by("on").hidden = kind !== "camera";
  by("camera").hidden = kind === "camera";
  if (kind === null || kind === "camera") files = [];
  by("several").hidden = files.length < 2;
  draw();
  return next;
}

async function startCamera() {
  const mine = show({ kind: "camera" });
  by("stop").focus();
  say("Waiting for the camera …");
  try {
    if (!navigator.mediaDevices) throw new Error("a camera needs an address with https");
    const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
    const stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    const [track] = stream.getVideoTracks();
    if (shown !== mine) return track.stop();
    track.addEventListener("ended", () => shown === mine && stopCamera("The camera has ended."));
    mine.mirrored = track.getSettings().facingMode !== "environment"; // as people know themselves
    video.classList.toggle("mirrored", mine.mirrored);
    video.srcObject = stream;
    await video.play();
    say("The camera is on.");
    await follow(mine);
  } catch (error) {
    if (shown !== mine) return;
    const known = { NotAllowedError: "it was not allowed", NotFoundError: "there is none" }[error.name];
    stopCamera(known ? `No camera: ${known}.` : `It did not work: ${error.message}.`, true);
  }
}

function stopCamera(message, failed = false) {
  if (shown?.kind !== "camera") return;
  const focused = document.activeElement === by("stop");
  show(null);
  if (focused) by("camera").focus();
  say(message, failed);
}

async function showFile(index) {
  const file = files[index];
  by("which").textContent = `${index + 1} of ${files.length}: ${file.name}`;
  by("previous").disabled = index === 0;
  by("next").disabled = index === files.length - 1;
  const film = file.type.startsWith("video/");
  const mine = show({ kind: film ? "film" : "picture", name: file.name, index });
  try {
    await (film ? playFilm(mine, file) : readPicture(mine, file));
  } catch (error) {
    if (shown !== mine) return;
    show({ kind: "broken", index });
    const unread = error.name === "InvalidStateError" || error.name === "NotSupportedError";
    say(`${file.name}: ${unread ? "this browser cannot read it" : error.message}.`, true);
  }
}

async function playFilm(mine, file) {
  mine.url = URL.createObjectURL(file);
  video.classList.remove("mirrored");
  video.src = mine.url;
  await video.play();
  await follow(mine);
}

// Looks at a film for as long as it is shown, at a frame that stands only once.
async function follow(mine) {
  for (let last = null; shown === mine; ) {
    await new Promise(requestAnimationFrame);
    const now = JSON.stringify([video.currentTime, settings()]);
    if (now === last || shown !== mine || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) continue;
    last = now;
    const found = await ask(await createImageBitmap(video));
    if (shown === mine) took(found);
  }
}

async function readPicture(mine, file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  if (shown !== mine) return;
  [picture.width, picture.height] = [bitmap.width, bitmap.height];
  picture.getContext("2d").drawImage(bitmap, 0, 0);
  shape(bitmap);
  say("Looking for faces …");
  const found = await ask(bitmap);
  if (shown === mine) took(found);
}

function took(found) {
  seen = found;
  found.read.forEach(({ name, ms }, i) => {
    if (name !== by(NETS[i]).value || !found.boxes.length) return; // of a network chosen before
    times[i] = [...times[i], ms].slice(-FEW);
  });
  draw();
  const faces = found.boxes.length;
  const text = faces === 0 ? "No face found; “Smallest face” says from what size on." : faces === 1 ? "One face." : `${faces} faces.`;
  if (shown.kind === "picture") say(`${shown.name}: ${text} ${described()}`);
  else if (text !== announced.text && performance.now() > announced.at + PATIENCE_MS) {
    announced = { text, at: performance.now() };
    say(shown.kind === "camera" ? `The camera is on. ${text}` : text);
  }
}

// The class of a face by each network, once where they agree.
const labels = (face) => [...new Set(seen.read.map(({ shares }) => classes[largest(shares[face])]))].join(" | ");
const largest = (shares) => shares.indexOf(Math.max(...shares));
const described = () => seen.boxes.map((_, face) => labels(face)).join("; ");

function shape({ width, height }) {
  [overlay.width, overlay.height] = [width, height];
  by("stage").style.setProperty("--wide", width);
  by("stage").style.setProperty("--high", height);
}

function draw() {
  if (seen) shape(seen);
  const context = overlay.getContext("2d");
  context.clearRect(0, 0, overlay.width, overlay.height);
  const faces = seen?.boxes.length ?? 0;
  drawFaces(faces);
  const face = Number(by("face").value);
  overlay.setAttribute("aria-label", faces ? `Faces: ${described()}` : "No face");
  seen?.boxes.forEach((box, i) => box && drawBox(context, box, i === face, faces > 1 ? `${i + 1}: ${labels(i)}` : labels(i)));
  drawBars(faces ? face : null);
  by("finding").textContent = seen ? `Faces looked for in ${seen.finding.toFixed(0)} ms, ${seen.width}×${seen.height} pixels` : "";
}

function drawBox(context, { x, y, width, height }, chosen, label) {
  const pixel = overlay.width / (overlay.clientWidth || overlay.width), // of the screen
    left = shown.mirrored ? overlay.width - x - width : x;
  for (const [colour, line] of [["#14171a", chosen ? 6 : 4], [chosen ? "#f0a35a" : "#ffffff", chosen ? 3 : 1.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = line * pixel;
    context.strokeRect(left, y, width, height);
  }
  context.font = `600 ${14 * pixel}px system-ui, sans-serif`;
  const wide = context.measureText(label).width + 12 * pixel,
    high = 22 * pixel,
    at = Math.max(0, Math.min(left, overlay.width - wide)),
    top = y >= high ? y - high : Math.min(y + height, overlay.height - high);
  context.fillStyle = "#14171a";
  context.fillRect(at, top, wide, high);
  context.fillStyle = "#ffffff";
  context.fillText(label, at + 6 * pixel, top + 16 * pixel);
}

// The choice of the face whose bars are shown.
function drawFaces(faces) {
  const select = by("face");
  by("whose").hidden = faces < 2;
  if (select.options.length === Math.max(1, faces)) return;
  const before = Number(select.value);
  select.replaceChildren(...Array.from({ length: Math.max(1, faces) }, (_, i) => new Option(i ? `${i + 1}` : "1, the largest", i)));
  select.value = before < faces ? before : 0;
}

function drawBars(face) {
  NETS.forEach((id, net) => {
    by(`${id}-name`).textContent = seen?.read[net].name ?? by(id).value;
    by(`${id}-time`).textContent = times[net].length ? `${median(times[net]).toFixed(1)} ms a face` : "–";
    const shares = face === null ? null : seen.read[net].shares[face];
    [...by("bars").tBodies[0].rows].forEach((row, i) => {
      const [bar, text] = row.cells[net + 1].children;
      bar.style.inlineSize = `calc(${shares?.[i] ?? 0} * (100% - 64px))`;
      text.textContent = shares ? `${(100 * shares[i]).toFixed(1)} %` : "–";
      text.className = shares && i === largest(shares) ? "most" : "";
    });
  });
}

function makeBars() {
  const made = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const cell = (i) => made("td", { className: "barred" }, made("span", { className: i ? "bar second" : "bar" }), made("span"));
  const row = (name) => made("tr", {}, made("th", { scope: "row", textContent: name }), ...NETS.map((_, i) => cell(i)));
  by("bars").tBodies[0].replaceChildren(...classes.map(row));
}

function say(message, failed = false) {
  by("status").textContent = message;
  by("status").classList.toggle("failed", failed);
}

function choose(chosen) {
  if (!chosen.length) return;
  files = [...chosen];
  showFile(0);
}

makeOffline();
startTheme();
NETS.forEach((id) => {
  by(id).replaceChildren(...site.nets.map(({ name }) => new Option(name, name)));
  by(id).value = site.live[id];
});
makeBars();
show(null);
by("camera").addEventListener("click", startCamera);
by("stop").addEventListener("click", () => stopCamera("The camera is off."));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return;
  stopCamera("The camera is off, as this page was hidden.");
  video.pause();
});
addEventListener("pagehide", () => stopCamera("The camera is off."));
by("files").addEventListener("click", () => (by("files").value = "")); // the same file may be chosen again
by("files").addEventListener("change", () => choose(by("files").files));
by("previous").addEventListener("click", () => showFile(shown.index - 1));
by("next").addEventListener("click", () => showFile(shown.index + 1));
by("face").addEventListener("change", draw);
for (const id of [...NETS, "smallest"])
  by(id).addEventListener("change", () => {
    times = NETS.map(() => []);
    if (shown?.kind === "picture") showFile(shown.index);
    else draw();
  });
addEventListener("resize", draw);
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  choose(event.dataTransfer.files);
});
document.body.dataset.ready = "true";
