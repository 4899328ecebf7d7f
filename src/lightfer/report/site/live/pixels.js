// Pixels as Pillow handles them.

const BITS = 22; // of its fixed point

// Halves go to the even neighbour, in Python as in OpenCV.
export function even(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 ? up - 1 : up;
}

// Luma (ITU-R 601) of RGBA pixels.
export function luma(pixels) {
  const grey = new Uint8Array(pixels.length / 4);
  for (let i = 0, at = 0; i < grey.length; i++, at += 4)
    grey[i] = (19595 * pixels[at] + 38470 * pixels[at + 1] + 7471 * pixels[at + 2] + 0x8000) >> 16;
  return grey;
}

// Each line at another length, where a new pixel is the weighted mean of old ones from its `first` on.
// Lines become columns, so that a second time does the other direction. 8 bits, or not `rounded`.
export function resampled(pixels, lines, length, means, rounded = true) {
  const found = new (rounded ? Uint8Array : Float64Array)(means.length * lines);
  means.forEach(({ first, weights }, i) => {
    const all = weights.reduce((a, b) => a + b),
      shares = weights.map((weight) => Math.floor(0.5 + (weight / all) * 2 ** BITS));
    for (let line = 0; line < lines; line++) {
      let sum = rounded ? 2 ** (BITS - 1) : 0;
      for (let j = 0, at = line * length + first; j < shares.length; j++) sum += shares[j] * pixels[at + j];
      found[i * lines + line] = sum / 2 ** BITS;
    }
  });
  return found;
}
