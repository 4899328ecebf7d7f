// Faces in a grey picture, as lightfer.data.finder has OpenCV find them: its cascade on the picture at
// many sizes, number for number (4.x: resizing in fixed point, features in single precision), then
// overlapping hits grouped. What is left out: the second, more patient look for one close-up.

import { even, resampled } from "./pixels.js";

const STEP = 1.1, // of sizes
  NEIGHBOURS = 4, // hits that make a face
  LONGEST_SIDE = 1024, // pixels; larger pictures are searched in a copy of this size
  ALIKE = 0.2; // of a side: hits that are no further apart are of one face
const { abs, floor, fround, max, min, sqrt } = Math;

// The cascade's JSON -> a function of a grey picture { grey, width, height } (8 bits) and of the smallest
// face in pixels, to boxes { x, y, width, height }, the largest first.
export function faceFinder(json) {
  const search = cascade(json);
  return (picture, smallest) => {
    const shrunk = min(1, LONGEST_SIDE / max(picture.width, picture.height));
    const found = grouped(search(shrunk < 1 ? smaller(picture, shrunk) : picture, smallest));
    const boxes = found.map(([x, y, width, height]) => {
      const [left, top, wide, high] = [x, y, width, height].map((v) => even(v / shrunk));
      return { x: left, y: top, width: wide, height: high };
    });
    return withoutNested(boxes.sort((a, b) => b.width * b.height - a.width * a.height));
  };
}

function cascade({ side, stages, branches, thresholds, leaves, rectangles }) {
  const nodes = thresholds.length,
    inside = (side - 2) ** 2; // the window's normalised by what is within its border
  const left = Int32Array.from({ length: nodes }, (_, i) => branches[2 * i]),
    right = Int32Array.from({ length: nodes }, (_, i) => branches[2 * i + 1]),
    limits = Float32Array.from(thresholds),
    values = Float32Array.from(leaves),
    weights = Int32Array.from({ length: 3 * nodes }, (_, i) => rectangles[floor(i / 3)][i % 3]?.[4] ?? 0),
    corners = new Int32Array(12 * nodes);
  const trees = Int32Array.from(stages, ([count]) => count),
    least = Float32Array.from(stages, ([, threshold]) => threshold);
  let stride = 0,
    sums,
    squares;

  function setStride(wanted, rows) {
    if (wanted !== stride) {
      stride = wanted;
      rectangles.forEach((parts, node) =>
        parts.forEach(([x, y, width, height], part) => {
          const at = y * stride + x,
            below = at + height * stride;
          corners.set([at, at + width, below, below + width], 12 * node + 4 * part);
        }),
      );
      sums = null;
    }
    if (!sums || sums.length < stride * rows) {
      sums = new Int32Array(stride * rows);
      squares = new Int32Array(stride * rows);
    }
  }

  // What the rectangles of a node's feature sum up to, in the window whose corner is at `at`.
  function feature(node, at) {
    const w = 3 * node,
      sum = weights[w] * area(12 * node, at) + weights[w + 1] * area(12 * node + 4, at);
    return weights[w + 2] === 0 ? sum : sum + weights[w + 2] * area(12 * node + 8, at);
  }

  const area = (c, at) =>
    (sums[at + corners[c]] - sums[at + corners[c + 1]] - sums[at + corners[c + 2]] + sums[at + corners[c + 3]]) | 0;

  // The stage at which the window fails; -1 where it is too even to be looked at, else all of them.
  function passed(at) {
    const near = at + stride + 1,
      far = near + (side - 2) * stride,
      across = side - 2;
    const sum = sums[near] - sums[near + across] - sums[far] + sums[far + across];
    const square = (squares[near] - squares[near + across] - squares[far] + squares[far + across]) >>> 0;
    const variance = inside * square - sum * sum;
    if (variance <= 0) return -1;
    const norm = fround(1 / sqrt(variance));
    if (inside * norm >= 0.1) return -1;
    for (let stage = 0, root = 0, leaf = 0; stage < trees.length; stage++) {
      let total = 0;
      for (let tree = 0; tree < trees[stage]; tree++) {
        let node = 0;
        do {
          const here = root + node;
          node = fround(feature(here, at) * norm) < limits[here] ? left[here] : right[here];
        } while (node > 0);
        total += values[leaf - node];
        root += 2; // every tree of this cascade has two nodes, three leaves
        leaf += 3;
      }
      if (total < least[stage]) return stage;
    }
    return trees.length;
  }

  return (picture, smallest) => {
    const hits = [];
    let first = true;
    for (let step = 1; ; step *= STEP) {
      const scale = fround(step),
        face = even(fround(side * scale));
      if (face > picture.width || face > picture.height) return hits;
      if (face < smallest) continue;
      const width = even(fround(picture.width / scale)),
        height = even(fround(picture.height / scale));
      if (first) setStride(width + 1, height + 1);
      first = false;
      integrals(picture, width, height, stride, sums, squares);
      const by = scale >= 2 ? 1 : 2;
      for (let y = 0; y + side <= height; y += by)
        for (let x = 0; x + side <= width; x += by) {
          const stages = passed(y * stride + x);
          if (stages === trees.length) hits.push([even(fround(x * scale)), even(fround(y * scale)), face, face]);
          else if (stages === 0) x += by;
        }
    }
  };
}

