// One speech: asked for, heard, drawn and timed.

import { Player } from "./player.js";
import { PcmReader, toFloats, wavFile } from "./samples.js";
import { speak } from "./server.js";

export class Take {
  #context;
  #picture;
  #leave = new AbortController();
  #blocks = [];
  #player;
  #n = 0;

  /** The body of a request, the sound's way out, and where it is drawn. */
  constructor(body, context, picture) {
    this.body = body;
    this.rate = context.sampleRate;
    /** Whether more is to come, and whether all of it is here. */
    this.making = true;
    this.whole = false;
    this.#context = context;
    this.#picture = picture;
    this.#player = new Player(context);
  }

  /** Seconds of sound that are here. */
  get seconds() {
    return this.#n / this.rate;
  }

  get heard() {
    return this.#player.heard;
  }

  /** Whether there is nothing more to hear. */
  get silent() {
    return this.#player.silent;
  }

  /** Settles when what there is was heard, or playing was stopped. */
  get finished() {
    return this.#player.finished;
  }

  /** Whether stopping was asked for. */
  get stopped() {
    return this.#leave.signal.aborted;
  }

  /** Make it; `onBlock` is called as sound comes. Throws what the server says. */
  async make(onBlock) {
    const reader = new PcmReader();
    const columns = this.#picture.begin(this.rate);
    try {
      for await (const bytes of speak(this.body, this.#leave.signal)) {
        const samples = reader.push(bytes);
        const floats = toFloats(samples);
        this.#blocks.push(samples);
        this.#n += samples.length;
        this.#player.push(floats);
        this.#picture.push(columns, floats);
        onBlock();
      }
      this.whole = true;
    } catch (error) {
      if (!this.stopped) throw error;
    } finally {
      this.making = false;
      this.#player.end();
      this.#picture.finish(columns);
    }
  }

  /** Ask the server for no more, and be silent. */
  stop() {
    this.#leave.abort();
    this.hush();
  }

  /** Be silent; what is here stays. */
  hush() {
    this.#player.stop();
  }

  /** Play what is here from its beginning. */
  again() {
    this.hush();
    this.#player = new Player(this.#context);
    for (const samples of this.#blocks) this.#player.push(toFloats(samples));
    this.#player.end();
  }

  /** What is here, as a WAV file. */
  wav() {
    return wavFile(this.#blocks, this.rate);
  }
}
