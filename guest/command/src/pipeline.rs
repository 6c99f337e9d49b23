//! Pipelines of RemoteMedia: a manifest and audio in JSON on standard input, texts in JSON on
//! standard output.
//!
//! The manifest is version 1 (`version`, `metadata.name`, `nodes`, `connections`), alone or as
//! `{"manifest": …, "input_data": […]}`. Its one node is a [`NODES`], whose parameters are those of
//! RemoteMedia's own Whisper node. An item of the input is audio in one of five forms: `[samples,
//! rate]` with the samples as a list, as a list of channels or as a NumPy array; or an object with
//! `audio_data` or `audio`, a list or a list of channels, and `sample_rate`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearken_listener::audio::{AudioError, Faults, Format, Source, VadConfig};
use hearken_listener::{Model, SAMPLE_RATE, TranscribeOptions, language_code, seconds};
use serde_json::{Map, Value, json};

use crate::run;

/// Types of nodes that are this program.
const NODES: [&str; 3] = ["WhisperNode", "RustWhisperNode", "RustWhisperTranscriber"];

/// Folder in which models are looked for by their names.
const MODELS: &str = "models";

/// Names that `model_source` may have: OpenAI's models.
const SOURCES: [&str; 13] = [
    "tiny",
    "tiny.en",
    "base",
    "base.en",
    "small",
    "small.en",
    "medium",
    "medium.en",
    "large",
    "large-v1",
    "large-v2",
    "large-v3",
    "large-v3-turbo",
];

/// The node's parameters.
struct Node {
    id: String,
    model: String,
    options: TranscribeOptions,
    /// All items are one recording; else each is one.
    accumulates: bool,
}

/// Runs the pipeline that `input` describes. Returns what goes to standard output.
///
/// # Errors
/// Says what is wrong, and what to do.
pub(crate) fn run(input: &str) -> Result<String, String> {
    let input: Value =
        serde_json::from_str(input).map_err(|error| format!("the input is no JSON: {error}"))?;
    let (manifest, items) = match input.get("manifest") {
        Some(manifest) => (manifest, input.get("input_data").and_then(Value::as_array).cloned()),
        None => (&input, None),
    };
    let items = items.unwrap_or_default();
    let node = node(manifest)?;
    let clips = items
        .iter()
        .enumerate()
        .map(|(at, item)| clip(item).map_err(|error| format!("input_data[{at}]: {error}")))
        .collect::<Result<Vec<Clip>, String>>()?;
    let recordings = if node.accumulates { Clip::join(clips)? } else { clips };
    let mut outputs = Vec::new();
    if recordings.iter().any(|clip| !clip.samples.is_empty()) {
        // Loaded once, for all items.
        let model = run::load(&node.model)?;
        for clip in recordings.into_iter().filter(|clip| !clip.samples.is_empty()) {
            outputs.push(transcribe(&model, &node, clip)?);
        }
    }
    // One output stands alone.
    let outputs = match <[Value; 1]>::try_from(outputs) {
        Ok([one]) => one,
        Err(outputs) => Value::Array(outputs),
    };
    let results = json!({
        "status": "success",
        "outputs": outputs,
        "graph_info": { "node_count": 1, "source_count": 1, "sink_count": 1, "execution_order": [node.id] },
    });
    Ok(format!("\n=== PIPELINE RESULTS ===\n{results:#}\n"))
}

fn transcribe(model: &Model, node: &Node, clip: Clip) -> Result<Value, String> {
    let transcript = model
        .transcribe(&mut Playing { clip, position: 0 }, &node.options, |_| {})
        .map_err(|error| error.to_string())?;
    let segments: Vec<Value> = transcript
        .segments
        .iter()
        .map(|segment| {
            json!({ "start": seconds(segment.start), "end": seconds(segment.end), "text": segment.text })
        })
        .collect();
    let language = transcript.language.as_ref().map(|language| language.code.clone());
    Ok(json!({
        "text": transcript.text(),
        "segments": segments,
        "language": language.unwrap_or_else(|| "auto".to_owned()),
        "audio_duration": seconds(transcript.duration),
    }))
}

