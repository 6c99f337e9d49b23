// Microphone in, captions out, over hearken's own WebSocket (docs/server.md). What a model says is only ever set as text.
const $ = id => document.getElementById(id);
const RETRIES = 12; // 20 seconds: a server that is started again loads its models first
const cues = [];
let running = null;

const status = text => { $("status").textContent = text; };

/** A stream to the server that outlives its connections. */
class Stream {
  constructor(start, key, tell) {
    Object.assign(this, { start, key, tell, name: null, received: 0, sent: [], frames: 0, ended: false, tries: 0 });
    this.finishing = false;
    this.connect();
  }

  connect() {
    const address = new URL("/v1/stream", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const protocols = this.key ? ["hearken", `hearken.key.${this.key}`] : ["hearken"];
    const socket = new WebSocket(address, protocols);
    this.socket = socket;
    this.ready = false;
    socket.onopen = () => {
      const resume = { type: "resume", stream: this.name, received: this.received };
      socket.send(JSON.stringify(this.name ? resume : this.start));
    };
    socket.onmessage = message => this.take(JSON.parse(message.data));
    socket.onclose = event => {
      if (socket !== this.socket || this.ended) return;
      if (event.code === 1000 || event.code === 1001 || !this.name || ++this.tries > RETRIES) {
        this.end(this.name ? "The connection was closed." : "The server does not answer, or not to this key.");
      } else {
        this.tell({ type: "reconnecting" });
        setTimeout(() => this.connect(), 250 * this.tries);
      }
    };
  }

  take(message) {
    if (message.seq) this.received = message.seq;
    // What the server has taken in need not be sent again.
    while (this.sent.length && this.sent[0].end <= message.frames) this.sent.shift();
    if (message.type === "started" || message.type === "resumed") {
      this.name ??= message.stream;
      this.tries = 0;
      this.ready = true;
      for (const { from, end, block } of this.sent) {
        if (end > message.frames) this.socket.send(block.subarray(Math.max(0, message.frames - from)));
      }
      if (this.finishing) this.finish();
    }
    this.tell(message);
    if (message.type === "finished") this.end("Ready.");
    if (message.type === "error") this.end(message.message);
  }

  push(block) {
    const from = this.frames;
    this.frames += block.length;
    this.sent.push({ from, end: this.frames, block });
    if (this.ready && this.socket.readyState === WebSocket.OPEN) this.socket.send(block);
  }

  finish() {
    this.finishing = true;
    if (this.ready && this.socket.readyState === WebSocket.OPEN) this.socket.send('{"type":"finish"}');
  }

  end(why) {
    if (this.ended) return;
    this.ended = true;
    this.socket.close();
    this.tell({ type: "ended", why });
  }
}

function clock(seconds, point) {
  const ms = Math.round(seconds * 1000);
  const two = number => String(Math.floor(number)).padStart(2, "0");
  const time = `${two(ms / 3600000)}:${two(ms / 60000 % 60)}:${two(ms / 1000 % 60)}`;
  return point ? `${time}${point}${String(ms % 1000).padStart(3, "0")}` : time;
}

function show(message) {
  const words = list => list.map(word => word.word).join(" ");
  switch (message.type) {
    case "partial":
      running.committed.push(...message.committed);
      $("committed").textContent = words(running.committed);
      $("tentative").textContent = words(message.tentative);
      break;
    case "final": {
      running.committed = [];
      $("committed").textContent = $("tentative").textContent = "";
      if (!message.text) break;
      // Times of a second stream follow those of the first.
      const [start, end] = [message.words[0].start, message.words.at(-1).end].map(time => time + running.offset);
      cues.push({ start, end, text: message.text });
      const line = document.createElement("li");
      const time = document.createElement("time");
      const text = document.createElement("span");
      time.textContent = clock(start);
      text.textContent = message.text;
      line.append(time, text);
      $("captions").append(line);
      line.scrollIntoView({ block: "nearest" });
      for (const id of ["srt", "vtt", "clear"]) $(id).disabled = false;
      break;
    }
    case "reconnecting": status("The connection broke; nothing is lost. Connecting …"); break;
    case "started": case "resumed": status("Listening."); break;
    case "dropped": status(`Not recognized: ${message.reason}`); break;
    case "ended": stop(message.why); break;
  }
}

async function start() {
  const device = $("device").value;
  const audio = { deviceId: device ? { exact: device } : undefined, echoCancellation: false, autoGainControl: true };
  const media = await navigator.mediaDevices.getUserMedia({ audio });
  const context = new AudioContext();
  await context.audioWorklet.addModule("/page/worklet.js");
  const node = new AudioWorkletNode(context, "blocks", { numberOfOutputs: 0 });
  context.createMediaStreamSource(media).connect(node);
  const first = { type: "start", encoding: "s16le", sample_rate: context.sampleRate, model: $("model").value || undefined };
  const offset = cues.length ? cues.at(-1).end + 1 : 0;
  running = { media, context, committed: [], offset, stopping: false };
  running.stream = new Stream(first, $("key").value, show);
  node.port.onmessage = ({ data }) => {
    if (running?.stopping ?? true) return;
    $("level").value = data.peak;
    running.stream.push(data.block);
  };
  $("listen").textContent = "Stop";
  status("Connecting …");
  await listDevices();
}

/** No more audio; the last words still come. */
function finish() {
  running.stopping = true;
  running.stream.finish();
  $("listen").disabled = true;
  status("Waiting for the last words …");
}

function stop(why) {
  running.media.getTracks().forEach(track => track.stop());
  running.context.close();
  running = null;
  $("level").value = 0;
  $("committed").textContent = $("tentative").textContent = "";
  $("listen").textContent = "Start listening";
  $("listen").disabled = false;
  status(why);
}

async function listDevices() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const chosen = $("device").value;
  const inputs = devices.filter(device => device.kind === "audioinput" && device.deviceId && device.deviceId !== "default");
  const options = inputs.map((device, index) => new Option(device.label || `Microphone ${index + 1}`, device.deviceId));
  $("device").replaceChildren(new Option("Default", ""), ...options);
  $("device").value = chosen;
}

