//! The functions that a browser's worker calls, and those that it provides.
//!
//! The worker keeps two modules: this one, and the recognizer (`hearken-guest.wasm`), which it
//! connects. All state lives here; what happened comes out as JSON.

use std::cell::RefCell;
use std::io::{self, Read};
use std::time::Duration;

use hearken_proto::abi::Status;
use hearken_proto::{Event, Kernels, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::audio::{AudioError, Faults, Format as Pcm, Source, VadConfig};
use crate::formats::Format;
use crate::model;
use crate::session::{Session, SessionEvent, SessionOptions};
use crate::{
    Error, Model, Recognize, SandboxError, Segment, TranscribeOptions, Transcript, Word, language_code,
    seconds,
};

/// Longest text or block of samples that the worker may hand over, in bytes: a recording of four
/// hours.
const MAX_BUFFER: u32 = 1 << 30;

#[link(wasm_import_module = "worker")]
unsafe extern "C" {
    /// Length of the model file in bytes.
    fn model_len() -> f64;
    /// Reads bytes of the model file from a position; returns how many, 0 at the end, -1 where they
    /// cannot be had.
    fn model_read_at(position: f64, dst: *mut u8, len: u32) -> i32;
    /// Gives the recognizer a request to load the model, and returns its status; -1 where it has
    /// ended.
    fn load(request: *const u8, len: u32) -> i32;
    /// Writes samples into the recognizer's ring.
    fn write(samples: *const f32, len: u32);
    /// Gives the recognizer a request, and returns its status; -1 where it has ended. Its events
    /// come through `listener_event` before that.
    fn call(request: *const u8, len: u32) -> i32;
    /// Milliseconds since any moment.
    fn now() -> f64;
}

/// The recognizer in its own module, behind the worker.
struct Remote;

/// Events that came in during a call.
fn answered(status: i32) -> Result<Vec<Event>, SandboxError> {
    let bytes = EVENTS.take();
    match Status::from_raw(status) {
        Some(Status::Ok) => bytes
            .iter()
            .map(|bytes| hearken_proto::decode(bytes))
            .collect::<Result<_, _>>()
            .map_err(|error| SandboxError::Misbehaved(error.to_string())),
        Some(status) => Err(SandboxError::Failed(status)),
        None => Err(SandboxError::Ended("it was stopped by a violation of its sandbox".to_owned())),
    }
}

impl Recognize for Remote {
    fn write(&mut self, samples: &[f32]) {
        // SAFETY: the worker reads `len` samples at the address, which is this slice.
        unsafe { write(samples.as_ptr(), samples.len() as u32) };
    }

    fn call(&mut self, request: &Request) -> Result<Vec<Event>, SandboxError> {
        let request = hearken_proto::encode(request);
        // SAFETY: the worker reads `len` bytes at the address, which is this slice.
        answered(unsafe { call(request.as_ptr(), request.len() as u32) })
    }
}

/// The model file, read through the worker.
struct File {
    position: u64,
}

impl Read for File {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = u32::try_from(out.len()).unwrap_or(u32::MAX);
        // SAFETY: the worker writes at most `len` bytes at the address of this exclusive slice,
        // which is at least as long.
        let read = unsafe { model_read_at(self.position as f64, out.as_mut_ptr(), len) };
        let read =
            usize::try_from(read).map_err(|_| io::Error::other("its bytes cannot be had"))?.min(out.len());
        self.position += read as u64;
        Ok(read)
    }
}

/// Everything between two calls of the worker.
#[derive(Default)]
struct State {
    model: Option<Model>,
    session: Option<Session>,
    /// Complete utterances, for files to save.
    transcript: Transcript,
    output: String,
}

thread_local! {
    // The module has one thread, so these are plain statics.
    static STATE: RefCell<State> = RefCell::default();
    static BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    // Filled while the state is in use.
    static EVENTS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Options of listening, as the worker writes them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    name: String,
    /// The worker has products and attention done by a pool of instances.
    pool: bool,
    sample_rate: u32,
    channels: u16,
    language: String,
    translate: bool,
    prompt: Option<String>,
    annotations: bool,
}

impl Options {
    fn read(len: u32) -> Result<Self, String> {
        let text = text(len);
        serde_json::from_str(&text).map_err(|error| format!("the options make no sense: {error}"))
    }

    fn format(&self) -> Pcm {
        Pcm { sample_rate: self.sample_rate, channels: self.channels }
    }
}

/// The first `len` bytes of the buffer as text.
fn text(len: u32) -> String {
    BUFFER.with_borrow(|buffer| {
        let bytes = buffer.iter().flat_map(|word| word.to_bits().to_le_bytes()).take(len as usize);
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    })
}

fn samples(len: u32) -> Vec<f32> {
    BUFFER.with_borrow(|buffer| buffer[..buffer.len().min(len as usize)].to_vec())
}

/// Runs `work`, and keeps its answer, or what went wrong, as the output. Returns 0 if it went well.
fn answer(work: impl FnOnce(&mut State) -> Result<Value, String>) -> i32 {
    STATE.with_borrow_mut(|state| match work(state) {
        Ok(value) => {
            state.output = value.to_string();
            0
        }
        Err(message) => {
            state.output = json!({ "message": message }).to_string();
            1
        }
    })
}

