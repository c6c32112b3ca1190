// The microphone to a WAV file.

import { toInts, wavFile } from "./samples.js";

const MOST = 60; // seconds; a voice is known long before
const WHY = {
  NotAllowedError: "The microphone was not allowed for this page.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone is used by something else.",
};

/** Whether this browser lets the page ask: only over https, or on this machine. */
export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);

export class Recorder {
  #stream;
  #context;
  #blocks = [];
  #samples = 0;
  #full;

  /** Begin; `onBlock(seconds, level)` is called as sound comes, and `onFull` when it is enough. */
  static async start(onBlock, onFull) {
    const recorder = new Recorder();
    recorder.#full = onFull;
    try {
      // as it is: what makes calls clear makes copies of a voice worse
      const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      recorder.#stream = await navigator.mediaDevices.getUserMedia({ audio });
      recorder.#context = new AudioContext();
      await recorder.#context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
      const node = new AudioWorkletNode(recorder.#context, "recorder", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
      node.port.onmessage = ({ data }) => recorder.#take(data, onBlock);
      recorder.#context.createMediaStreamSource(recorder.#stream).connect(node);
    } catch (error) {
      recorder.close();
      throw new Error(WHY[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
    return recorder;
  }

  #take(block, onBlock) {
    if (!this.#stream) return;
    this.#blocks.push(block);
    this.#samples += block.length;
    const level = Math.sqrt(block.reduce((sum, s) => sum + s * s, 0) / block.length);
    onBlock(this.#samples / this.#context.sampleRate, level);
    if (this.#samples >= MOST * this.#context.sampleRate) this.#full();
  }

  /** End; what was heard, as a file. */
  stop() {
    const file = wavFile(this.#blocks.map(toInts), this.#context.sampleRate);
    this.close();
    return file;
  }

  /** Let go of the microphone. */
  close() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#context?.close();
    this.#stream = this.#context = null;
  }
}
