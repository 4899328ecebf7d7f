// What the browser keeps for this site: the journal of a benchmark, the last results, the device's
// name. A browser that keeps nothing loses them with the page.

const memory = new Map();

export function keep(name, value) {
  memory.set(name, value);
  try {
    localStorage.setItem(`lightfer-${name}`, JSON.stringify(value));
  } catch {
    /* then it lasts as long as the page */
  }
}

export function kept(name) {
  try {
    const text = localStorage.getItem(`lightfer-${name}`);
    if (text !== null) return JSON.parse(text);
  } catch {
    /* no storage, or not ours */
  }
  return memory.get(name) ?? null;
}

export function drop(name) {
  memory.delete(name);
  try {
    localStorage.removeItem(`lightfer-${name}`);
  } catch {
    /* nothing was kept */
  }
}

// Random characters of this visitor's own, so that two devices of one name stay two.
export function visitor() {
  let own = kept("visitor");
  if (typeof own !== "string") {
    own = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");
    keep("visitor", own);
  }
  return own;
}
