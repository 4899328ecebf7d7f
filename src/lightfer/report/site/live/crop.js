// From a box to what the networks take, as lightfer.data.crop does it: a square about the box's middle,
// what is outside the picture filled from its edge, and Pillow's antialiased bilinear resampling.

import { even, resampled } from "./pixels.js";

export const CROP_SIDE = 128; // a picture no longer than this is taken for a crop of one face
const SCALE = 1 / 0.96; // side of the crop in sides of the box

// The face at `box`, or all of a picture that is a crop (null), grey, `size` x `size` pixels of 8 bits.
export function faceCrop({ grey, width, height }, box, size) {
  const { x, y, side } = box ? around(box) : middle(width, height);
  const square = new Uint8Array(side * side);
  for (let row = 0; row < side; row++) {
    const at = Math.max(0, Math.min(height - 1, y + row)) * width;
    for (let column = 0; column < side; column++)
      square[row * side + column] = grey[at + Math.max(0, Math.min(width - 1, x + column))];
  }
  const means = triangles(side, size);
  return resampled(resampled(square, side, side, means), size, side, means);
}

function around({ x, y, width, height }) {
  const side = Math.max(1, even(Math.max(width, height) * SCALE));
  return { x: even(x + width / 2 - side / 2), y: even(y + height / 2 - side / 2), side };
}

function middle(width, height) {
  const side = Math.min(width, height);
  return { x: (width - side) >> 1, y: (height - side) >> 1, side };
}

// For each new pixel of a line, the first old one that it sees, and the weights from there on.
function triangles(size, newSize) {
  const scale = size / newSize,
    support = Math.max(1, scale);
  return Array.from({ length: newSize }, (_, i) => {
    const centre = (i + 0.5) * scale,
      first = Math.max(0, Math.floor(centre - support + 0.5)),
      end = Math.min(size, Math.floor(centre + support + 0.5));
    const weight = (pixel) => Math.max(0, 1 - Math.abs(pixel - centre + 0.5) / support);
    return { first, weights: Array.from({ length: end - first }, (_, j) => weight(first + j)) };
  });
}
