// From the package's files to an ONNX model: the graph of an architecture, gzipped and without its
// weights, and a weight file (safetensors). The same as lightfer.inference.onnx_from_weights: what is
// missing is appended as further fields of one Protocol Buffers message.

const FLOAT = 1; // TensorProto.DataType
const utf8 = new TextEncoder();

// The bytes of a file of this site as it is now; gzip is undone, by the server or here.
export async function load(path) {
  const answer = await fetch(new URL(path, import.meta.url), { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${path}: the server says ${answer.status}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

export const loadJson = async (path) => JSON.parse(new TextDecoder().decode(await load(path)));

// Of a net of the site: an exported file as it is, or a graph and the weights.
export async function netBytes({ name, file }) {
  if (file) return load(file);
  const [graph, weights] = await Promise.all([
    load(`nets/${name}.onnx.gz`),
    load(`nets/${name}.safetensors`),
  ]);
  return assembled(graph, weights);
}

export function assembled(graph, weights) {
  const view = new DataView(weights.buffer, weights.byteOffset, weights.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + length)));
  const tensors = [];
  for (const [name, about] of Object.entries(header)) {
    if (about.dtype !== "F16" && about.dtype !== "F32") continue; // integers are counters of training
    const [start, end] = about.data_offsets;
    const raw = weights.slice(8 + length + start, 8 + length + end);
    const values = about.dtype === "F32" ? raw : new Uint8Array(single(new Uint16Array(raw.buffer)).buffer);
    tensors.push(message(5, [...tensor(name, about.shape), ...message(9, [values])]));
  }
  return joined([graph, ...message(7, tensors.flat())]);
}

// A TensorProto but for its data: dims 1, data_type 2, name 8.
function tensor(name, shape) {
  const dims = shape.flatMap((side) => [number(1 << 3), number(side)]);
  return [...dims, number(2 << 3), number(FLOAT), ...message(8, [utf8.encode(name)])];
}

// A field whose content has a length (wire type 2), as a list of pieces.
function message(field, pieces) {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return [number((field << 3) | 2), number(length), ...pieces];
}

// Seven bits per byte, the lowest first; the eighth says that more follow.
function number(value) {
  const found = [];
  for (; value > 127; value = Math.floor(value / 128)) found.push((value & 127) | 128);
  return Uint8Array.from([...found, value]);
}

function joined(pieces) {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let place = 0;
  for (const piece of pieces) {
    all.set(piece, place);
    place += piece.length;
  }
  return all;
}

// float16 -> float32, by a table of all 65,536.
let table = null;
function single(halves) {
  table ??= Float32Array.from({ length: 65536 }, (_, half) => {
    const sign = half & 0x8000 ? -1 : 1,
      exponent = (half >> 10) & 31,
      fraction = half & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
  return Float32Array.from(halves, (half) => table[half]);
}