/// Reads and checks the manifest.
fn node(manifest: &Value) -> Result<Node, String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    match text(manifest.get("version")).as_deref() {
        Some("v1") => {}
        Some(other) => return Err(format!("the manifest has version {other:?}; only \"v1\" is known")),
        None => return Err("the manifest has no version; write \"version\": \"v1\"".to_owned()),
    }
    if text(manifest.pointer("/metadata/name")).is_none_or(|name| name.is_empty()) {
        return Err("the manifest has no metadata.name; give the pipeline a name".to_owned());
    }
    let nodes = manifest.get("nodes").and_then(Value::as_array).ok_or("the manifest has no nodes")?;
    let connections = manifest.get("connections").and_then(Value::as_array);
    let connections = connections.ok_or("the manifest has no connections; write \"connections\": []")?;
    let [node] = nodes.as_slice() else {
        return Err(format!(
            "the pipeline has {} nodes; this program is one, of type {}",
            nodes.len(),
            NODES[0]
        ));
    };
    let id = text(node.get("id")).filter(|id| !id.is_empty()).ok_or("the node has no id")?;
    if let Some(connection) = connections.first() {
        return Err(format!(
            "the connection {connection} leads to a node that is not there: {id} is the only one"
        ));
    }
    match text(node.get("node_type")) {
        Some(kind) if NODES.contains(&kind.as_str()) => {}
        kind => {
            let kind = kind.unwrap_or_default();
            return Err(format!("{id} has the type {kind:?}; known here are {}", NODES.join(", ")));
        }
    }
    let none = Map::new();
    let params = node.get("params").and_then(Value::as_object).unwrap_or(&none);
    let flag = |name: &str, default| params.get(name).and_then(Value::as_bool).unwrap_or(default);
    let model = match (text(params.get("model_path")), text(params.get("model_source"))) {
        (Some(path), _) => path,
        (None, Some(source)) if SOURCES.contains(&source.as_str()) => {
            format!("{MODELS}/ggml-{source}.bin")
        }
        (None, Some(source)) => {
            return Err(format!(
                "{id}: model_source is {source:?}; it must be one of {}",
                SOURCES.join(", ")
            ));
        }
        (None, None) => {
            return Err(format!("{id}: either model_path or model_source is required"));
        }
    };
    Ok(Node {
        id,
        model,
        options: TranscribeOptions {
            language: text(params.get("language")).as_deref().and_then(language_code),
            translate: flag("translate", false),
            prompt: text(params.get("prompt")),
            voice_activity: Some(VadConfig::default()),
            ..TranscribeOptions::default()
        },
        accumulates: flag("accumulate_chunks", true),
    })
}

/// Audio of one item: one channel.
struct Clip {
    rate: u32,
    samples: Vec<f32>,
}

impl Clip {
    /// Joins clips into one, if there are any.
    fn join(clips: Vec<Self>) -> Result<Vec<Self>, String> {
        let mut joined: Option<Self> = None;
        for clip in clips {
            match &mut joined {
                None => joined = Some(clip),
                Some(all) if all.rate == clip.rate => all.samples.extend(clip.samples),
                Some(all) => {
                    return Err(format!(
                        "the items have {} Hz and {} Hz; give all the same rate, or say \"accumulate_chunks\": false",
                        all.rate, clip.rate
                    ));
                }
            }
        }
        Ok(joined.into_iter().collect())
    }
}

const FORMS: &str = "no audio: write [samples, rate] or {\"audio_data\": samples, \"sample_rate\": rate}, samples as a list, a list of \
     channels, or a NumPy array";