fn words(words: &[Word]) -> Value {
    let word = |word: &Word| {
        json!({
            "text": word.text, "start": seconds(word.start), "end": seconds(word.end),
            "probability": word.probability,
        })
    };
    words.iter().map(word).collect()
}

fn event(event: &SessionEvent) -> Value {
    match event {
        SessionEvent::SpeechStarted { position } => json!({ "type": "speech", "start": seconds(*position) }),
        SessionEvent::SpeechEnded { position } => json!({ "type": "pause", "start": seconds(*position) }),
        SessionEvent::Language(language) => {
            json!({ "type": "language", "code": language.code, "probability": language.probability })
        }
        SessionEvent::Partial { utterance, committed, tentative } => json!({
            "type": "partial", "utterance": seconds(*utterance),
            "committed": words(committed), "tentative": words(tentative),
        }),
        // Everything was committed before: no words are tentative any more.
        SessionEvent::Paused { utterance, .. } => json!({
            "type": "partial", "utterance": seconds(*utterance), "committed": [], "tentative": [],
        }),
        SessionEvent::Final { utterance, end, words: said } => json!({
            "type": "final", "utterance": seconds(*utterance), "end": seconds(*end), "words": words(said),
        }),
        SessionEvent::Dropped { position, len, reason } => json!({
            "type": "dropped", "start": seconds(*position), "end": seconds(position + len), "reason": reason.to_string(),
        }),
        SessionEvent::Unrecognized { position, len } => json!({
            "type": "unrecognized", "start": seconds(*position), "end": seconds(position + len),
        }),
        SessionEvent::Finished { duration } => json!({ "type": "end", "duration": seconds(*duration) }),
    }
}

/// A whole recording as samples.
struct Samples {
    format: Pcm,
    samples: Vec<f32>,
    position: usize,
}

impl Source for Samples {
    fn format(&self) -> Pcm {
        self.format
    }

    fn frames(&self) -> Option<u64> {
        Some((self.samples.len() / usize::from(self.format.channels.max(1))) as u64)
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        let channels = usize::from(self.format.channels.max(1));
        let end = self.samples.len().min(self.position + 4_096 * channels);
        block.clear();
        block.extend_from_slice(&crate::audio::usable(&self.samples[self.position..end]));
        self.position = end;
        Ok(block.len() / channels)
    }

    fn faults(&self) -> Faults {
        Faults::default()
    }
}

fn explain(error: &Error) -> String {
    error.to_string()
}

fn model_of(state: &State) -> Result<Model, String> {
    state.model.clone().ok_or_else(|| "no model is loaded; load one first".to_owned())
}

/// Room for `len` bytes that the worker hands over; 0 if they are too many.
#[unsafe(no_mangle)]
extern "C" fn listener_buffer(len: u32) -> *mut f32 {
    if len > MAX_BUFFER {
        return std::ptr::null_mut();
    }
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        buffer.resize((len as usize).div_ceil(size_of::<f32>()), 0.0);
        buffer.as_mut_ptr()
    })
}

/// Room for `len` bytes of one event of the recognizer; 0 if they are too many.
#[unsafe(no_mangle)]
extern "C" fn listener_event(len: u32) -> *mut u8 {
    if len > hearken_proto::abi::MAX_EVENT {
        return std::ptr::null_mut();
    }
    EVENTS.with_borrow_mut(|events| {
        events.push(vec![0; len as usize]);
        events.last_mut().map_or(std::ptr::null_mut(), Vec::as_mut_ptr)
    })
}

/// Checks the model file, and has the recognizer load it.
#[unsafe(no_mangle)]
extern "C" fn listener_load(len: u32) -> i32 {
    answer(|state| {
        let Options { name, pool, .. } = Options::read(len)?;
        // SAFETY: the function has no arguments.
        let bytes = unsafe { model_len() };
        let bytes = if bytes.is_finite() && bytes >= 0.0 { bytes as u64 } else { 0 };
        let checked = model::check(File { position: 0 }, bytes)
            .map_err(|cause| explain(&Error::Model { name: name.clone(), cause }))?;
        let mut options = model::load_options(&checked);
        if pool {
            options.kernels = Kernels::Pool;
        }
        let request = hearken_proto::encode(&options);
        // SAFETY: the worker reads `len` bytes at the address, which is this slice.
        let status = unsafe { load(request.as_ptr(), request.len() as u32) };
        let events = answered(status).map_err(|error| format!("{name}: {error}"))?;
        let model = Model::new(&name, checked, Remote, events).map_err(|error| explain(&error))?;
        model.learn_padding().map_err(|error| format!("{name}: {error}"))?;
        let facts = json!({
            "name": name, "multilingual": model.multilingual(), "size": checked.header.size_name(),
            "weights": checked.header.ftype().name(),
        });
        state.model = Some(model);
        Ok(facts)
    })
}

