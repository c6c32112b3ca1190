// A fast Fourier transform of real samples, for the spectrogram.

/** Transforms of one length, a power of two. */
export class Fft {
  #n;
  #order;
  #cos;
  #sin;
  #re;
  #im;

  constructor(n) {
    this.#n = n;
    const bits = Math.log2(n);
    this.#order = Uint32Array.from({ length: n }, (_, i) => {
      let turned = 0;
      for (let bit = 0; bit < bits; bit++) turned |= ((i >> bit) & 1) << (bits - 1 - bit);
      return turned;
    });
    this.#cos = Float32Array.from({ length: n / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / n));
    this.#sin = Float32Array.from({ length: n / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / n));
    this.#re = new Float32Array(n);
    this.#im = new Float32Array(n);
  }

  /** Squared magnitudes of the bins from 0 to n / 2, each once. */
  power(samples) {
    const n = this.#n;
    const [re, im] = [this.#re, this.#im];
    for (let i = 0; i < n; i++) {
      re[i] = samples[this.#order[i]];
      im[i] = 0;
    }
    for (let half = 1; half < n; half *= 2) {
      const stride = n / (2 * half);
      for (let start = 0; start < n; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const [c, s] = [this.#cos[k * stride], this.#sin[k * stride]];
          const [a, b] = [start + k, start + k + half];
          const r = re[b] * c - im[b] * s;
          const i = re[b] * s + im[b] * c;
          re[b] = re[a] - r;
          im[b] = im[a] - i;
          re[a] += r;
          im[a] += i;
        }
      }
    }
    return Float32Array.from({ length: n / 2 + 1 }, (_, i) => re[i] * re[i] + im[i] * im[i]);
  }
}
