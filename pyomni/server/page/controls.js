// The fields of a speech: what this model offers, and what was chosen.

import { $, capital, option } from "./dom.js";
import { voices } from "./server.js";

const KINDS = { custom_voice: "preset speakers", voice_design: "described voices", base: "cloned voices" };
const GROUPS = [["preset", "Speakers"], ["saved", "Saved voices"]];

export class Controls {
  #about = null;
  #saved = new Set();

  constructor() {
    $("text").addEventListener("input", () => this.#count());
    $("speed").addEventListener("input", () => { $("speed-said").textContent = `${$("speed").value}×`; });
    $("voice").addEventListener("change", () => this.#tools());
  }

  /** Show what the server says of its model. */
  offer(about) {
    this.#about = about;
    const about_it = [about.model, KINDS[about.kind] ?? about.kind, `${about.sample_rate / 1000} kHz`];
    $("model").textContent = about_it.join(" · ");
    $("text").maxLength = about.max_chars;
    this.#count();
    $("manner-field").hidden = !(about.instructions || about.needs_description);
    $("manner").required = about.needs_description;
    $("manner-label").textContent = about.needs_description ? "Describe the voice" : "How to say it";
    $("manner").placeholder = about.needs_description ? "A deep, slow voice" : "Calmly, with a smile";
    const asked = $("language").value;
    const languages = about.languages.map((name) => option(name, capital(name)));
    $("language").replaceChildren(option("", "Automatic"), ...languages);
    if (about.languages.includes(asked)) $("language").value = asked;
    $("language-field").hidden = !about.languages.length;
    $("speed-field").hidden = !about.speeds;
    if (about.speeds) [$("speed").min, $("speed").max] = about.speeds;
    $("new-voice").hidden = !about.clones;
    const formats = about.formats.filter((name) => name !== "pcm");
    $("format").replaceChildren(...["wav", ...formats.filter((name) => name !== "wav")].map(
      (name) => option(name, name === "opus" ? "Opus" : name.toUpperCase())));
  }

  /** Ask which voices there are; choose one of them, or the one that was chosen. */
  async list(chosen = $("voice").value) {
    const found = await voices();
    this.#saved = new Set(found.filter(({ kind }) => kind === "saved").map(({ id }) => id));
    const groups = GROUPS.map(([kind, label]) => {
      const group = document.createElement("optgroup");
      group.label = label;
      group.append(...found.filter((voice) => voice.kind === kind).map(({ id, name }) => option(id, capital(name))));
      return group;
    }).filter((group) => group.childElementCount);
    if (!found.some(({ kind }) => kind === "preset")) {
      groups.unshift(option("", this.#about.needs_description ? "As described" : "Any voice"));
    }
    $("voice").replaceChildren(...groups);
    if ([...$("voice").options].some(({ value }) => value === chosen)) $("voice").value = chosen;
    $("voice-field").hidden = this.#about.needs_description && !found.length;
    this.#tools();
  }

  /** The body of a request; without a seed, one is drawn here, so that the same can be asked for again. */
  body() {
    const text = $("text").value;
    if (!text.trim()) throw new Refused("There is nothing to say yet.", "text");
    const manner = $("manner").value.trim();
    if (!manner && this.#about.needs_description) throw new Refused("The voice is not described yet.", "manner");
    const given = $("seed").value.trim();
    const seed = given ? Number(given) : crypto.getRandomValues(new Uint32Array(1))[0];
    if (!/^\d*$/.test(given) || !Number.isSafeInteger(seed)) {
      throw new Refused(`The seed is ${given.slice(0, 40)}, expected a whole number from 0, or nothing.`, "seed");
    }
    const body = { input: text, seed };
    if ($("voice").value) body.voice = $("voice").value;
    if ($("language").value) body.language = $("language").value;
    if (manner && !$("manner-field").hidden) body.instructions = manner;
    if (this.#about.speeds && Number($("speed").value) !== 1) body.speed = Number($("speed").value);
    return body;
  }

  #count() {
    const most = this.#about?.max_chars;
    const n = $("text").value.length;
    $("count").textContent = most ? `${n.toLocaleString("en")} of ${most.toLocaleString("en")}` : "";
  }

  #tools() {
    $("drop-voice").hidden = !this.#saved.has($("voice").value);
    $("voice-tools").hidden = $("drop-voice").hidden && $("new-voice").hidden;
  }
}

/** A field that is not what it has to be. */
export class Refused extends Error {
  constructor(message, id) {
    super(message);
    this.id = id;
  }
}
