//! A sandbox at a worker.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use hearken::place::{Event, PlaceError, Recognizer, Request, Waiting};
use hearken::{Error, Share};
use tokio::time::{Instant, interval_at};

use super::place::Urgency;
use super::{Desk, Heard};
use crate::id::Id;
use crate::roster::Loss;
use crate::seats::Seat;
use crate::wire::{self, Answer, Ask, Audio, Tell, ToWorker};

/// Time after which an answer is asked for again: NATS may have dropped it, or the worker has died.
const AGAIN: Duration = Duration::from_secs(1);

/// A sandbox at a worker.
pub(super) struct Distant {
    desk: Arc<Desk>,
    seat: Seat<Heard>,
    worker: Id,
    loss: Loss,
    share: Share,
    /// Wait for the worker, until the first call.
    opened: Duration,
    /// Audio that was not sent yet, and how much was.
    audio: Vec<f32>,
    sent: u64,
    /// Number of the latest call.
    number: u32,
    spent: Duration,
    is_too_much: bool,
}

impl Distant {
    pub(super) fn new(
        desk: Arc<Desk>,
        seat: Seat<Heard>,
        worker: Id,
        loss: Loss,
        share: Share,
        opened: Duration,
    ) -> Self {
        Self {
            desk,
            seat,
            worker,
            loss,
            share,
            opened,
            audio: Vec::new(),
            sent: 0,
            number: 0,
            spent: Duration::ZERO,
            is_too_much: false,
        }
    }

    async fn send(&self, body: Ask) -> Result<(), PlaceError> {
        if self.desk.send(self.worker, &ToWorker { id: self.seat.id, body }).await {
            Ok(())
        } else {
            Err(PlaceError::Lost("NATS does not take messages".to_owned()))
        }
    }

    /// Takes the next `most` samples of the audio, or all of it.
    fn next_audio(&mut self, most: usize) -> Audio {
        let rest = self.audio.split_off(most.min(self.audio.len()));
        let samples = mem::replace(&mut self.audio, rest);
        let at = self.sent;
        self.sent += samples.len() as u64;
        Audio { at, samples }
    }

    async fn request(&mut self, request: &Request) -> Result<Vec<Event>, Error> {
        let urgency = Urgency::current();
        let most = wire::most_samples(self.desk.link.client.server_info().max_payload);
        while self.audio.len() > most {
            let audio = self.next_audio(most);
            self.send(Ask::Audio(audio)).await?;
        }
        self.number += 1;
        let (number, audio, within) = (self.number, self.next_audio(most), urgency.within());
        self.send(Ask::Call { number, audio, within, request: request.clone() }).await?;
        let answer = self.answer(&urgency).await?;
        self.spent = Duration::from_micros(answer.spent);
        self.is_too_much = answer.is_too_much;
        let opened = mem::take(&mut self.opened);
        if matches!(request, Request::Final(_)) {
            let waited = Duration::from_micros(answer.waited);
            self.share.note_final_wait(if number == 1 { opened + waited } else { waited });
        }
        answer.outcome.map_err(Error::from)
    }

    /// Waits for the answer to the latest call.
    async fn answer(&mut self, urgency: &Urgency) -> Result<Answer, PlaceError> {
        let mut again = interval_at(Instant::now() + AGAIN, AGAIN);
        loop {
            let ask = tokio::select! {
                heard = self.seat.next() => match heard {
                    None => return Err(PlaceError::Lost("the gateway ends".to_owned())),
                    Some(Heard::NoWorker) => return Err(PlaceError::Lost("it has ended".to_owned())),
                    Some(Heard::Message(message)) if message.worker != self.worker => {
                        // The order was given out twice.
                        self.desk.close(message.worker, self.seat.id);
                        continue;
                    }
                    Some(Heard::Message(message)) => match message.body {
                        Tell::Answer(answer) if answer.number == self.number => return Ok(answer),
                        Tell::Leaving => return Err(PlaceError::HandedOver),
                        Tell::Gone { reason } => {
                            let reason = wire::shortened(&hearken::text::sanitize(&reason));
                            return Err(PlaceError::Lost(reason));
                        }
                        // Of an earlier call, or its own offer once more.
                        Tell::Answer(_) | Tell::Offer { .. } => continue,
                    },
                },
                () = self.loss.wait() => {
                    return Err(PlaceError::Lost("it was not heard for 2.5 s".to_owned()));
                }
                () = urgency.hurried() => Ask::Hurry,
                _ = again.tick() => Ask::Again { number: self.number },
            };
            self.send(ask).await?;
        }
    }
}

impl Recognizer for Distant {
    fn write<'a>(&'a mut self, samples: &'a [f32]) -> Waiting<'a, Result<(), Error>> {
        // It goes with the next call.
        self.audio.extend_from_slice(samples);
        Box::pin(async { Ok(()) })
    }

    fn call<'a>(&'a mut self, request: &'a Request) -> Waiting<'a, Result<Vec<Event>, Error>> {
        Box::pin(self.request(request))
    }

    fn spent(&self) -> Duration {
        self.spent
    }

    fn is_too_much(&self) -> bool {
        self.is_too_much
    }
}

impl Drop for Distant {
    fn drop(&mut self) {
        self.desk.close(self.worker, self.seat.id);
    }
}
