// Wires the page up.

import { ask, key } from "./api.js";
import { Card } from "./card.js";
import { easel } from "./draw.js";
import { watch } from "./live.js";

const at = (id) => document.getElementById(id);
const cards = new Set();
let models = [];
let drawing = null;

// Models

async function loadModels() {
  try {
    const list = await ask("models").then((response) => response.json());
    models = list.models;
    // A link may name a model: /?model=nin-mnist
    const linked = new URLSearchParams(location.search).get("model");
    const chosen = models.some(({ name }) => name === linked) ? linked : list.default;
    at("model").replaceChildren(...models.map(({ name }) => new Option(name, name, name === chosen, name === chosen)));
    at("key-form").hidden = true;
    at("draw").hidden = !reader();
    describe();
  } catch (trouble) {
    at("key-form").hidden = trouble.code !== "unauthorized";
    at("model-note").textContent = trouble.message;
  }
}

function describe() {
  const model = models.find(({ name }) => name === at("model").value);
  if (!model) return;
  const { description, labels, accuracy, parameters } = model;
  const measured = accuracy ? ` ${(100 * accuracy.top1).toFixed(1)} % right on ${accuracy.data}.` : "";
  const millions = parameters >= 1e6 ? `${(parameters / 1e6).toFixed(1)} million` : parameters.toLocaleString("en");
  at("model-note").textContent = `${description} ${labels.length} classes, ${millions} parameters.${measured}`;
}

/** The model that reads digits: the chosen one, or the most accurate that takes grey pictures. */
function reader() {
  const grey = models.filter(({ input }) => input.channels === 1);
  const right = ({ accuracy }) => accuracy?.top1 ?? 0;
  return grey.find(({ name }) => name === at("model").value) ?? grey.sort((a, b) => right(b) - right(a))[0];
}

// Pictures

function add(card) {
  at("empty").hidden = true;
  at("tools").hidden = false;
  cards.add(card);
  at("answers").prepend(card.node);
}

const say = (text) => (at("status").textContent = text);

async function run(card) {
  try {
    const { predictions: [best] } = await card.ask();
    say(`${card.name}: ${best.label}, ${Math.round(100 * best.probability)} percent`);
    return best;
  } catch (trouble) {
    say(`${card.name}: ${trouble.message}`);
    if (trouble.code === "unauthorized") at("key-form").hidden = false;
    return null;
  }
}

function take(files, name) {
  // Where everything is in one column the answers are far below.
  if (files.length && matchMedia("(max-width: 52rem)").matches) requestAnimationFrame(() => at("tools").scrollIntoView());
  for (const file of [...files].reverse()) {
    const card = new Card(file, name ?? file.name, at("model").value);
    add(card);
    run(card);
  }
}

at("model").onchange = describe;
for (const id of ["files", "photo"]) {
  at(id).onchange = ({ target }) => {
    take(target.files);
    target.value = "";
  };
}
document.addEventListener("paste", ({ clipboardData }) => {
  take(clipboardData?.files ?? [], "pasted.png");
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  take(event.dataTransfer.files);
});
at("clear").onclick = () => {
  for (const card of cards) card.remove();
  cards.clear();
  drawing = null;
  at("empty").hidden = false;
  at("tools").hidden = true;
};

// Drawing

const wipe = easel(at("canvas"), {
  async drawn(picture) {
    const model = reader().name;
    if (drawing && cards.has(drawing)) {
      drawing.model = model;
      drawing.show(picture);
    } else {
      drawing = new Card(picture, "drawing.png", model);
      add(drawing);
    }
    const card = drawing;
    const best = await run(card);
    if (best && card === drawing && card.file === picture) {
      const sure = document.createElement("small");
      sure.textContent = `${Math.round(100 * best.probability)} %`;
      at("reading").replaceChildren(best.label, sure);
    }
  },
  wiped() {
    drawing = null;
    at("reading").replaceChildren();
  },
});
at("wipe").onclick = wipe;

// Key and colours

at("key-form").onsubmit = (event) => {
  event.preventDefault();
  key.set(at("key").value);
  loadModels();
};

const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const name = () => (at("theme").textContent = dark() ? "Light" : "Dark");
const chosen = localStorage.getItem("nin-serve-theme");
if (chosen) document.documentElement.dataset.theme = chosen;
at("theme").onclick = () => {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("nin-serve-theme", theme);
  name();
};
name();

loadModels();
watch();