async function listModels() {
  const headers = $("key").value ? { Authorization: `Bearer ${$("key").value}` } : {};
  const answer = await fetch("/v1/models", { headers });
  $("key-field").hidden &&= answer.status !== 401;
  if (!answer.ok) return status((await answer.json()).error.message);
  const { data } = await answer.json();
  $("model").replaceChildren(new Option("Default", ""), ...data.map(model => new Option(model.id, model.id)));
  status("Ready.");
}

function save(name, kind) {
  const vtt = name.endsWith("vtt");
  const [point, head] = vtt ? [".", "WEBVTT\n\n"] : [",", ""];
  // The characters that would begin markup.
  const plain = text => vtt ? text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;")
    : text.replace(/-->/g, "--›").replace(/</g, "‹").replace(/\{\\/g, "(\\");
  const cue = ({ start, end, text }, index) =>
    `${vtt ? "" : `${index + 1}\n`}${clock(start, point)} --> ${clock(end, point)}\n${plain(text)}\n\n`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([head, ...cues.map(cue)], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

$("controls").addEventListener("submit", async event => {
  event.preventDefault();
  if (running) return finish();
  $("listen").disabled = true;
  try {
    await start();
  } catch (error) {
    status(`The microphone cannot be used: ${error.message}`);
  }
  $("listen").disabled = false;
});
$("key").addEventListener("change", listModels);
$("srt").addEventListener("click", () => save("captions.srt", "application/x-subrip"));
$("vtt").addEventListener("click", () => save("captions.vtt", "text/vtt"));
$("clear").addEventListener("click", () => {
  cues.length = 0;
  $("captions").replaceChildren();
  for (const id of ["srt", "vtt", "clear"]) $(id).disabled = true;
});
if (navigator.mediaDevices) {
  navigator.mediaDevices.addEventListener("devicechange", listDevices);
  listDevices();
  listModels().catch(() => status("The server does not answer."));
} else {
  status("This browser gives microphones only to pages from https, or from this machine.");
  $("listen").disabled = true;
}
// The server may have the page that recognizes in the browser, too.
fetch("/page/where.json").then(answer => answer.json()).then(({ here }) => {
  if (!here) return;
  $("here").href = here;
  $("where").hidden = false;
}).catch(() => {});
