//! The command line.

use hearken_listener::formats::Format;
use hearken_listener::language_code;

/// Text that `--help` prints.
pub(crate) const HELP: &str = "\
Speech to text with whisper.cpp, as a WebAssembly command: recordings in, transcripts out.

Usage: hearken.wasm --model FILE [OPTIONS] RECORDING...

Recordings are WAV, FLAC, MP3, OGG (Vorbis, Opus), WebM, M4A, AIFF or CAF; `-` is standard input.

Options:
  -m, --model FILE      a ggml Whisper model, such as ggml-tiny.en.bin or ggml-base.bin
  -f, --format FORMAT   txt, srt, vtt, json or jsonl [default: txt]
  -l, --language CODE   language, such as `en`, `english` or `en-US`; `auto` detects it; several with
                        commas, such as `en,es`, are the only ones detected [default: auto]
      --translate       translate into English (multilingual models)
      --prompt TEXT     names, spellings and style to expect, as text that came before
      --annotations     keep annotations such as `[Music]`, which are not speech
      --no-vad          turn voice activity detection off: all audio is decoded, silence included
  -h, --help            print this
  -V, --version         print the version

The program sees only the folders that its runtime gives it, under the names that the runtime gives:
  wasmtime run --dir models --dir . hearken.wasm --model models/ggml-tiny.en.bin talk.wav
  wasmtime run --dir models hearken.wasm --model models/ggml-tiny.en.bin -f srt - < talk.mp3
It computes on one thread with relaxed SIMD, which its runtime must know. For several recordings at
once run several of it.

Without arguments it is a node of RemoteMedia: a manifest with one WhisperNode and its input_data come
in JSON on standard input, texts go in JSON to standard output. model_source `tiny.en` is the file
models/ggml-tiny.en.bin.

Exit codes: 0 done; 1 error; 2 wrong usage; 3 done, but some audio was damaged or not recognized.
";

/// Choices that the arguments make.
pub(crate) struct Arguments {
    pub(crate) model: String,
    pub(crate) recordings: Vec<String>,
    pub(crate) format: Format,
    pub(crate) language: Option<String>,
    pub(crate) languages: Vec<String>,
    pub(crate) translate: bool,
    pub(crate) prompt: Option<String>,
    pub(crate) annotations: bool,
    pub(crate) voice_activity: bool,
}

/// Something to do.
pub(crate) enum Order {
    Transcribe(Arguments),
    /// Run the pipeline on standard input.
    Pipeline,
    /// Print this, and nothing else.
    Print(String),
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// Says what is wrong, and what to do.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Order, String> {
    let mut model = None;
    let mut parsed = Arguments {
        model: String::new(),
        recordings: Vec::new(),
        format: Format::Text,
        language: None,
        languages: Vec::new(),
        translate: false,
        prompt: None,
        annotations: false,
        voice_activity: true,
    };
    let mut arguments = arguments.into_iter().peekable();
    if arguments.peek().is_none() {
        return Ok(Order::Pipeline);
    }
    let mut only_recordings = false;
    while let Some(argument) = arguments.next() {
        if only_recordings || argument == "-" || !argument.starts_with('-') {
            parsed.recordings.push(argument);
            continue;
        }
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (argument, None),
        };
        let mut value = || {
            attached
                .clone()
                .or_else(|| arguments.next())
                .ok_or_else(|| format!("{name} needs a value behind it"))
        };
        match name.as_str() {
            "--" => only_recordings = true,
            "-m" | "--model" => model = Some(value()?),
            "-f" | "--format" => parsed.format = value()?.parse().map_err(|error| format!("{error}"))?,
            "-l" | "--language" => {
                let named: Vec<Option<String>> = value()?.split(',').map(language_code).collect();
                if let [one] = named.as_slice() {
                    parsed.language.clone_from(one);
                } else {
                    // With detection any language may come.
                    parsed.languages = named.into_iter().collect::<Option<_>>().unwrap_or_default();
                }
            }
            "--prompt" => parsed.prompt = Some(value()?),
            flag if attached.is_some() => return Err(format!("{flag} takes no value, or is none of ours")),
            "--translate" => parsed.translate = true,
            "--annotations" => parsed.annotations = true,
            "--no-vad" => parsed.voice_activity = false,
            "-h" | "--help" => return Ok(Order::Print(HELP.to_owned())),
            "-V" | "--version" => {
                return Ok(Order::Print(format!("hearken {}\n", env!("CARGO_PKG_VERSION"))));
            }
            other => return Err(format!("unknown option {other:?}")),
        }
    }
    parsed.model = model.ok_or("no model is named; say --model FILE, a ggml Whisper model")?;
    if parsed.recordings.is_empty() {
        return Err("no recording is named; say its name, or - for standard input".to_owned());
    }
    if parsed.recordings.len() > 1 && !matches!(parsed.format, Format::Text) {
        return Err(format!("several recordings as {} cannot share standard output", parsed.format));
    }
    Ok(Order::Transcribe(parsed))
}
