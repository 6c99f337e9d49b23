//! The node: a session of hearken for each stretch of audio.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use hearken::audio::Format;
use hearken::session::{Session, SessionOptions};
use hearken::{Engine, Model, ModelSource};
use remotemedia_plugin_sdk::traits::runtime_context::InitializeContextRead;
use remotemedia_plugin_sdk::traits::streaming::AsyncStreamingNode;
use remotemedia_plugin_sdk::types::{Error, RuntimeData};

use crate::NODE_TYPE;
use crate::event::{Events, TranscriptEvent};
use crate::parameters::Parameters;

/// The engine, which all nodes of a process share. It stays until the process ends: its threads
/// cost nothing while they wait.
static ENGINE: Mutex<Option<Engine>> = Mutex::new(None);

/// JSON messages that end the audio, by their `type`.
const ENDS: [&str; 3] = ["flush", "final", "end"];

/// A node with what it has heard.
pub(crate) struct Node {
    parameters: Parameters,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    model: Option<Model>,
    /// From the first audio to the end of audio, and its format.
    session: Option<(Format, Session)>,
    events: Events,
}

impl Node {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self { parameters, state: Mutex::default() }
    }

    /// Does what takes long, with the state; tells the runtime, so that its other tasks go on.
    fn work<T>(&self, work: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        // What panicked left no half of a change behind that the next call would take for a whole.
        tokio::task::block_in_place(|| work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The model, loaded the first time.
    fn model(&self, state: &mut State) -> Result<Model, Error> {
        if let Some(model) = &state.model {
            return Ok(model.clone());
        }
        let mut engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = match &*engine {
            Some(engine) => engine.clone(),
            None => engine.insert(Engine::new().map_err(failed)?).clone(),
        };
        let path = self.parameters.model.clone();
        let model = engine.load(&path.map_or(ModelSource::Embedded, ModelSource::File)).map_err(failed)?;
        Ok(state.model.insert(model).clone())
    }

    /// Hears interleaved samples.
    fn hear(
        &self,
        state: &mut State,
        format: Format,
        samples: &[f32],
    ) -> Result<Vec<TranscriptEvent>, Error> {
        let mut events = Vec::new();
        if state.session.as_ref().is_some_and(|(before, _)| *before != format) {
            // Another source: what was heard of the one before is said.
            events = end(state);
        }
        if state.session.is_none() {
            let model = self.model(state)?;
            let mut options = SessionOptions::new(format);
            options.language.clone_from(&self.parameters.language);
            options.translate = self.parameters.translate;
            options.prompt.clone_from(&self.parameters.prompt);
            options.step = self.parameters.step.unwrap_or(options.step);
            // Recognition runs here. That holds the pipeline back, where it is faster than the
            // recognizer, and no audio is lost.
            state.session = Some((format, Session::driven(&model, options).map_err(failed)?));
        }
        let State { session: Some((_, session)), events: made, .. } = state else { return Ok(events) };
        session.push(samples).map_err(failed)?;
        loop {
            let begun = Instant::now();
            if session.decode_pending().is_none() {
                break;
            }
            session.charge(begun.elapsed());
        }
        events.extend(session.events().try_iter().filter_map(|event| made.take(event)));
        Ok(events)
    }

    /// Answers one item.
    fn answer(&self, data: &RuntimeData) -> Result<Vec<TranscriptEvent>, Error> {
        match data {
            RuntimeData::Audio { samples, sample_rate, channels, .. } => {
                let channels =
                    u16::try_from(*channels).map_err(|_| invalid(format!("{channels} channels")))?;
                let format = Format { sample_rate: *sample_rate, channels };
                if channels > 0 && !samples.len().is_multiple_of(usize::from(channels)) {
                    return Err(invalid(format!(
                        "{} samples are no whole frames of {channels} channels",
                        samples.len()
                    )));
                }
                self.work(|state| self.hear(state, format, samples))
            }
            RuntimeData::Json(message) if is_end(message) => self.work(|state| Ok(end(state))),
            // Voice activity and others send events along with the audio.
            _ => Ok(Vec::new()),
        }
    }
}

/// True for a message that ends the audio.
fn is_end(message: &serde_json::Value) -> bool {
    message["type"].as_str().is_some_and(|kind| ENDS.contains(&kind))
}

/// Ends the audio; the next begins anew.
fn end(state: &mut State) -> Vec<TranscriptEvent> {
    let Some((_, mut session)) = state.session.take() else { return Vec::new() };
    // It was not finished before.
    let _ = session.finish();
    while session.decode_pending().is_some() {}
    session.events().iter().filter_map(|event| state.events.take(event)).collect()
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Execution(format!("{NODE_TYPE}: {error}"))
}

fn invalid(message: String) -> Error {
    Error::InvalidInput { message, node_id: NODE_TYPE.to_owned(), context: "audio".to_owned() }
}

fn json(event: &TranscriptEvent) -> Result<RuntimeData, Error> {
    Ok(RuntimeData::Json(serde_json::to_value(event)?))
}

#[async_trait]
impl AsyncStreamingNode for Node {
    fn node_type(&self) -> &str {
        NODE_TYPE
    }

    async fn initialize(&self, _: &dyn InitializeContextRead) -> Result<(), Error> {
        self.work(|state| self.model(state).map(drop))
    }

    /// The latest event, or `null`: for callers that can take one output for an input.
    async fn process(&self, data: RuntimeData) -> Result<RuntimeData, Error> {
        self.answer(&data)?.last().map_or(Ok(RuntimeData::Json(serde_json::Value::Null)), json)
    }

    async fn process_streaming<F>(
        &self,
        data: RuntimeData,
        _: Option<String>,
        mut callback: F,
    ) -> Result<usize, Error>
    where
        F: FnMut(RuntimeData) -> Result<(), Error> + Send,
    {
        let events = self.answer(&data)?;
        for event in &events {
            callback(json(event)?)?;
        }
        Ok(events.len())
    }
}
