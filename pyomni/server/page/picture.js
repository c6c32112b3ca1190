// The waveform and the spectrogram, drawn as sound arrives.

import { BANDS, Columns } from "./columns.js";

const SHORTEST = 4; // seconds shown while less is there
const BAR = 4; // CSS pixels from bar to bar of the waveform

export class Picture {
  #wave;
  #spectrogram;
  #span;
  #columns = null;
  #done = false;
  #heard = 0;
  #asked = false;
  #sheet = document.createElement("canvas"); // the spectrogram, a pixel for each column and band

  /** Two canvases, and the element that says how many seconds they show. */
  constructor(wave, spectrogram, span) {
    [this.#wave, this.#spectrogram, this.#span] = [wave, spectrogram, span];
    const draw = () => this.#soon();
    new ResizeObserver(draw).observe(spectrogram);
    new ResizeObserver(draw).observe(wave);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  /** Begin with another sound; returns what its samples are to come with. */
  begin(rate) {
    this.#columns = new Columns(rate);
    this.#done = false;
    this.#heard = 0;
    this.#describe("being made");
    this.#soon();
    return this.#columns;
  }

  push(columns, floats) {
    columns.push(floats);
    this.#soon();
  }

  /** The sound is whole; it fills the width. */
  finish(columns) {
    if (columns !== this.#columns) return; // another was begun
    this.#done = true;
    this.#describe(`${(this.#columns.samples / this.#columns.rate).toFixed(1)} seconds`);
    this.#soon();
  }

  /** Seconds that were heard. */
  set heard(seconds) {
    if (seconds === this.#heard) return;
    this.#heard = seconds;
    this.#soon();
  }

  #describe(words) {
    this.#wave.setAttribute("aria-label", `Waveform, ${words}`);
    this.#spectrogram.setAttribute("aria-label", `Spectrogram, ${words}`);
  }

  #soon() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  /** Seconds shown: all of a finished sound, else with some room, so that it is not squeezed with every block. */
  #seconds() {
    if (!this.#columns) return SHORTEST;
    const there = this.#columns.samples / this.#columns.rate;
    if (this.#done && there) return there;
    let shown = SHORTEST;
    while (shown < there) shown *= 1.5;
    return shown;
  }

  #draw() {
    const seconds = this.#seconds();
    const style = getComputedStyle(document.documentElement);
    this.#span.textContent = `${seconds.toFixed(1)} s`;
    this.#drawWave(sized(this.#wave), seconds, style);
    this.#drawSpectrogram(sized(this.#spectrogram), seconds, style);
  }

  #drawWave({ pen, width, height, ratio }, seconds, style) {
    const columns = this.#columns;
    const pitch = BAR * ratio;
    pen.clearRect(0, 0, width, height);
    for (let x = 0; x + pitch <= width; x += pitch) {
      const [from, to] = [(x / width) * seconds, ((x + pitch) / width) * seconds];
      let peak = 0;
      if (columns) {
        const first = Math.floor(from / columns.width);
        const last = Math.max(first + 1, Math.floor(to / columns.width));
        for (let i = first; i < Math.min(last, columns.n); i++) peak = Math.max(peak, columns.peaks[i]);
      }
      const tall = Math.max(2 * ratio, peak ** 0.7 * (height - 8 * ratio));
      pen.fillStyle = style.getPropertyValue(from < this.#heard ? "--accent" : "--unheard");
      pen.beginPath();
      pen.roundRect(x + ratio / 2, (height - tall) / 2, pitch - ratio, tall, ratio);
      pen.fill();
    }
  }

  #drawSpectrogram({ pen, width, height, ratio }, seconds, style) {
    const columns = this.#columns;
    pen.clearRect(0, 0, width, height);
    if (!columns?.n) return;
    const colours = palette(style);
    this.#sheet.width = columns.n;
    this.#sheet.height = BANDS;
    const sheet = this.#sheet.getContext("2d");
    const image = sheet.createImageData(columns.n, BANDS);
    const pixels = new Uint32Array(image.data.buffer);
    for (let x = 0; x < columns.n; x++) {
      for (let band = 0; band < BANDS; band++) {
        pixels[(BANDS - 1 - band) * columns.n + x] = colours[columns.levels[x * BANDS + band]];
      }
    }
    sheet.putImageData(image, 0, 0);
    pen.drawImage(this.#sheet, 0, 0, (columns.n * columns.width * width) / seconds, height);
    if (this.#heard > 0 && this.#heard < seconds) {
      pen.fillStyle = style.getPropertyValue("--accent");
      pen.fillRect((this.#heard / seconds) * width - ratio, 0, 2 * ratio, height);
    }
  }
}

/** A canvas brought to the screen's pixels. */
function sized(canvas) {
  const ratio = devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  return { pen: canvas.getContext("2d"), width, height, ratio };
}

/** 256 colours as pixels of an image, from the style sheet's three. */
function palette(style) {
  const [low, mid, high] = ["--low", "--mid", "--high"].map((name) =>
    style.getPropertyValue(name).trim().split(/\s+/).map(Number));
  const bytes = new Uint8ClampedArray(4 * 256);
  for (let i = 0; i < 256; i++) {
    const [a, b, t] = i < 128 ? [low, mid, i / 128] : [mid, high, (i - 128) / 127];
    for (let c = 0; c < 3; c++) bytes[4 * i + c] = a[c] + (b[c] - a[c]) * t;
    bytes[4 * i + 3] = 255;
  }
  return new Uint32Array(bytes.buffer);
}
