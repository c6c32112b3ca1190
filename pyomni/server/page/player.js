// Plays samples as they arrive, without a gap while enough of them do.

const LEAD = 0.05; // seconds from handing over a block to its sound
const FIRST = 0.12; // seconds that have to be there before it begins
const MOST = 4; // seconds it waits for at most, once it ran dry

export class Player {
  #context;
  #waiting = [];
  #held = 0; // samples waiting
  #next = 0; // when what was handed over ends, on the context's clock
  #need;
  #dry = false; // whether that it ran dry was noticed
  #spans = []; // {at, from, n}: which samples sound when
  #taken = 0;
  #sounding = new Set();
  #ended = false;
  #finish;

  /** The context runs at the samples' rate, so that nothing is resampled block by block. */
  constructor(context) {
    this.#context = context;
    this.#need = FIRST;
    /** Settles when the last sample was heard, or playing was stopped. */
    this.finished = new Promise((resolve) => {
      this.#finish = () => {
        this.silent = true;
        resolve();
      };
    });
    this.silent = false;
  }

  push(floats) {
    if (!floats.length) return;
    this.#waiting.push(floats);
    this.#held += floats.length;
    this.#hand();
  }

  /** No more will come. */
  end() {
    this.#ended = true;
    this.#hand();
    if (!this.#sounding.size) this.#finish();
  }

  stop() {
    this.#ended = true;
    this.#waiting = [];
    this.#held = 0;
    for (const source of this.#sounding) {
      source.onended = null;
      source.stop();
    }
    this.#sounding.clear();
    this.#finish();
  }

  /** Seconds of sound heard so far. */
  get heard() {
    const rate = this.#context.sampleRate;
    const now = this.#context.currentTime;
    while (this.#spans.length > 1 && this.#spans[1].at <= now) this.#spans.shift();
    const span = this.#spans[0];
    if (!span) return 0;
    return span.from / rate + Math.max(0, Math.min(now - span.at, span.n / rate));
  }

  #hand() {
    const rate = this.#context.sampleRate;
    const now = this.#context.currentTime;
    if (this.#next <= now) {
      // silent: at the beginning, or because sound is made more slowly than it is heard
      if (this.#taken && !this.#dry) this.#need = Math.min(Math.max(2 * this.#need, 0.5), MOST);
      this.#dry = this.#taken > 0;
      if (this.#held < this.#need * rate && !this.#ended) return;
      this.#dry = false;
      this.#next = now + LEAD;
    }
    for (const floats of this.#waiting) this.#play(floats, rate);
    this.#waiting = [];
    this.#held = 0;
  }

  #play(floats, rate) {
    const buffer = this.#context.createBuffer(1, floats.length, rate);
    buffer.copyToChannel(floats, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    source.onended = () => {
      this.#sounding.delete(source);
      if (this.#ended && !this.#sounding.size) this.#finish();
    };
    this.#sounding.add(source);
    source.start(this.#next);
    this.#spans.push({ at: this.#next, from: this.#taken, n: floats.length });
    this.#taken += floats.length;
    this.#next += floats.length / rate;
  }
}