/// Begins to listen.
#[unsafe(no_mangle)]
extern "C" fn listener_start(len: u32) -> i32 {
    answer(|state| {
        let options = Options::read(len)?;
        let session = SessionOptions {
            language: language_code(&options.language),
            translate: options.translate,
            prompt: options.prompt.clone(),
            annotations: options.annotations,
            ..SessionOptions::new(options.format())
        };
        let session = Session::new(&model_of(state)?, session).map_err(|error| explain(&error))?;
        state.session = Some(session);
        state.transcript = Transcript::default();
        Ok(json!({}))
    })
}

/// Takes in the first `len` samples of the buffer.
#[unsafe(no_mangle)]
extern "C" fn listener_push(len: u32) -> i32 {
    answer(|state| {
        let session = state.session.as_mut().ok_or("nothing listens; start first")?;
        BUFFER.with_borrow(|buffer| session.push(&buffer[..buffer.len().min(len as usize)]));
        Ok(json!({}))
    })
}

/// Ends the audio.
#[unsafe(no_mangle)]
extern "C" fn listener_finish() -> i32 {
    answer(|state| {
        state.session.as_mut().ok_or("nothing listens; start first")?.finish();
        Ok(json!({}))
    })
}

/// Returns 1 if a decode is due.
#[unsafe(no_mangle)]
extern "C" fn listener_due() -> i32 {
    STATE.with_borrow(|state| state.session.as_ref().is_some_and(Session::is_due).into())
}

/// Makes the decode that is due.
#[unsafe(no_mangle)]
extern "C" fn listener_decode() -> i32 {
    answer(|state| {
        let session = state.session.as_mut().ok_or("nothing listens; start first")?;
        // SAFETY: the function has no arguments.
        session.decode(|| Duration::from_secs_f64(unsafe { now() }.max(0.0) / 1000.0));
        Ok(json!({}))
    })
}

/// Takes the events since the last call, as an array.
#[unsafe(no_mangle)]
extern "C" fn listener_events() -> i32 {
    answer(|state| {
        let events = state.session.as_mut().map(Session::take_events).unwrap_or_default();
        for event in &events {
            state.transcript.segments.extend(event.segment());
            match event {
                SessionEvent::Language(language) if state.transcript.language.is_none() => {
                    state.transcript.language = Some(language.clone());
                }
                SessionEvent::Finished { duration } => state.transcript.duration = *duration,
                _ => {}
            }
        }
        Ok(events.iter().map(event).collect())
    })
}

/// Transcribes the buffer's first `len` bytes of samples as a recording; the options were given to
/// [`listener_options`].
#[unsafe(no_mangle)]
extern "C" fn listener_transcribe(len: u32) -> i32 {
    answer(|state| {
        let options = OPTIONS.take();
        let mut source = Samples { format: options.format(), samples: samples(len), position: 0 };
        let choices = TranscribeOptions {
            language: language_code(&options.language),
            annotations: options.annotations,
            translate: options.translate,
            prompt: options.prompt.clone(),
            voice_activity: Some(VadConfig::default()),
            ..TranscribeOptions::default()
        };
        let transcribed = model_of(state)?.transcribe(&mut source, &choices, |_| {});
        state.transcript = transcribed.map_err(|error| explain(&error))?;
        let transcript = &state.transcript;
        let segment = |segment: &Segment| {
            json!({
                "text": segment.text, "start": seconds(segment.start), "end": seconds(segment.end),
                "words": words(&segment.words),
            })
        };
        Ok(json!({
            "text": transcript.text(),
            "language": transcript.language.as_ref().map(|language| &language.code),
            "duration": seconds(transcript.duration),
            "segments": transcript.segments.iter().map(segment).collect::<Value>(),
        }))
    })
}

thread_local! {
    static OPTIONS: RefCell<Options> = RefCell::default();
}

/// Takes the options of the next recording.
#[unsafe(no_mangle)]
extern "C" fn listener_options(len: u32) -> i32 {
    answer(|_| {
        OPTIONS.set(Options::read(len)?);
        Ok(json!({}))
    })
}

/// Writes the complete utterances in the format that is named in the buffer. The output is the
/// file's text.
#[unsafe(no_mangle)]
extern "C" fn listener_write(len: u32) -> i32 {
    let name = text(len);
    answer(|state| {
        let format: Format = name.parse().map_err(|error| format!("{error}"))?;
        let mut file = Vec::new();
        format.write(&state.transcript, &mut file).map_err(|error| error.to_string())?;
        Ok(Value::String(String::from_utf8_lossy(&file).into_owned()))
    })
}

/// Address of the output of the latest call: JSON.
#[unsafe(no_mangle)]
extern "C" fn listener_output() -> *const u8 {
    STATE.with_borrow(|state| state.output.as_ptr())
}

/// Length of the output in bytes.
#[unsafe(no_mangle)]
extern "C" fn listener_output_len() -> u32 {
    STATE.with_borrow(|state| state.output.len() as u32)
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Makes this module a reactor: constructors run once, here.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the linker defines it; the worker calls this once, before anything else.
    unsafe { __wasm_call_ctors() }
}
