// The service worker: it keeps the files for visits without a network, and isolates the page, so that
// its clock is finer, on hosts that do not send the headers themselves (after a reload).

const MOST_MS = 5000; // to wait for it: a page that is never served by it works all the same

// Resolves once files are kept, or when there is no hope of it. `reload` is a button that is shown
// where a reload would isolate the page, if that matters.
export async function makeOffline(reload = null) {
  if (!("serviceWorker" in navigator) || !isSecureContext) return;
  const controlled = new Promise((resolve) => {
    if (navigator.serviceWorker.controller) resolve(true);
    navigator.serviceWorker.addEventListener("controllerchange", () => resolve(true), { once: true });
    setTimeout(() => resolve(false), MOST_MS);
  });
  try {
    await navigator.serviceWorker.register(new URL("offline-worker.js", import.meta.url));
  } catch {
    return; // a browser that forbids it
  }
  if (!(await controlled) || crossOriginIsolated || !reload) return;
  reload.hidden = false;
  reload.addEventListener("click", () => location.reload());
}
