//! Selection of the model.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use hearken::store::{Store, official};
use hearken::{Compute, Engine, EngineBuilder, Model, ModelSource, Preparation};

use super::{Failure, complain, progress};

/// Options that select the model and the number of threads.
#[derive(clap::Args)]
pub(crate) struct ModelArgs {
    /// A model's name (see `hearken models list`) or a ggml Whisper model file [default: the best
    /// model that was pulled, else the small demonstration model inside hearken (English digits and
    /// commands)]
    #[arg(long, short, value_name = "NAME|FILE")]
    model: Option<PathBuf>,
    /// Recognizer threads [default: as many as cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Where matrix multiplication runs: `fast` (host, int8), `exact` (host, at native
    /// whisper.cpp's precision) or `guest` (inside the sandbox)
    #[arg(long, value_name = "WAY", default_value_t)]
    compute: Compute,
}

impl ModelArgs {
    /// Source of the model.
    pub(crate) fn source(&self) -> Result<ModelSource, Failure> {
        Ok(self.choose()?.0)
    }

    /// Source of the model, and the reason for the choice.
    pub(crate) fn choose(&self) -> Result<(ModelSource, String), Failure> {
        if let Some(named) = &self.model {
            return find(named);
        }
        // Without a home there is no store, and the embedded model works all the same.
        let Ok(store) = Store::open() else {
            return Ok((
                ModelSource::Embedded,
                "the embedded model: there is no folder for models".to_owned(),
            ));
        };
        Ok(match store.best()? {
            Some(best) => {
                let why = format!("{}: the best of those pulled (--model names another)", best.name);
                (ModelSource::File(best.path), why)
            }
            None => {
                let why = "the embedded model: none is pulled (`hearken models pull base.en`)".to_owned();
                (ModelSource::Embedded, why)
            }
        })
    }

    /// Returns true if a model was named.
    pub(crate) fn is_named(&self) -> bool {
        self.model.is_some()
    }

    /// Loads the model; prints a note when it is only the demonstration's.
    pub(crate) fn load(&self) -> Result<Model, Failure> {
        let source = self.source()?;
        if matches!(source, ModelSource::Embedded) && std::io::stderr().is_terminal() {
            complain(
                "using the embedded demonstration model: English digits and commands, nothing else (`hearken models pull base.en` for more)",
            );
        }
        Ok(self.engine()?.load(&source)?)
    }

    /// An engine that tells a person when a model has to be prepared first.
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        let spinner = std::io::stderr().is_terminal().then(progress::Spinner::default);
        let builder = self.builder().on_prepare(move |step| {
            match (&spinner, &step) {
                (Some(spinner), Preparation::Started { name }) => spinner.start(format!("preparing {name}, once")),
                (Some(spinner), _) => spinner.stop(),
                (None, _) => {}
            }
            if let Preparation::NotKept { reason } = step {
                complain(&format!(
                    "the prepared model could not be kept for next time: {reason}; HEARKEN_CACHE_DIR names another folder"
                ));
            }
        });
        Ok(builder.build()?)
    }

    fn builder(&self) -> EngineBuilder {
        let builder = Engine::builder().compute(self.compute);
        match self.threads {
            Some(threads) => builder.threads(threads.into()),
            None => builder,
        }
    }
}

/// A name of the catalog selects that model, whatever files exist; anything else that is a file
/// selects that file.
pub(super) fn find(named: &Path) -> Result<(ModelSource, String), Failure> {
    let file = || (ModelSource::File(named.to_owned()), format!("the file {}", named.display()));
    let Some(name) = named.to_str().filter(|name| !name.contains('/')) else {
        return Ok(file());
    };
    // `FILE.bin` that is not there is a file that is not there, and no misspelt name.
    let is_file = named.exists() || named.extension().is_some_and(|extension| extension == "bin");
    if official(name).is_err() && is_file {
        return Ok(file());
    }
    let found = Store::open()?.find(name)?;
    Ok((ModelSource::File(found.path), format!("{name}: named by --model")))
}
