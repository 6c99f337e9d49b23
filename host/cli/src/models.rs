//! `hearken models`: models by name.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use console::{measure_text_width, pad_str};
use hearken::model::{self, EMBEDDED, ModelError};
use hearken::store::import::{ImportProgress, Importer, Quantization};
use hearken::store::{CATALOG, Entry, PullProgress, Puller, Store, Stored, Verified, official};
use serde_json::json;

use super::progress::Download;
use super::{Failure, complain, in_printing, printable};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    hearken models list                       what there is, what fits, what is here\n  \
    hearken models pull base.en               fetch it; an interrupted pull goes on where it was\n  \
    hearken file talk.mp3 --model base.en     use it\n  \
    hearken models import whisper-small-de    convert a model of Hugging Face or faster-whisper\n  \
    hearken models verify                     check that no model has changed since it was pulled\n\n\
    Models lie in HEARKEN_MODELS_DIR, else in $XDG_DATA_HOME/hearken/models.\nThey come from Hugging Face or from \
    HF_ENDPOINT, through the proxy that HTTPS_PROXY names.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show all models: size, memory, languages, fit into the sandbox, presence on this machine
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch models
    Pull {
        /// Names as in `hearken models list`
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Fetch models again that are on this machine already
        #[arg(long)]
        force: bool,
    },
    /// Convert a model of another format, or copy a ggml file
    #[command(after_help = "What PATH may be:\n  \
        a Hugging Face folder      config.json, model.safetensors (or its shards and model.safetensors.index.json), and\n  \
        \u{20}                          vocab.json or tokenizer.json: the form of fine-tuned models\n  \
        a CTranslate2 folder       model.bin in float32, float16 or bfloat16, and vocabulary.json, vocabulary.txt or\n  \
        \u{20}                          tokenizer.json: the form of faster-whisper\n  \
        a ggml file                checked and copied; one in f16 can be quantized\n\n\
        Not taken: PyTorch's .pt and .bin (reading them runs code), and CTranslate2 in int8 (cannot be undone).\n\n\
        Examples:\n  \
        hearken models import whisper-small-de                        the model is called whisper-small-de\n  \
        hearken models import whisper-small-de --quantize q5_1        a third of the size, a little less accurate\n  \
        hearken models import model.bin --name mine --vocabulary gpt2.tiktoken\n\n\
        A result that is byte for byte one of whisper.cpp's official files is listed under its official name.")]
    Import {
        /// A folder, or a file in it
        path: PathBuf,
        /// Name of the model [default: the folder's name, or the ggml file's]
        #[arg(long)]
        name: Option<String>,
        /// Quantize the weights, inside the sandbox: q8_0, q5_1, q5_0 or q4_0
        #[arg(long, value_name = "TYPE")]
        quantize: Option<Quantization>,
        /// The vocabulary, if it is not in the folder: vocab.json, tokenizer.json, vocabulary.txt,
        /// or OpenAI's gpt2.tiktoken (English) and multilingual.tiktoken
        #[arg(long, value_name = "FILE")]
        vocabulary: Option<PathBuf>,
        /// Replace another model of that name
        #[arg(long)]
        force: bool,
    },
    /// Print the path of a model's file
    Path {
        /// Name of the model
        name: String,
    },
    /// Check models on this machine; exit code 1 if one of them is damaged
    Verify {
        /// Names [default: all on this machine]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Remove models
    Rm {
        /// Names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let store = Store::open()?;
    match &args.command {
        Command::List { json } => list(&store, *json),
        Command::Pull { names, force } => pull(&store, names, *force),
        Command::Import { path, name, quantize, vocabulary, force } => {
            let mut importer = Importer::new(&store).force(*force);
            if let Some(name) = name {
                importer = importer.name(name);
            }
            if let Some(quantization) = quantize {
                importer = importer.quantize(*quantization);
            }
            if let Some(vocabulary) = vocabulary {
                importer = importer.vocabulary(vocabulary);
            }
            import(importer, path)
        }
        Command::Path { name } => print(&format!("{}\n", store.find(name)?.path.display())),
        Command::Verify { names } => verify(&store, names),
        Command::Rm { names } => each(names, |name| {
            let model = store.find(name)?;
            store.remove(&model)?;
            if io::stderr().is_terminal() {
                complain(&format!("removed {}", model.path.display()));
            }
            Ok(())
        }),
    }
}

/// Acts on each name, and continues after errors.
fn each(names: &[String], mut act: impl FnMut(&str) -> Result<(), Failure>) -> Result<ExitCode, Failure> {
    let mut failed = false;
    for name in names {
        if let Err(failure) = act(name) {
            complain(&failure.message);
            failed = true;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn pull(store: &Store, names: &[String], force: bool) -> Result<ExitCode, Failure> {
    // A misspelt name shows before gigabytes are fetched.
    let entries = names.iter().map(|name| official(name)).collect::<Result<Vec<&Entry>, _>>()?;
    let mut failed = false;
    for entry in entries {
        let bar = Download::new(entry.name());
        let mut was_here = false;
        let pulled = Puller::new(store).force(force).pull(entry, |progress| match progress {
            PullProgress::Here => was_here = true,
            PullProgress::Waiting => bar.say("another hearken is pulling it: waiting"),
            PullProgress::Received { bytes, total } => bar.update(bytes, total),
            PullProgress::Retrying { problem, .. } => bar.say(&format!("{problem}; trying again")),
            PullProgress::Checking => bar.say("checking"),
            _ => {}
        });
        bar.finish();
        match pulled {
            Ok(_) if was_here => complain(&format!("{} is here already", entry.name())),
            Ok(model) => {
                complain(&format!(
                    "pulled {} ({}) to {}",
                    model.name,
                    size(model.bytes),
                    model.path.display()
                ));
            }
            Err(error) => {
                complain(&error.to_string());
                failed = true;
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn import(importer: Importer<'_>, path: &Path) -> Result<ExitCode, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
        .map_err(|error| Failure::new(format!("cannot watch for Ctrl-C: {error}")))?;
    let bar = Download::new(&printable(&path.display().to_string()));
    let mut was_here = false;
    let imported = importer.interrupt(interrupted).import(path, |progress| match progress {
        ImportProgress::Here => was_here = true,
        ImportProgress::Waiting => bar.say("another hearken is at it: waiting"),
        ImportProgress::Preparing => bar.say("compiling the quantizer"),
        ImportProgress::Written { bytes, total } => bar.update(bytes, total),
        ImportProgress::Checking => bar.say("checking"),
        _ => {}
    });
    bar.finish();
    let model = imported?;
    let official = if model.entry.is_some() { ", an official model" } else { "" };
    complain(&match was_here {
        true => format!("{} is here already: {}", model.name, model.path.display()),
        false => {
            format!("imported {}{official} ({}) to {}", model.name, size(model.bytes), model.path.display())
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn verify(store: &Store, names: &[String]) -> Result<ExitCode, Failure> {
    let names = match names {
        [] => store.models()?.into_iter().map(|model| model.name).collect(),
        names => names.to_vec(),
    };
    each(&names, |name| {
        let model = store.find(name)?;
        let against = match store.verify(&model)? {
            Verified::Catalog => "whole: its SHA-256 is the catalog's",
            Verified::Record => "whole: unchanged since it came",
            _ => "well-formed; nothing is known of what it should be",
        };
        print(&format!("{} {against}\n", printable(name)))?;
        Ok(())
    })
}

/// A row of the list.
struct Row {
    name: String,
    bytes: u64,
    memory: Option<u64>,
    multilingual: Option<bool>,
    fits: bool,
    place: Place,
}

enum Place {
    Embedded,
    Here(Stored),
    Nowhere,
}

fn list(store: &Store, as_json: bool) -> Result<ExitCode, Failure> {
    let rows = rows(store)?;
    if as_json {
        let models: Vec<_> = rows.iter().map(Row::json).collect();
        let list = json!({ "folder": store.folder().to_string_lossy(), "models": models });
        return print(&format!("{list:#}\n"));
    }
    let mut cells = vec![["NAME", "SIZE", "MEMORY", "LANGUAGES", "FITS", "HERE"].map(str::to_owned)];
    cells.extend(rows.iter().map(Row::cells));
    let widths: Vec<usize> = (0..6)
        .map(|column| cells.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or(0))
        .collect();
    let mut table = String::new();
    for row in &cells {
        let padded: Vec<_> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| pad_str(cell, *width, console::Alignment::Left, None))
            .collect();
        table += padded.join("  ").trim_end();
        table.push('\n');
    }
    print(&table)
}

/// Rows: the embedded model, the catalog, and other models in the store.
fn rows(store: &Store) -> Result<Vec<Row>, Failure> {
    let mut here = store.models()?;
    let bytes = model::embedded()?;
    let header = model::check(&bytes[..], bytes.len() as u64)?.header;
    let mut rows = vec![Row {
        name: EMBEDDED.name.to_owned(),
        bytes: bytes.len() as u64,
        memory: Some(header.guest_memory()),
        multilingual: Some(header.multilingual()),
        fits: true,
        place: Place::Embedded,
    }];
    for entry in &CATALOG {
        let stored = here.iter().position(|model| model.entry == Some(entry)).map(|at| here.remove(at));
        rows.push(Row {
            name: entry.name().to_owned(),
            bytes: entry.bytes(),
            memory: entry.memory(),
            multilingual: entry.multilingual(),
            fits: entry.fits(),
            place: stored.map_or(Place::Nowhere, Place::Here),
        });
    }
    rows.extend(here.into_iter().map(foreign));
    Ok(rows)
}

/// A model from elsewhere than the catalog.
fn foreign(model: Stored) -> Row {
    // Only the header, so that listing does not read gigabytes.
    let header = std::fs::File::open(&model.path).map_err(ModelError::from).and_then(model::header);
    let (memory, multilingual, fits) = match header {
        Ok(header) => (Some(header.guest_memory()), Some(header.multilingual()), true),
        Err(ModelError::TooLarge { needed, .. } | ModelError::WeightsTooLarge { needed, .. }) => {
            (Some(needed), None, false)
        }
        Err(_) => (None, None, false),
    };
    let (name, bytes) = (model.name.clone(), model.bytes);
    Row { name, bytes, memory, multilingual, fits, place: Place::Here(model) }
}

impl Row {
    fn here(&self) -> &'static str {
        match &self.place {
            Place::Embedded => "inside hearken",
            Place::Nowhere => "-",
            Place::Here(model) => match model.entry {
                Some(entry) if entry.bytes() != model.bytes => "damaged: pull it again with --force",
                Some(_) => "yes",
                None => "yes, not from the catalog",
            },
        }
    }

    fn cells(&self) -> [String; 6] {
        let languages = match self.multilingual {
            Some(true) => "multilingual",
            Some(false) => "English",
            None => "?",
        };
        [
            printable(&self.name),
            size(self.bytes),
            self.memory.map_or_else(|| "?".to_owned(), |memory| format!("≈ {}", size(memory))),
            languages.to_owned(),
            if self.fits { "yes" } else { "no" }.to_owned(),
            self.here().to_owned(),
        ]
    }

    fn json(&self) -> serde_json::Value {
        let (path, official) = match &self.place {
            Place::Here(model) => (Some(model.path.to_string_lossy()), model.entry.is_some()),
            Place::Embedded => (None, false),
            Place::Nowhere => (None, true),
        };
        json!({
            "name": self.name,
            "bytes": self.bytes,
            "memory_bytes": self.memory,
            "multilingual": self.multilingual,
            "fits": self.fits,
            "embedded": matches!(self.place, Place::Embedded),
            "official": official,
            "pulled": matches!(self.place, Place::Here(_)),
            "path": path,
        })
    }
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

/// Prints to standard output; a closed output is no error.
fn print(text: &str) -> Result<ExitCode, Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(in_printing(&error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}
