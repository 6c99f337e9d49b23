//! hearken, as one of the engines.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use hearken::{Compute, Engine, Model, ModelSource};

/// Arguments of [`serve`]: compute mode, the model's file, that of the samples, and one for the
/// compiled guest.
const ORDER: [&str; 4] =
    ["HEARKEN_OWN_COMPUTE", "HEARKEN_OWN_MODEL", "HEARKEN_OWN_SAMPLES", "HEARKEN_OWN_COMPILED"];

/// A model that is loaded.
pub(crate) struct Own(Model);

impl Own {
    pub(crate) fn load(compute: Compute, threads: usize, model: &Path) -> Self {
        let engine =
            Engine::builder().no_cache().threads(threads).compute(compute).build().expect("an engine");
        Self(engine.load(&ModelSource::File(model.to_owned())).expect("hearken loads it"))
    }

    /// Measures the encoder, and then the decoding of `tokens` tokens.
    pub(crate) fn run(&self, samples: &[f32], tokens: u32) -> (Duration, Duration) {
        let tokens: Vec<u32> = (1000..1000 + tokens).collect();
        let mut sandbox = self.0.sandbox().expect("a sandbox");
        let timing = sandbox.measure(samples, Some("en"), &tokens).expect("a measurement");
        (timing.encoder, timing.tokens)
    }
}

/// Environment for a program that [serves](serve).
pub(crate) fn order(
    compute: Compute,
    model: &Path,
    samples: &Path,
    compiled: &Path,
) -> [(&'static str, PathBuf); 4] {
    let values = [PathBuf::from(compute.to_string()), model.into(), samples.into(), compiled.into()];
    let mut values = values.into_iter();
    ORDER.map(|name| (name, values.next().unwrap_or_default()))
}

/// Acts as a [`Program`](crate::program::Program), if it is ordered to.
pub(crate) fn serve() -> bool {
    let [Some(compute), Some(model), Some(samples), Some(compiled)] = ORDER.map(env::var_os) else {
        return false;
    };
    let compute = compute.to_str().and_then(|name| name.parse().ok()).expect("a way to compute");
    let own = Own::load(compute, 1, Path::new(&model));
    fs::copy(snapshot().expect("a snapshot is mapped"), compiled).expect("room for it");
    let bytes = fs::read(samples).expect("samples");
    let samples: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    println!("ready");
    for line in io::stdin().lines() {
        let tokens = line.expect("a line").trim().parse().expect("a number of tokens");
        let (encoder, tokens) = own.run(&samples, tokens);
        println!("{} {}", encoder.as_nanos(), tokens.as_nanos());
        io::stdout().flush().expect("somebody listens");
    }
    true
}

/// The compiled snapshot, which this process has open.
fn snapshot() -> Option<PathBuf> {
    let open = fs::read_dir("/proc/self/fd").ok()?.flatten().map(|entry| entry.path());
    let is_snapshot = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains("memfd:hearken-snapshot"))
    };
    open.into_iter().find(is_snapshot)
}
