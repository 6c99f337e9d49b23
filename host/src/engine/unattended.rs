//! Recordings without a thread that waits for them: the audio intake before the recognizer runs on
//! a pool of its own, in turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::intake::Intake;
use super::transcribe::{Errand, Run};
use super::{Model, Progress, TranscribeOptions};
use crate::audio::{Chunk, Source};
use crate::error::Error;
use crate::executor::{Class, Executor};
use crate::preempt::{cpu_time, give_way};
use crate::service::IntakePool;
use crate::{Share, Transcript};

/// CPU time after which another recording of the same share has its turn.
const TURN: Duration = Duration::from_millis(50);

/// Reports, when it is dropped, that the outcome is not needed any more.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Executor {
    /// Does work in its turn: batches of a share are done in the order in which they came. Fails if
    /// the work panics.
    pub(crate) async fn batch<T: Send + 'static>(
        &self,
        share: &Share,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, outcome) = oneshot::channel();
        self.submit(share, Class::Batch, Instant::now(), async move {
            let _ = answer.send(work.await);
        });
        outcome.await.map_err(|_| Error::Panicked)
    }
}

impl Model {
    /// Transcribes a recording as [`transcribe`](Model::transcribe) does. Decoding, resampling and
    /// searching for speech happen on `pool`, for the share of `options`. `place` is held until all
    /// work for it is done, also when the future is dropped: then the rest is not decoded.
    ///
    /// # Errors
    ///
    /// As [`transcribe`](Model::transcribe), and [`Error::Panicked`].
    pub async fn transcribe_on<S: Source + 'static>(
        &self,
        pool: &IntakePool,
        source: S,
        options: &TranscribeOptions,
        place: Arc<dyn Send + Sync>,
        observer: impl FnMut(Progress<'_>) + Send,
    ) -> Result<Transcript, Error> {
        let share = options.share.as_ref().unwrap_or(self.engine.common_share());
        let unwanted = Unwanted(Arc::default());
        let notify = Arc::new(Notify::new());
        let errand = || {
            let notify = Arc::clone(&notify);
            Errand {
                given_up: Some(Arc::clone(&unwanted.0)),
                place: Some(Arc::clone(&place)),
                // Leaves a permit when nobody waits, so that nothing is missed.
                wake: Some(Arc::new(move || notify.notify_one())),
            }
        };
        let mut run = Run::new(self, options, observer);
        let (model, owned) = (self.clone(), options.clone());
        let mut intake = pool.run(share, async move { Intake::new(source, &model, &owned) }).await??;
        run.total = intake.total();
        while !intake.has_ended() {
            let (next, ready) =
                pool.run(share, advance(intake, Arc::clone(&place), Arc::clone(&unwanted.0))).await??;
            intake = next;
            run.read = intake.read();
            for chunk in ready {
                while !run.has_room() {
                    if !run.receive_done()? {
                        notify.notified().await;
                    }
                }
                run.submit(chunk, errand());
            }
            run.receive_done()?;
            run.tell_position();
        }
        while run.is_pending() {
            if !run.receive_done()? {
                notify.notified().await;
            }
        }
        run.complete(&intake);
        Ok(run.transcript)
    }
}

/// Takes in audio until there are chunks, or it is another one's turn, or the outcome is not needed
/// any more.
async fn advance<S: Source>(
    mut intake: Intake<S>,
    place: Arc<dyn Send + Sync>,
    given_up: Arc<AtomicBool>,
) -> Result<(Intake<S>, Vec<Chunk>), Error> {
    let started = cpu_time();
    loop {
        let ready = intake.step()?;
        let over = !ready.is_empty() || intake.has_ended() || cpu_time().saturating_sub(started) >= TURN;
        if over || given_up.load(Ordering::Relaxed) {
            // Before the answer: the client may ask for the next place as soon as it has it.
            drop(place);
            return Ok((intake, ready));
        }
        give_way().await;
    }
}