// The sums of pixels, and of their squares, above and left of each, of the picture at another size:
// bilinear, as OpenCV's INTER_LINEAR_EXACT, weights and sums in fixed point.
function integrals({ grey, width, height }, newWidth, newHeight, stride, sums, squares) {
  const [columns, across] = linear(width, newWidth),
    [rows, down] = linear(height, newHeight);
  let upper = new Uint16Array(newWidth),
    lower = new Uint16Array(newWidth),
    has = [-1, -1];
  const line = (row, into) => {
    for (let x = 0, at = row * width; x < newWidth; x++) {
      const pixel = at + columns[x];
      into[x] = across[x] ? (256 - across[x]) * grey[pixel] + across[x] * grey[pixel + 1] : grey[pixel] << 8;
    }
  };
  for (let y = 0; y < newHeight; y++) {
    const wanted = [rows[y], min(rows[y] + 1, height - 1)],
      part = down[y];
    if (has[1] === wanted[0]) [upper, lower, has] = [lower, upper, [has[1], has[0]]];
    if (has[0] !== wanted[0]) line(wanted[0], upper);
    if (part && has[1] !== wanted[1]) line(wanted[1], lower);
    has = [wanted[0], part ? wanted[1] : has[1]];
    let sum = 0,
      square = 0;
    for (let x = 0, at = (y + 1) * stride + 1; x < newWidth; x++, at++) {
      const pixel = ((256 - part) * upper[x] + part * lower[x] + 32768) >>> 16;
      sum += pixel;
      square += pixel * pixel;
      sums[at] = sums[at - stride] + sum;
      squares[at] = squares[at - stride] + square;
    }
  }
}

// For each new pixel, the old one before its middle and the next one's part, of 256.
function linear(size, newSize) {
  const scale = 1 / (newSize / size),
    before = new Int32Array(newSize),
    parts = new Int32Array(newSize);
  for (let i = 0; i < newSize; i++) {
    const middle = scale * (i + 0.5) - 0.5,
      pixel = floor(middle);
    before[i] = max(0, min(pixel, size - 1));
    if (pixel >= 0 && pixel < size - 1) parts[i] = even(256 * (middle - pixel));
  }
  return [before, parts];
}

// Alike hits as their means, where there are enough, and without those within a face of more hits.
function grouped(hits) {
  const group = hits.map((_, i) => i);
  const root = (i) => {
    while (group[i] !== i) i = group[i] = group[group[i]];
    return i;
  };
  for (let i = 0; i < hits.length; i++) for (let j = 0; j < i; j++) if (alike(hits[i], hits[j])) group[root(i)] = root(j);
  const groups = new Map();
  hits.forEach((hit, i) => groups.set(root(i), [...(groups.get(root(i)) ?? []), hit]));
  const faces = [...groups.values()]
    .filter((members) => members.length > NEIGHBOURS)
    .map((members) => ({ count: members.length, box: mean(members) }));
  return faces
    .filter((face) => !faces.some((other) => other !== face && other.count > face.count && within(face.box, other.box)))
    .map(({ box }) => box);
}

function alike([x, y, width, height], [u, v, wide, high]) {
  const most = ALIKE * (min(width, wide) + min(height, high)) * 0.5;
  const near = (a, b) => abs(a - b) <= most;
  return near(x, u) && near(y, v) && near(x + width, u + wide) && near(y + height, v + high);
}

function mean(hits) {
  const share = fround(1 / hits.length);
  return [0, 1, 2, 3].map((i) => even(fround(hits.reduce((sum, hit) => sum + hit[i], 0) * share)));
}

function within([x, y, width, height], [u, v, wide, high]) {
  const dx = even(wide * ALIKE),
    dy = even(high * ALIKE);
  return x >= u - dx && y >= v - dy && x + width <= u + wide + dx && y + height <= v + high + dy;
}

// Boxes, the largest first, without those whose middle lies in a larger one.
function withoutNested(boxes) {
  const kept = [];
  for (const box of boxes) {
    const x = box.x + box.width / 2,
      y = box.y + box.height / 2;
    const holds = (k) => k.x <= x && x < k.x + k.width && k.y <= y && y < k.y + k.height;
    if (!kept.some(holds)) kept.push(box);
  }
  return kept;
}

// The picture made smaller, each new pixel the mean of the area that it covers, as INTER_AREA of OpenCV.
function smaller({ grey, width, height }, factor) {
  const wide = max(1, even(width * factor)),
    high = max(1, even(height * factor));
  const narrow = resampled(grey, height, width, areas(width, wide), false);
  return { grey: resampled(narrow, wide, height, areas(height, high)), width: wide, height: high };
}

function areas(size, newSize) {
  const scale = size / newSize;
  return Array.from({ length: newSize }, (_, i) => {
    const first = floor(i * scale),
      end = min(size, (i + 1) * scale);
    const covered = Array.from({ length: Math.ceil(end) - first }, (_, j) => min(end, first + j + 1) - max(i * scale, first + j));
    return { first, weights: covered };
  });
}
