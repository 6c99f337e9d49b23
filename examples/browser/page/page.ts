// The page: a model, a microphone or a recording, captions, files. What a model says is only ever set as text.
import { type Event, type FileFormat, type ModelSource, Microphone, Transcriber, type Word, forgetModel, keptModels } from "../src/index.js";

function the<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found as E;
}

const listen = the<HTMLButtonElement>("listen");
const recording = the<HTMLInputElement>("recording");
const files = (["srt", "vtt", "txt"] as const).map(format => [format, the<HTMLButtonElement>(format)] as const);

/** What is loaded. */
let transcriber: Transcriber | null = null;
let microphone: Microphone | null = null;
let committed: Word[] = [];
let said = 0;

function status(text: string, bad = false): void {
  the("status").textContent = text;
  the("status").classList.toggle("bad", bad);
}

const explain = (error: unknown) => (error instanceof Error ? error.message : String(error));

function clock(seconds: number): string {
  const two = (number: number) => String(Math.floor(number)).padStart(2, "0");
  return `${two(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
}

const join = (words: Word[]) => words.map(word => word.text).join(" ");

function caption(start: number, text: string): void {
  const line = document.createElement("li");
  const time = document.createElement("time");
  const span = document.createElement("span");
  time.textContent = clock(start);
  span.textContent = text;
  line.append(time, span);
  the("captions").append(line);
  line.scrollIntoView({ block: "nearest" });
  said++;
  for (const [, button] of files) button.disabled = false;
}

function running(tentative: Word[]): void {
  the("committed").textContent = join(committed);
  the("tentative").textContent = join(tentative);
}

const STAGES = { fetch: "Fetching the model", check: "Checking the model", load: "Loading the model" };

function show(event: Event): void {
  switch (event.type) {
    case "progress": {
      the("progress").hidden = false;
      const bar = the<HTMLProgressElement>("bar");
      if (event.total) bar.value = event.done / event.total;
      else bar.removeAttribute("value");
      status(`${STAGES[event.stage]}: ${(event.done / 1e6).toFixed(0)} of ${(event.total / 1e6).toFixed(0)} MB`);
      break;
    }
    case "ready":
      the("progress").hidden = true;
      listen.disabled = recording.disabled = false;
      status(
        `Ready: ${event.model.name} (${event.model.multilingual ? "multilingual" : "English"} ${event.model.size}, ${event.model.weights}` +
          `${event.workers > 1 ? `, on ${event.workers} cores` : ""}).`,
      );
      void listKept();
      break;
    case "partial":
      committed.push(...event.committed);
      running(event.tentative);
      break;
    case "final":
      committed = [];
      running([]);
      if (event.words.length) caption(event.words[0]!.start, join(event.words));
      break;
    case "dropped":
      status(`Not recognized from ${clock(event.start)} to ${clock(event.end)}: ${event.reason}`, true);
      break;
    default:
      break;
  }
}

/** Follows a transcriber until it ends. */
async function follow(made: Transcriber): Promise<void> {
  try {
    while (made === transcriber) {
      for await (const event of made) {
        if (made !== transcriber) return;
        show(event);
        if (event.type === "end") ended("Ready.");
      }
    }
  } catch (error) {
    if (made !== transcriber) return;
    made.close();
    transcriber = null;
    the("progress").hidden = true;
    ended("");
    for (const [, button] of files) button.disabled = true;
    status(explain(error), true);
    void listKept();
  }
}

function load(model: ModelSource): void {
  transcriber?.close();
  ended("");
  listen.disabled = recording.disabled = true;
  status("Loading the model …");
  transcriber = new Transcriber({ model, modules: new URL("../src/", import.meta.url) });
  void follow(transcriber);
}

async function start(): Promise<void> {
  if (!transcriber) return;
  const mine = transcriber;
  const device = the<HTMLSelectElement>("device").value;
  microphone = await Microphone.open(({ samples, peak }) => {
    if (microphone === null || mine !== transcriber) return;
    the<HTMLMeterElement>("level").value = peak;
    mine.push(samples);
  }, device);
  mine.configure({ sampleRate: microphone.sampleRate, channels: 1, language: the<HTMLInputElement>("language").value });
  clear();
  listen.textContent = "Stop";
  recording.disabled = true;
  status("Listening.");
  await listDevices();
}

function clear(): void {
  the("captions").replaceChildren();
  committed = [];
  said = 0;
  running([]);
  for (const [, button] of files) button.disabled = true;
}

/** No more audio; the last words still come. */
async function stop(): Promise<void> {
  const open = microphone;
  microphone = null;
  the<HTMLMeterElement>("level").value = 0;
  listen.disabled = true;
  status("Waiting for the last words …");
  transcriber?.finish();
  await open?.close();
}

function ended(text: string): void {
  void microphone?.close();
  microphone = null;
  the<HTMLMeterElement>("level").value = 0;
  listen.textContent = "Start listening";
  listen.disabled = recording.disabled = transcriber === null;
  if (text) status(said ? text : `${text} No words were heard.`);
}

async function transcribe(file: File): Promise<void> {
  if (!transcriber) return;
  listen.disabled = recording.disabled = true;
  clear();
  try {
    status(`Reading ${file.name} …`);
    const context = new OfflineAudioContext(1, 1, 16_000);
    const audio = await context.decodeAudioData(await file.arrayBuffer()).catch(() => {
      throw new Error(`${file.name} is no recording that this browser can read: convert it to WAV, MP3 or Ogg`);
    });
    const mono = new Float32Array(audio.length);
    for (let channel = 0; channel < audio.numberOfChannels; channel++) {
      audio.getChannelData(channel).forEach((sample, at) => { mono[at]! += sample / audio.numberOfChannels; });
    }
    status(`Transcribing ${file.name} …`);
    const language = the<HTMLInputElement>("language").value;
    const transcript = await transcriber.transcribe(mono, { sampleRate: audio.sampleRate, channels: 1, language });
    transcript.segments.forEach(segment => caption(segment.start, segment.text));
    status(said ? "Ready." : "Ready. No words were heard.");
  } catch (error) {
    status(explain(error), true);
  } finally {
    listen.disabled = recording.disabled = transcriber === null;
  }
}

async function save(format: FileFormat): Promise<void> {
  if (!transcriber) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([await transcriber.file(format)], { type: "text/plain" }));
  link.download = `captions.${format}`;
  link.click();
  // The browser has begun to save before the next task.
  queueMicrotask(() => URL.revokeObjectURL(link.href));
}

async function listKept(): Promise<void> {
  const names = await keptModels().catch(() => []);
  the("kept").replaceChildren(...names.map(name => {
    const item = document.createElement("li");
    const use = document.createElement("button");
    const forget = document.createElement("button");
    use.textContent = name.replace(/^[0-9a-f]{8}-/, "");
    use.onclick = () => load({ kept: name });
    forget.textContent = "×";
    forget.setAttribute("aria-label", `Forget ${name}`);
    forget.onclick = () => void forgetModel(name).catch(error => status(explain(error), true)).then(listKept);
    item.append(use, forget);
    return item;
  }));
}

async function listDevices(): Promise<void> {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const select = the<HTMLSelectElement>("device");
  const chosen = select.value;
  const options = devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId && deviceId !== "default");
  select.replaceChildren(new Option("Default", ""), ...options.map(({ label, deviceId }) => new Option(label || "Microphone", deviceId)));
  select.value = chosen;
}

the<HTMLFormElement>("model-form").onsubmit = event => {
  event.preventDefault();
  const address = the<HTMLInputElement>("address").value;
  if (address) load(address);
  else status("Write the address of a model first, or choose a file.", true);
};
the<HTMLInputElement>("model-file").onchange = event => {
  const [file] = (event.target as HTMLInputElement).files ?? [];
  if (file) load(file);
};
recording.onchange = () => {
  const [file] = recording.files ?? [];
  if (file) void transcribe(file);
  recording.value = "";
};
listen.onclick = () => {
  (microphone ? stop() : start()).catch(error => {
    ended("");
    status(explain(error), true);
  });
};
for (const [format, button] of files) button.onclick = () => void save(format).catch(error => status(explain(error), true));

await listKept();
await listDevices();
// The server of the demonstration offers a model; `hearken serve` its own page.
interface Offered { model?: string; server?: string }
const offered = await fetch("model.json").then(answer => (answer.ok ? answer.json() as Promise<Offered> : null)).catch(() => null);
if (offered?.server) {
  the<HTMLAnchorElement>("there").href = new URL(offered.server, location.href).href;
  the<HTMLAnchorElement>("there").hidden = false;
}
if (offered?.model) the<HTMLInputElement>("address").value = new URL(offered.model, location.href).href;
if ("serviceWorker" in navigator) await navigator.serviceWorker.register("../offline.js", { type: "module" }).catch(() => {});
