// What a picture of sound is drawn from: peaks and spectra, in columns that grow wider as the sound grows longer.

import { Fft } from "./fft.js";

export const HOP = 256; // samples from one spectrum to the next
export const BANDS = 96;
const WINDOW = 1024;
const MOST = 2048; // columns kept; with one more, each two become one
const LOWEST = 60; // Hz
const [QUIET, LOUD] = [-75, -12]; // dB, of a full-scale sine

export class Columns {
  #fft = new Fft(WINDOW);
  #shape;
  #bands;
  #history = new Float32Array(WINDOW);
  #pending = new Float32Array(0);
  #hops = 0; // in the last column

  constructor(rate) {
    this.rate = rate;
    this.n = 0;
    this.step = 1; // spectra in a column
    this.samples = 0;
    this.peaks = new Float32Array(MOST);
    this.levels = new Uint8Array(MOST * BANDS); // the lowest band first
    this.#shape = Float32Array.from({ length: WINDOW }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
    this.#bands = bandsOf(rate);
  }

  /** Seconds of one column. */
  get width() {
    return (this.step * HOP) / this.rate;
  }

  push(floats) {
    const all = new Float32Array(this.#pending.length + floats.length);
    all.set(this.#pending);
    all.set(floats, this.#pending.length);
    let at = 0;
    for (; at + HOP <= all.length; at += HOP) this.#hop(all.subarray(at, at + HOP));
    this.#pending = all.slice(at);
    this.samples += floats.length;
  }

  #hop(samples) {
    if (this.n === 0 || this.#hops === this.step) {
      if (this.n === MOST) this.#merge();
      this.n++;
      this.#hops = 0;
    }
    this.#hops++;
    const column = this.n - 1;
    for (const s of samples) this.peaks[column] = Math.max(this.peaks[column], Math.abs(s));
    this.#history.copyWithin(0, HOP);
    this.#history.set(samples, WINDOW - HOP);
    const power = this.#fft.power(this.#history.map((s, i) => s * this.#shape[i]));
    const full = (WINDOW / 4) ** 2; // of a full-scale sine under this window
    for (let band = 0; band < BANDS; band++) {
      const [from, to] = this.#bands[band];
      let most = 0;
      for (let bin = from; bin < to; bin++) most = Math.max(most, power[bin]);
      const level = (10 * Math.log10(most / full + 1e-12) - QUIET) / (LOUD - QUIET);
      const at = column * BANDS + band;
      this.levels[at] = Math.max(this.levels[at], 255 * Math.max(0, Math.min(1, level)));
    }
  }

  #merge() {
    for (let i = 0; i < MOST; i++) {
      const into = i >> 1;
      this.peaks[into] = i % 2 ? Math.max(this.peaks[into], this.peaks[i]) : this.peaks[i];
      for (let band = 0; band < BANDS; band++) {
        const [a, b] = [into * BANDS + band, i * BANDS + band];
        this.levels[a] = i % 2 ? Math.max(this.levels[a], this.levels[b]) : this.levels[b];
      }
    }
    this.n = MOST / 2;
    this.step *= 2;
    this.peaks.fill(0, this.n);
    this.levels.fill(0, this.n * BANDS);
  }
}

/** The bins of each band, evenly spaced on the mel scale and never none. */
function bandsOf(rate) {
  const mel = (hz) => Math.log1p(hz / 700);
  const [low, high] = [mel(LOWEST), mel(rate / 2)];
  const bin = (band) => (700 * Math.expm1(low + ((high - low) * band) / BANDS) * WINDOW) / rate;
  return Array.from({ length: BANDS }, (_, band) => {
    const from = Math.floor(bin(band));
    return [from, Math.max(from + 1, Math.floor(bin(band + 1)))];
  });
}
