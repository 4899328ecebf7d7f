// What the browser keeps for this site: the journal of a benchmark, the last results, the device's
// name. What it does not keep, as with a full storage, is lost with the page.

const memory = new Map(); // what is not stored

export function keep(name, value) {
  try {
    localStorage.setItem(`lightfer-${name}`, JSON.stringify(value));
    memory.delete(name);
  } catch {
    memory.set(name, value);
  }
}

export function kept(name) {
  return memory.has(name) ? memory.get(name) : stored(name);
}

// What another page of this site will find.
export function stored(name) {
  try {
    return JSON.parse(localStorage.getItem(`lightfer-${name}`));
  } catch {
    return null; // no storage, or not ours
  }
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
