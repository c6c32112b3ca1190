// What the page asks of its server, and what went wrong, in words.

const KEY = "pyomni-key";

/** Something went wrong; the message is a sentence for people. */
export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** The key lives in this tab alone. */
export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  let answer;
  try {
    // paths are relative, so that the page also works below a proxy's folder
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (key.get() && /headers|ByteString|ISO-8859/i.test(error.message)) {
      throw new ServerError("The API key has a letter that no key can have.", 401);
    }
    throw new ServerError("The server cannot be reached. Is it still running?");
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  let words = "";
  try {
    words = (await answer.json()).error.message;
  } catch {
    words = `the server answered with status ${answer.status}`;
  }
  const wait = answer.headers.get("Retry-After");
  const again = answer.status === 429 && wait ? `; try again in ${wait} s` : "";
  return new ServerError(sentence(words + again), answer.status);
}

function sentence(words) {
  const end = /[.!?]$/.test(words) ? "" : ".";
  return words.charAt(0).toUpperCase() + words.slice(1) + end;
}

const json = (body) => ({
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
});

export const about = async () => (await ask("v1/pyomni/about")).json();
export const voices = async () => (await (await ask("v1/audio/voices")).json()).voices;
export const keepVoice = async (form) => (await ask("v1/audio/voices", { method: "POST", body: form })).json();
export const dropVoice = (id) => ask(`v1/audio/voices/${encodeURIComponent(id)}`, { method: "DELETE" });

/** Yields the bytes of a speech as they are made. */
export async function* speak(body, signal) {
  const answer = await ask("v1/audio/speech", { ...json({ ...body, response_format: "pcm", stream: true }), signal });
  const reader = answer.body.getReader();
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError("The sound broke off before its end: the server stopped, or took too long.");
    }
    if (piece.done) return;
    yield piece.value;
  }
}

/** A speech as a finished file of some format. */
export async function speakFile(body, format, signal) {
  const asked = json({ ...body, response_format: format, stream: false });
  return (await ask("v1/audio/speech", { ...asked, signal })).blob();
}
