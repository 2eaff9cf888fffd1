// The strip of the service's own figures.

import { ask } from "./api.js";

const EVERY = 2000;

/** Sums the series of a metric, those with all of `labels`. */
function sum(metrics, name, labels = []) {
  let total = 0;
  for (const line of metrics.split("\n")) {
    const rest = line.startsWith(name) ? line.slice(name.length) : "";
    if ((rest[0] === "{" || rest[0] === " ") && labels.every((label) => rest.includes(label))) {
      total += Number(rest.slice(rest.lastIndexOf("} ") + 1));
    }
  }
  return total;
}

async function figures() {
  // Not ready is an answer, too.
  const health = await fetch("health").then((response) => response.json());
  const metrics = await ask("metrics").then((response) => response.text()).catch(() => null);
  const counts = metrics && {
    at: performance.now(),
    pictures: sum(metrics, "nin_images_total", ['outcome="ok"']),
    batched: sum(metrics, "nin_batch_size_sum"),
    batches: sum(metrics, "nin_batch_size_count"),
  };
  return { health, counts };
}

/** Shows the figures while anyone looks. */
export function watch() {
  const show = (id, text) => (document.getElementById(id).textContent = text);
  let before = null;
  const look = async () => {
    if (document.hidden) return;
    const { health, counts } = await figures().catch(() => ({}));
    const state = document.getElementById("live-state");
    const status = health?.status ?? (health ? "locked" : "gone");
    state.querySelector("span").textContent = { ready: "ready", unready: "not ready", locked: "locked" }[status] ?? "no answer";
    state.querySelector(".dot").className = `dot ${status === "ready" ? "good" : "bad"}`;
    state.title = health?.reasons?.join("; ") ?? "";
    show("live-queue", health?.queue ? String(health.queue.waiting + health.queue.undecoded) : "–");
    if (counts && before) {
      const batches = counts.batches - before.batches;
      const rate = (counts.pictures - before.pictures) / ((counts.at - before.at) / 1000);
      if (batches > 0) show("live-batch", ((counts.batched - before.batched) / batches).toFixed(1));
      show("live-rate", rate.toFixed(rate < 10 ? 1 : 0));
    }
    before = counts ?? before;
  };
  look();
  setInterval(look, EVERY);
}