/// Reads one item.
fn clip(item: &Value) -> Result<Clip, String> {
    let (audio, rate) = match item {
        Value::Array(pair) if pair.len() >= 2 => (&pair[0], Some(&pair[1])),
        Value::Object(fields) => {
            let audio = fields.get("audio_data").or_else(|| fields.get("audio")).ok_or(FORMS)?;
            (audio, fields.get("sample_rate"))
        }
        _ => return Err(FORMS.to_owned()),
    };
    let rate = match rate {
        None => SAMPLE_RATE,
        Some(rate) => rate
            .as_f64()
            .filter(|rate| rate.fract() == 0.0 && (8_000.0..=192_000.0).contains(rate))
            .ok_or_else(|| format!("the rate is {rate}; it must be a whole number from 8000 to 192000"))?
            as u32,
    };
    let samples = match audio {
        Value::Object(array) if array.get("__numpy__").and_then(Value::as_bool) == Some(true) => {
            numpy(array)?
        }
        Value::Array(channels) if channels.first().is_some_and(Value::is_array) => {
            let lists = channels.iter().map(|channel| list(channel.as_array().ok_or(FORMS)?));
            average(&lists.collect::<Result<Vec<_>, String>>()?)
        }
        Value::Array(samples) => list(samples)?,
        _ => return Err(FORMS.to_owned()),
    };
    Ok(Clip { rate, samples })
}

fn list(samples: &[Value]) -> Result<Vec<f32>, String> {
    samples
        .iter()
        .map(|sample| {
            sample.as_f64().map(|sample| sample as f32).ok_or_else(|| format!("{sample} is no sample"))
        })
        .collect()
}

/// The mean of channels; one that is shorter ends in silence.
fn average(channels: &[Vec<f32>]) -> Vec<f32> {
    let len = channels.iter().map(Vec::len).max().unwrap_or(0);
    let at = |frame: usize| channels.iter().filter_map(|channel| channel.get(frame)).sum::<f32>();
    (0..len).map(|frame| at(frame) / channels.len() as f32).collect()
}

/// An array as RemoteMedia writes NumPy's: type, shape (channels first) and bytes in base64.
fn numpy(array: &Map<String, Value>) -> Result<Vec<f32>, String> {
    let array = array.get("array").ok_or("the NumPy array has no field \"array\"")?;
    let shape = array.pointer("/meta/shape").and_then(Value::as_array);
    let shape = shape.ok_or("the NumPy array has no meta.shape")?;
    let dtype = array.pointer("/meta/dtype").and_then(Value::as_str);
    let dtype = dtype.ok_or("the NumPy array has no meta.dtype")?;
    let data = array.get("data").and_then(Value::as_str).ok_or("the NumPy array has no data")?;
    let bytes =
        STANDARD.decode(data).map_err(|error| format!("the NumPy array's data is no base64: {error}"))?;
    let samples: Vec<f32> = match dtype {
        "float32" => bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        "float64" => bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect(),
        "int16" => {
            bytes.as_chunks().0.iter().map(|&bytes| f32::from(i16::from_le_bytes(bytes)) / 32_768.0).collect()
        }
        other => {
            return Err(format!("the NumPy array has the type {other:?}; use float32, float64 or int16"));
        }
    };
    let extents: Vec<usize> = shape
        .iter()
        .map(|extent| extent.as_u64().and_then(|extent| usize::try_from(extent).ok()).unwrap_or(0))
        .collect();
    match extents.as_slice() {
        [len] if *len == samples.len() => Ok(samples),
        [channels, len] if channels.checked_mul(*len) == Some(samples.len()) => {
            let channels: Vec<Vec<f32>> = samples.chunks((*len).max(1)).map(<[f32]>::to_vec).collect();
            Ok(average(&channels))
        }
        _ => Err(format!(
            "the NumPy array has {} samples for the shape {}; one of both is wrong",
            samples.len(),
            Value::Array(shape.clone())
        )),
    }
}

/// A clip as a recording.
struct Playing {
    clip: Clip,
    position: usize,
}

impl Source for Playing {
    fn format(&self) -> Format {
        Format { sample_rate: self.clip.rate, channels: 1 }
    }

    fn frames(&self) -> Option<u64> {
        Some(self.clip.samples.len() as u64)
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        block.clear();
        let samples = &self.clip.samples[self.position..];
        let samples = &samples[..samples.len().min(4_096)];
        self.position += samples.len();
        // One that is no number would poison all that come after it.
        block.extend(
            samples.iter().map(|sample| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }),
        );
        Ok(block.len())
    }

    fn faults(&self) -> Faults {
        Faults::default()
    }
}
