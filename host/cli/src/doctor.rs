//! `hearken doctor`: checks this machine.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use hearken::audio::{Format, Samples};

use super::{Failure, ModelArgs, in_printing};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    let mut written = Ok(());
    let mut row = |name: &str, value: String| {
        if written.is_ok() {
            written = writeln!(out, "{name:<12} {value}");
        }
    };
    row("hearken", env!("CARGO_PKG_VERSION").to_owned());
    let engine = args.model.engine()?;
    row("processor", processor());
    row("threads", engine.threads().to_string());
    row("compute", engine.describe_compute());
    let guest = hearken::guest_info();
    row("guest", format!("ABI {}, {}", guest.abi, guest.hash));
    let limits = engine.limits();
    row(
        "limits",
        format!(
            "{} MiB of memory, {:?} of CPU time a call, {:?} to load a model",
            limits.memory_bytes >> 20,
            limits.cpu_per_call,
            limits.cpu_to_load
        ),
    );
    let (source, why) = args.model.choose()?;
    row("chosen", why);
    let started = Instant::now();
    let model = engine.load(&source)?;
    let header = model.checked().header;
    let name = model.known().map_or_else(|| header.size_name().to_owned(), |known| known.name.to_owned());
    row(
        "model",
        format!(
            "{name}, {}, {}, {} s of context",
            header.ftype().name(),
            if model.multilingual() { "multilingual" } else { "English" },
            header.context_samples() / u64::from(hearken::SAMPLE_RATE)
        ),
    );
    row("whisper.cpp", model.whisper_cpp().to_owned());
    row("loaded in", format!("{:.1} ms", started.elapsed().as_secs_f64() * 1e3));
    if let Some((folder, bytes, count)) = engine.cache_usage() {
        row("cache", format!("{} ({count} compiled modules, {} MiB)", folder.display(), bytes >> 20));
    }
    let started = Instant::now();
    let silence = hearken::TranscribeOptions::new().voice_activity(None);
    let mut second = Samples::new(vec![0.0; hearken::SAMPLE_RATE as usize], Format::MODEL)?;
    model.transcribe(&mut second, &silence, |_| {})?;
    row(
        "self-test",
        format!("a second of silence decoded in {:.1} ms", started.elapsed().as_secs_f64() * 1e3),
    );
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(in_printing(&error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Architecture, and the features that the kernels look for.
fn processor() -> String {
    let mut found = vec![std::env::consts::ARCH.to_owned()];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! feature {
            ($($name:tt),*) => {$(
                if std::arch::is_x86_feature_detected!($name) {
                    found.push($name.to_owned());
                }
            )*};
        }
        feature!("sse4.1", "avx", "fma", "avx2", "avx512f", "avx512vnni", "avx512bf16");
    }
    found.join(" ")
}
