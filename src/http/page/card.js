// One picture and what is said of it.

import { classify, curl, explain, overlay } from "./api.js";
import { paint } from "./heat.js";

const SHOWN = 5;

const WARNINGS = {
  "rotated-by-exif": "turned upright as its camera noted",
  "alpha-flattened": "transparent parts filled in",
  "first-frame-only": "only its first frame was looked at",
  "cmyk-converted": "print colours converted",
  upscaled: "smaller than the network’s input, so enlarged",
  inverted: "dark on light turned to light on dark",
  "content-type-mismatch": "it is of another format than its name says",
};

const percent = (share) => (share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share > 0.9995 ? 0 : 1)} %`);
const element = (tag, text = "") => Object.assign(document.createElement(tag), { textContent: text });

export class Card {
  constructor(file, name, model) {
    Object.assign(this, { file, name, model });
    this.node = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.node.querySelector(selector);
    this.find("h3").textContent = name;
    this.find(".slider span").textContent = "Heat map";
    this.find(".slider input").ariaLabel = `Heat map over ${name}`;
    this.find(".slider input").oninput = ({ target }) => this.fade(target.value / 100);
    this.find(".curl button").onclick = ({ target }) => copy(this.find("code").textContent, target);
    this.show(file);
  }

  /** Puts another picture into the card, as when a drawing goes on. */
  show(file) {
    this.file = file;
    const image = this.find("img");
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(file);
    image.onerror = () => this.showFromService();
    image.src = this.url;
    image.alt = this.name;
  }

  /** Browsers can't show TIFF, PNM or QOI; the service can. */
  async showFromService() {
    const image = this.find("img");
    image.onerror = null;
    image.hidden = true;
    try {
      const seen = await overlay(this.file, this.model);
      URL.revokeObjectURL(this.url);
      image.src = this.url = URL.createObjectURL(seen);
      image.hidden = false;
      this.find(".heat").hidden = this.find(".box").hidden = this.find(".slider").hidden = true;
      this.painted = true;
    } catch {
      // Nothing can be shown; the answer says what is wrong.
      this.node.classList.add("blank");
    }
  }

  /** Asks the service; resolves to the answer, or none after an error, which the card then tells. */
  async ask() {
    const asked = this.file;
    this.node.classList.add("pending");
    try {
      const { answer, times } = await classify(asked, this.model);
      if (asked === this.file) this.tell(answer, times);
      return answer;
    } catch (trouble) {
      this.fail(trouble);
      throw trouble;
    } finally {
      this.node.classList.remove("pending");
    }
  }

  fail({ message }) {
    const error = this.find(".error");
    error.textContent = message;
    error.hidden = false;
    for (const part of [".bars", ".warnings", ".facts"]) this.find(part).replaceChildren();
    this.find(".curl").hidden = this.find(".slider").hidden = true;
    this.find(".heat").hidden = this.find(".box").hidden = true;
  }

  tell(answer, times) {
    const { image, explanation, predictions } = answer;
    this.find(".error").hidden = true;
    this.node.classList.toggle("small", Math.max(image.width, image.height) <= 64);
    const size = element("small", `${image.format.toUpperCase()}, ${image.width} × ${image.height}`);
    this.find("h3").replaceChildren(this.name, size);
    this.find(".bars").replaceChildren(...predictions.slice(0, SHOWN).map((said) => this.bar(said)));
    this.find(".warnings").replaceChildren(...answer.warnings.map((warning) => element("li", WARNINGS[warning] ?? warning)));
    this.find(".facts").textContent = facts(answer.model, times);
    this.find("code").textContent = curl(this.name, answer.model);
    this.find(".curl").hidden = false;
    this.image = image;
    this.explain(explanation);
  }

  bar({ label, index, probability }) {
    const button = element("button");
    button.type = "button";
    button.dataset.index = index;
    const [track, fill] = [element("i"), element("b")];
    fill.style.width = `${100 * probability}%`;
    track.append(fill);
    const name = element("span", label);
    name.title = label;
    button.append(name, track, element("em", percent(probability)));
    button.onclick = () => this.choose(index);
    const item = element("li");
    item.append(button);
    return item;
  }

  /** Shows what speaks for another class. */
  async choose(index) {
    try {
      this.explain(await explain(this.file, this.model, index));
    } catch (trouble) {
      this.fail(trouble);
    }
  }

  explain({ index, label, map, box }) {
    for (const button of this.node.querySelectorAll(".bars button")) {
      button.ariaPressed = String(button.dataset.index === String(index));
    }
    if (this.painted) return;
    const heat = this.find(".heat");
    paint(heat, map, this.image);
    heat.hidden = this.find(".slider").hidden = false;
    const frame = this.find(".box");
    frame.hidden = !box;
    if (box) {
      const share = (length, of) => `${(100 * length) / of}%`;
      Object.assign(frame.style, {
        left: share(box.x, this.image.width),
        top: share(box.y, this.image.height),
        width: share(box.width, this.image.width),
        height: share(box.height, this.image.height),
      });
    }
    frame.title = `where the network sees ${label}`;
    this.fade(this.find(".slider input").value / 100);
  }

  fade(opacity) {
    this.find(".heat").style.opacity = opacity;
    this.find(".box").style.opacity = Math.min(1, opacity * 1.5);
  }

  remove() {
    URL.revokeObjectURL(this.url);
    this.node.remove();
  }
}

function facts(model, { decode, queue, inference, total }) {
  const time = (name, value) => (value === undefined ? [] : [`${name} ${value.toFixed(1)} ms`]);
  const stages = [...time("decoding", decode), ...time("waiting", queue), ...time("network", inference), ...time("in all", total)];
  return [model, ...stages].join(" · ");
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Without HTTPS browsers keep the clipboard shut: mark the line instead.
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Marked";
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
