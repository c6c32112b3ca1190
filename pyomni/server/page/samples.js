// Samples as the server sends them, and as a WAV file holds them.

/** Makes samples of 16-bit little-endian bytes that arrive cut anywhere. */
export class PcmReader {
  #odd = null;

  /** Bytes to Int16Array; half a sample waits for its other half. */
  push(bytes) {
    let all = bytes;
    if (this.#odd !== null) {
      all = new Uint8Array(bytes.length + 1);
      all[0] = this.#odd;
      all.set(bytes, 1);
    }
    const n = all.length >> 1;
    this.#odd = all.length % 2 ? all[all.length - 1] : null;
    const view = new DataView(all.buffer, all.byteOffset, 2 * n);
    return Int16Array.from({ length: n }, (_, i) => view.getInt16(2 * i, true));
  }
}

/** Int16 samples to floats from -1 to 1. */
export function toFloats(samples) {
  return Float32Array.from(samples, (s) => s / 32768);
}

/** Floats to Int16 samples, cut off at full scale. */
export function toInts(floats) {
  return Int16Array.from(floats, (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32768))));
}

/** A WAV file of one channel: blocks of Int16Array to Blob. */
export function wavFile(blocks, rate) {
  const n = blocks.reduce((sum, block) => sum + block.length, 0);
  const out = new DataView(new ArrayBuffer(44 + 2 * n));
  const word = (at, letters) => [...letters].forEach((c, i) => out.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF");
  out.setUint32(4, 36 + 2 * n, true);
  word(8, "WAVEfmt ");
  out.setUint32(16, 16, true);
  out.setUint16(20, 1, true); // whole numbers
  out.setUint16(22, 1, true); // one channel
  out.setUint32(24, rate, true);
  out.setUint32(28, 2 * rate, true);
  out.setUint16(32, 2, true);
  out.setUint16(34, 16, true);
  word(36, "data");
  out.setUint32(40, 2 * n, true);
  let at = 44;
  for (const block of blocks) for (const s of block) { out.setInt16(at, s, true); at += 2; }
  return new Blob([out.buffer], { type: "audio/wav" });
}
