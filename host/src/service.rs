//! Parts for a server of one's own: what models and tenants use, the work on audio that is not
//! recognition, and its fair scheduling. The crate `hearken-server` stands on these and on the rest
//! of the public interface.
//!
//! A tenant is a [`Share`]. [`Model::transcribe_on`] takes in the audio of its recordings on an
//! [`IntakePool`], whose threads it shares fairly with other tenants; [`cpu_time`] and
//! [`Share::charge_intake`] account for work on other threads. Metrics and admission control read
//! [`Model::stats`] and [`Share::stats`]. An [`ActiveStream`] counts a stream that speaks, and
//! [`Stats::cost_of_speech`] is what each of them needs.

use std::io;

pub use crate::audio::{LiveDecoder, Taken};
pub use crate::language::name as language_name;
pub use crate::meter::{ActiveStream, Decodes, FAILURES, Stats};
pub use crate::preempt::{cpu_time, give_way};

use crate::error::Error;
use crate::executor::{Executor, Purpose};
use crate::os_memory::written_in;
use crate::{Model, Share, sandbox};

/// Threads of low priority that decode and resample recordings, and search them for speech. Work is
/// done fairly by share, and in order within one.
pub struct IntakePool(pub(crate) Executor);

impl IntakePool {
    /// Starts `threads` threads, at least one.
    ///
    /// # Errors
    ///
    /// The system starts no more threads.
    pub fn start(threads: usize) -> io::Result<Self> {
        Executor::start(Purpose::Intake, threads, || {}).map(Self)
    }

    /// Does work for a share, behind the share's earlier work, and charges the share for its CPU
    /// time. Long work calls [`give_way`] from time to time.
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`].
    pub async fn run<T: Send + 'static>(
        &self,
        share: &Share,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.batch(share, work).await
    }
}

/// Compiles the sandbox that decodes recordings, which the first recording would otherwise wait
/// for. To be called before a process gives up rights.
///
/// # Errors
///
/// [`Error::Sandbox`].
pub fn prepare_media() -> Result<(), Error> {
    Ok(sandbox::media::prepare()?)
}

/// Memory that sandboxes have written, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SandboxMemory {
    /// By all sandboxes of the models.
    pub all: u64,
    /// By those of each share, in the order of the shares.
    pub by_share: Vec<u64>,
}

/// Measures the memory that living sandboxes have written: those of these models, and of these
/// shares. Reads `/proc/self/smaps` once; `None` where the system does not tell.
pub fn sandbox_memory<'a>(
    models: &[Model],
    shares: impl IntoIterator<Item = &'a Share>,
) -> Option<SandboxMemory> {
    let all = models.iter().flat_map(|model| model.meter().spaces()).collect();
    let each = shares.into_iter().map(|share| share.meter().spaces());
    let mut bytes = written_in(&std::iter::once(all).chain(each).collect::<Vec<_>>())?;
    let by_share = bytes.split_off(1);
    Some(SandboxMemory { all: bytes[0], by_share })
}
