// Ties the page together: who may come in, what is said, what is heard.

import { Cloning } from "./cloning.js";
import { Controls, Refused } from "./controls.js";
import { $, enable, onPress } from "./dom.js";
import { Picture } from "./picture.js";
import { about, dropVoice, key, ServerError, speakFile } from "./server.js";
import { Take } from "./take.js";

const controls = new Controls();
const picture = new Picture($("wave"), $("spectrogram"), $("span"));
const still = matchMedia("(prefers-reduced-motion: reduce)");
let model = null; // what the server says of it
let context = null; // made on the first press of a button, which browsers want
let take = null; // the last speech
let file = null; // what stops the making of a download

const say = (words) => { $("status").textContent = words; };

function tell(error) {
  $("alert").textContent = error.message;
  say("");
  if (error instanceof Refused) $(error.id).focus();
  if (error.status === 401) askForKey();
  if (!(error instanceof Refused || error instanceof ServerError)) console.error(error);
}

// --- coming in ---------------------------------------------------------------------------------------------

async function enter() {
  try {
    model = await about();
    controls.offer(model);
    await controls.list();
    $("door").hidden = true;
    $("forget").hidden = !key.get();
    $("alert").textContent = "";
    say("Ready.");
    return true;
  } catch (error) {
    model = null;
    // the first time, being asked is no error
    if (error.status === 401 && !key.get()) askForKey();
    else tell(error);
    return false;
  }
}

function askForKey() {
  $("door").hidden = false;
  $("forget").hidden = true;
  $("key").value = "";
  $("key").focus();
  say("This server asks for a key.");
}

$("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  key.set($("key").value.trim());
  if (await enter()) $("text").focus();
});

onPress($("forget"), () => {
  stop();
  key.forget();
  model = null;
  askForKey();
});

// --- speaking ----------------------------------------------------------------------------------------------

const seconds = (value) => `${value.toFixed(value < 10 ? 2 : 1)} s`;

async function speak() {
  stop();
  $("alert").textContent = "";
  if (!model && !(await enter())) return;
  let mine;
  try {
    const body = controls.body();
    context ??= new AudioContext({ sampleRate: model.sample_rate });
    mine = take = new Take(body, context, picture);
  } catch (error) {
    tell(error);
    return;
  }
  const begun = performance.now();
  const since = () => (performance.now() - begun) / 1000;
  for (const id of ["t-first", "t-speech", "t-made", "t-factor"]) $(id).textContent = "–";
  $("t-seed").textContent = mine.body.seed;
  say("Waiting for the first sound…");
  showState();
  let first = null;
  try {
    context.resume();
    await mine.make(() => {
      if (take !== mine) return;
      if (first === null) {
        first = since();
        $("t-first").textContent = seconds(first);
        say("Speaking…");
        follow(mine);
      }
      const made = since();
      $("t-speech").textContent = seconds(mine.seconds);
      $("t-made").textContent = seconds(made);
      $("t-factor").textContent = (made / mine.seconds).toFixed(2);
    });
    if (take === mine && mine.whole) say(`${seconds(mine.seconds)} of speech, made in ${seconds(since())}.`);
  } catch (error) {
    if (take === mine) tell(error);
  }
  if (take === mine) showState();
}

/** Show how much was heard until all of it was. */
function follow(mine) {
  let on = true;
  const { finished } = mine;
  const look = () => {
    if (!on || take !== mine) return;
    picture.heard = mine.heard;
    if (still.matches) setTimeout(look, 250);
    else requestAnimationFrame(look);
  };
  look();
  finished.then(() => {
    on = false;
    if (take !== mine || mine.finished !== finished) return;
    picture.heard = mine.heard;
    showState();
  });
  showState();
}

function stop() {
  file?.abort();
  if (!take) return;
  const early = take.making && !take.stopped;
  take.stop();
  if (early) say(take.seconds ? `Stopped after ${seconds(take.seconds)}.` : "Stopped.");
  showState();
}

// --- what can be pressed now -------------------------------------------------------------------------------

function showState() {
  enable($("stop"), !take.silent || file !== null);
  enable($("again"), take.seconds > 0);
  enable($("download"), take.seconds > 0);
}

onPress($("again"), () => {
  take.again();
  follow(take);
});

onPress($("download"), async () => {
  const format = $("format").value;
  $("alert").textContent = "";
  if (format === "wav") {
    save(take.wav(), format);
    return;
  }
  if (!take.whole) {
    tell(new Refused("It was stopped early: what there is can be downloaded as WAV.", "format"));
    return;
  }
  // the same fields and seed give the same speech again
  const mine = (file = new AbortController());
  say("Making the file…");
  showState();
  try {
    save(await speakFile(take.body, format, mine.signal), format);
    say("The file is there.");
  } catch (error) {
    if (error.name === "AbortError") say("Stopped.");
    else tell(error);
  } finally {
    if (file === mine) file = null;
    showState();
  }
});

function save(blob, format) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `speech-${take.body.seed}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

$("speech").addEventListener("submit", (event) => {
  event.preventDefault();
  speak();
});
onPress($("stop"), stop);
document.addEventListener("keydown", (event) => {
  if ($("cloning").open || event.isComposing) return;
  if (event.key === "Escape") stop();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form === $("speech")) {
    event.preventDefault();
    speak();
  }
});

// --- voices ------------------------------------------------------------------------------------------------

const cloning = new Cloning(async (voice) => {
  await controls.list(voice.id);
  $("alert").textContent = "";
  say(`The voice ${voice.name} is kept.`);
  $("voice").focus();
});
onPress($("new-voice"), () => cloning.open(model.max_upload));
onPress($("drop-voice"), async () => {
  const id = $("voice").value;
  if (!confirm(`Remove the voice ${id} for good?`)) return;
  try {
    await dropVoice(id);
    await controls.list("");
    say(`The voice ${id} is removed.`);
    $("voice").focus();
  } catch (error) {
    tell(error);
  }
});

enter();
