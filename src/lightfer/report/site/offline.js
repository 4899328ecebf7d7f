// The service worker: it keeps the files for visits without a network, and isolates the page, so that
// its clock is finer, on hosts that do not send the headers themselves (after a reload).

import { loadJson } from "./nets.js";

const MOST_MS = 5000; // to wait for it: a page that is never served by it works all the same

// Resolves once files are kept, or when there is no hope of it. `reload` is a button that is shown
// where a reload would isolate the page, if that matters.
export async function makeOffline(reload = null) {
  if (!("serviceWorker" in navigator) || !isSecureContext) return;
  const late = new Promise((resolve) => setTimeout(resolve, MOST_MS));
  await Promise.race([newest().catch(() => {}), late]); // no network, or a browser that forbids it
  if (!navigator.serviceWorker.controller || crossOriginIsolated || !reload) return;
  reload.hidden = false;
  reload.addEventListener("click", () => location.reload());
}

// Resolves once this page is served by the worker of the newest build.
async function newest() {
  const { serviceWorker } = navigator;
  const registration = await serviceWorker.register(new URL("offline-worker.js", import.meta.url));
  await registration.update();
  const next = registration.installing ?? registration.waiting;
  if (next) await once(next, "statechange", () => ["activating", "activated", "redundant"].includes(next.state));
  await once(serviceWorker, "controllerchange", () => serviceWorker.controller);
}

const once = (target, event, condition) =>
  new Promise((resolve) => {
    const look = () => condition() && resolve();
    target.addEventListener(event, look);
    look();
  });

// To be awaited before a page fetches more. Throws where it is of another build than what it would get.
export async function settle(build) {
  await makeOffline();
  if ((await loadJson("site.json")).build !== build)
    throw new Error("this site was updated meanwhile: reload this page");
}
