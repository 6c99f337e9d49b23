// Clients of OpenAI and Deepgram for Node against a running server.
//
//     node clients.mjs CASE BASE KEY RECORDING
//
// BASE is the server's URL, RECORDING a WAV of 16-bit samples. Prints one JSON object: what the client gave its caller. The
// Rust tests know what it should be.
import fs from "node:fs";

import { DeepgramClient } from "@deepgram/sdk";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const [name, base, key, recording] = process.argv.slice(2);
const wave = fs.readFileSync(recording);
const rate = wave.readUInt32LE(24);
const samples = wave.subarray(wave.indexOf("data") + 8);

const openai = (apiKey = key) => new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0 });

function deepgram(apiKey = key) {
  const sockets = base.replace("http", "ws");
  const environment = { base, production: sockets, agent: sockets, agentRest: base };
  return new DeepgramClient({ apiKey, environment });
}

/** Sends the recording as a microphone would. */
async function speak(send, seconds = 0.1) {
  const size = Math.floor(rate * seconds) * 2;
  let due = performance.now();
  for (let at = 0; at < samples.length; at += size) {
    send(samples.subarray(at, at + size));
    due += seconds * 1000;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
  }
}

/** A promise, and what settles it. */
function later() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}

/** A session of OpenAI Realtime: its events until `until` says so. */
async function realtime(client, model, settings, until, talk) {
  const socket = new OpenAIRealtimeWS({ model }, client);
  const events = [];
  const done = later();
  const created = later();
  socket.on("event", (event) => {
    events.push(event);
    if (event.type === "session.created") created.resolve();
    if (until(event, events)) done.resolve();
  });
  socket.on("error", (error) => {
    created.reject(error);
    done.reject(error);
  });
  socket.socket.on("close", (code) => done.resolve(code));
  done.promise.catch(() => {});
  await created.promise;
  socket.send({ type: "session.update", session: { type: "transcription", audio: { input: settings } } });
  await talk(socket);
  await done.promise;
  socket.close();
  return events;
}

/** A stream of Deepgram: its messages until the server closes. */
async function stream(connection, talk) {
  const messages = [];
  const closed = later();
  connection.on("message", (message) => messages.push(message));
  connection.on("close", (event) => closed.resolve(event.code));
  connection.on("error", () => {});
  connection.connect();
  await connection.waitForOpen();
  await talk(connection);
  return { messages, code: await closed.promise };
}

/** The outcome of a call that fails. */
async function failure(call) {
  try {
    await call();
    return null;
  } catch (error) {
    const status = error.status ?? error.statusCode ?? null;
    return { kind: error.constructor.name, status, code: error.code ?? error.body?.err_code ?? null, message: error.message };
  }
}

const file = () => fs.createReadStream(recording);

const cases = {
  async openai_files() {
    const client = openai();
    const create = (more) => client.audio.transcriptions.create({ file: file(), model: "whisper-1", ...more });
    const deltas = [];
    let streamed = null;
    for await (const event of await client.audio.transcriptions.create({ file: file(), model: "gpt-transcribe", stream: true })) {
      if (event.type === "transcript.text.delta") deltas.push(event.delta);
      if (event.type === "transcript.text.done") streamed = event.text;
    }
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    return {
      json: (await create({})).text,
      text: await create({ response_format: "text" }),
      srt: await create({ response_format: "srt" }),
      words: (await create({ response_format: "verbose_json", timestamp_granularities: ["word"] })).words,
      deltas,
      streamed,
      models,
      key: await failure(() => openai("wrong").audio.transcriptions.create({ file: file(), model: "whisper-1" })),
      model: await failure(() => create({ model: "gpt-9" })),
    };
  },

  async openai_realtime() {
    const append = (socket) => (audio) =>
      socket.send({ type: "input_audio_buffer.append", audio: Buffer.from(audio).toString("base64") });
    const format = { type: "audio/pcm", rate };
    let sent = null;
    const completed = (event) => event.type === "conversation.item.input_audio_transcription.completed";
    const phrases = (_event, events) => events.filter(completed).length === 3;
    const events = await realtime(openai(), "gpt-4o-transcribe", { format }, phrases, async (socket) => {
      await speak(append(socket));
      sent = Date.now();
    });
    // A cable that is pulled, in the middle of a word.
    const cut = await realtime(openai(), "gpt-4o-transcribe", { format }, () => false, async (socket) => {
      append(socket)(samples.subarray(0, rate));
      socket.socket.terminate();
    });
    const wrong = new OpenAIRealtimeWS({ model: "gpt-4o-transcribe" }, openai("wrong"));
    const refused = await new Promise((resolve) => wrong.on("error", (error) => resolve(error.message)));
    return { events, sent, cut: cut.map((event) => event.type), refused };
  },

  async deepgram_file() {
    const answer = await deepgram().listen.v1.media.transcribeFile(file(), { model: "nova-3", smart_format: true, utterances: true });
    const wrong = await failure(() => deepgram("wrong").listen.v1.media.transcribeFile(file(), { model: "nova-3" }));
    return { answer, wrong };
  },

  async deepgram_live() {
    const options = { model: "nova-3", interim_results: "true", vad_events: "true", encoding: "linear16", sample_rate: rate };
    const live = await stream(await deepgram().listen.v1.createConnection(options), async (connection) => {
      await speak((audio) => connection.sendMedia(audio));
      connection.sendFinalize({ type: "Finalize" });
      connection.sendCloseStream({ type: "CloseStream" });
    });
    // The recording as it is: a container, which is the client's own first example.
    const container = await stream(await deepgram().listen.v1.createConnection({ model: "nova-3" }), async (connection) => {
      for (let at = 0; at < wave.length; at += 65536) connection.sendMedia(wave.subarray(at, at + 65536));
      connection.sendCloseStream({ type: "CloseStream" });
    });
    const cut = await deepgram().listen.v1.createConnection(options);
    cut.connect();
    await cut.waitForOpen();
    cut.sendMedia(samples.subarray(0, rate));
    cut.close();
    return { live, container };
  },

  async deepgram_flux() {
    const options = { model: "flux-general-en", encoding: "linear16", sample_rate: rate };
    return stream(await deepgram().listen.v2.createConnection(options), async (connection) => {
      await speak((audio) => connection.sendMedia(audio));
      connection.sendCloseStream({ type: "CloseStream" });
    });
  },

  async deepgram_key() {
    const refused = async (connection) => {
      const failed = later();
      connection.on("error", (error) => failed.resolve(String(error.message ?? error)));
      connection.connect();
      const message = await failed.promise;
      connection.close();
      return message;
    };
    const raw = { encoding: "linear16", sample_rate: rate, reconnectAttempts: 0 };
    return {
      live: await refused(await deepgram("wrong").listen.v1.createConnection({ model: "nova-3", ...raw })),
      flux: await refused(await deepgram("wrong").listen.v2.createConnection({ model: "flux-general-en", ...raw })),
    };
  },
};

console.log(JSON.stringify(await cases[name]()));
// Timers of the packages may still wait.
process.exit(0);
