// The dialog that makes a voice of a clip.

import { $, enable, onPress } from "./dom.js";
import { canRecord, Recorder } from "./recorder.js";
import { toInts, wavFile } from "./samples.js";
import { keepVoice } from "./server.js";

const READ_THERE = /\.(wav|flac|mp3|ogg|opus|aiff?)$/i; // what the server reads; the rest is decoded here

export class Cloning {
  #clip = null;
  #recorder = null;
  #most = Infinity;
  #onKept;

  /** `onKept(voice)` is called with a new voice. */
  constructor(onKept) {
    this.#onKept = onKept;
    $("record").hidden = $("mic-label").hidden = !canRecord();
    $("clone-file").addEventListener("change", () => this.#take($("clone-file").files[0] ?? null));
    onPress($("record"), () => this.#record());
    onPress($("close"), () => $("cloning").close());
    $("cloning").addEventListener("close", () => this.#empty());
    $("clone").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#keep();
    });
  }

  /** Begin; the server takes at most so many bytes. */
  open(most) {
    this.#most = most;
    this.#empty();
    $("cloning").showModal();
    $("clone-name").focus();
  }

  #say(words, id) {
    $("clone-alert").textContent = words;
    if (id) $(id).focus();
  }

  #take(clip) {
    URL.revokeObjectURL($("clone-heard").src);
    this.#clip = clip;
    this.#say("");
    $("clone-heard").hidden = !clip;
    if (clip) $("clone-heard").src = URL.createObjectURL(clip);
    else $("clone-heard").removeAttribute("src");
  }

  async #record() {
    if (this.#recorder) {
      const clip = this.#recorder.stop();
      this.#rest();
      this.#take(clip);
      return;
    }
    enable($("record"), false); // until the browser has asked
    try {
      const recorder = await Recorder.start((seconds, level) => this.#meter(seconds, level), () => this.#record());
      if (!$("cloning").open) {
        recorder.close();
        return;
      }
      this.#recorder = recorder;
      $("clone-file").value = "";
      this.#take(null);
      $("record").textContent = "Stop recording";
      $("level").hidden = false;
    } catch (error) {
      this.#say(error.message);
    } finally {
      enable($("record"), true);
    }
  }

  #meter(seconds, level) {
    $("level").value = Math.min(1, Math.sqrt(level) * 1.4);
    const clock = `${Math.floor(seconds)} s`;
    if ($("clock").textContent !== clock) $("clock").textContent = clock;
  }

  #rest() {
    this.#recorder?.close();
    this.#recorder = null;
    $("record").textContent = "Record";
    $("level").hidden = true;
  }

  #empty() {
    this.#rest();
    this.#take(null);
    $("clone").reset();
    $("clock").textContent = $("clone-status").textContent = "";
  }

  async #keep() {
    if (this.#recorder) await this.#record();
    const name = $("clone-name").value.trim();
    if (!name) return this.#say("The voice has no name yet.", "clone-name");
    if (!this.#clip) return this.#say("There is no clip yet: choose a file, or record one.", "clone-file");
    if (!$("consent").checked) {
      return this.#say("A voice is kept only if its speaker agreed: please confirm that.", "consent");
    }
    if (this.#clip.size > this.#most) {
      return this.#say(`The clip has ${this.#clip.size} bytes, and this server takes ${this.#most}.`, "clone-file");
    }
    this.#say("");
    $("clone-status").textContent = "Listening to the clip…";
    enable($("keep"), false);
    try {
      const form = new FormData();
      form.set("name", name);
      form.set("consent", "true");
      if ($("clone-said").value.trim()) form.set("ref_text", $("clone-said").value.trim());
      form.set("audio_sample", await readable(this.#clip), "clip");
      const voice = await keepVoice(form);
      $("cloning").close();
      await this.#onKept(voice);
    } catch (error) {
      $("clone-status").textContent = "";
      this.#say(error.message);
    } finally {
      enable($("keep"), true);
    }
  }
}

/** The clip, as a file the server can read. */
async function readable(clip) {
  if (!clip.name || READ_THERE.test(clip.name)) return clip;
  try {
    const sound = await new OfflineAudioContext(1, 1, 24000).decodeAudioData(await clip.arrayBuffer());
    const mixed = new Float32Array(sound.length);
    for (let c = 0; c < sound.numberOfChannels; c++) {
      sound.getChannelData(c).forEach((s, i) => { mixed[i] += s / sound.numberOfChannels; });
    }
    return wavFile([toInts(mixed)], sound.sampleRate);
  } catch {
    throw new Error(`${clip.name} cannot be read as sound.`);
  }
}
