//! One sandbox: the calls of its gateway, each a job of the executor.

use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearken::place::{Class, Event, Recognizer, Request, Ticket};
use hearken::{Error, Model, Share};
use hearken_proto::encode;
use tokio::sync::{oneshot, watch};
use tokio::time::interval;

use super::{Bench, Ending, SENDING};
use crate::seats::Seat;
use crate::subject;
use crate::wire::{Answer, Ask, Audio, Failure, Order, Tell, ToGateway, micros};

/// Longest time within which a text is wanted: what a gateway says beyond that is not believed.
const LONGEST: Duration = Duration::from_secs(600);

/// Time between checks that the gateway is there.
const CHECK: Duration = Duration::from_secs(1);

/// A sandbox, and what it was asked.
struct Hearing<'a> {
    bench: &'a Bench,
    order: &'a Order,
    model: Model,
    share: Share,
    /// `None` until the first call, and while one runs.
    recognizer: Option<Box<dyn Recognizer>>,
    /// Audio before the next call, and how much there was in all.
    audio: Vec<f32>,
    heard: u64,
    /// Number of the latest call.
    number: u32,
    running: Option<Running>,
    /// The latest answer, as it was sent.
    answered: Option<(u32, Bytes)>,
}

/// A call under way.
struct Running {
    ticket: Ticket,
    done: oneshot::Receiver<Done>,
}

/// Result of a call.
struct Done {
    waited: Duration,
    outcome: Result<(Box<dyn Recognizer>, Vec<Event>), Error>,
}

/// Serves a sandbox until its gateway closes it, or is gone.
pub(super) async fn serve(bench: &Bench, model: Model, order: &Order, mut seat: Seat<Ask>, first: Ask) {
    let share = bench.shares.get(&order.share);
    let mut hearing = Hearing {
        bench,
        order,
        model,
        share,
        recognizer: None,
        audio: Vec::new(),
        heard: 0,
        number: 0,
        running: None,
        answered: None,
    };
    let mut ending = bench.ending.subscribe();
    let mut checks = interval(CHECK);
    // The first is at once, and the gateway has just been heard.
    checks.tick().await;
    let mut asked = Some(first);
    loop {
        let ask = match asked.take() {
            Some(ask) => ask,
            None => tokio::select! {
                ask = seat.next() => match ask {
                    Some(ask) => ask,
                    None => return,
                },
                done = done(&mut hearing.running) => {
                    hearing.answer(done).await;
                    continue;
                }
                _ = checks.tick() => {
                    if !bench.gateways.knows(order.gateway) {
                        tracing::info!(gateway = %order.gateway, "a gateway is not heard any more");
                        return;
                    }
                    continue;
                }
                () = over(&mut ending) => return bench.tell(order.gateway, order.id, Tell::Leaving).await,
            },
        };
        let gone = match ask {
            Ask::Audio(audio) => hearing.take(audio),
            Ask::Call { number, audio, within, request } => {
                hearing.call(number, audio, Duration::from_millis(within.into()), request)
            }
            Ask::Hurry => {
                if let Some(running) = &hearing.running {
                    running.ticket.hurry();
                }
                Ok(())
            }
            Ask::Again { number } => match hearing.again(number) {
                Ok(answer) => {
                    if let Some(bytes) = answer {
                        send(bench, order, bytes).await;
                    }
                    Ok(())
                }
                Err(reason) => Err(reason),
            },
            Ask::Close => return,
        };
        if let Err(reason) = gone {
            let gone = Tell::Gone { reason: reason.to_owned() };
            return bench.tell(order.gateway, order.id, gone).await;
        }
    }
}

/// Waits until what is left is handed over.
async fn over(ending: &mut watch::Receiver<Ending>) {
    // Its sender lives as long as the worker.
    let _ = ending.wait_for(|ending| *ending == Ending::Now).await;
}

/// Waits for the call under way; for ever where there is none.
async fn done(running: &mut Option<Running>) -> Done {
    let Some(call) = running else { return std::future::pending().await };
    let done = (&mut call.done).await;
    *running = None;
    // The job drops its end unanswered only by a panic in it.
    done.unwrap_or(Done { waited: Duration::ZERO, outcome: Err(Error::Panicked) })
}

impl Hearing<'_> {
    /// Keeps audio for the next call.
    fn take(&mut self, audio: Audio) -> Result<(), &'static str> {
        if audio.at != self.heard {
            return Err("a message was lost on its way");
        }
        // As much as a model hears at once, and the part by which its window has slid.
        let most = 2 * self.model.context_samples();
        if self.audio.len() + audio.samples.len() > most {
            return Err("there is more audio than the model hears at once");
        }
        self.heard += audio.samples.len() as u64;
        self.audio.extend(audio.samples.iter().map(|sample| if sample.is_finite() { *sample } else { 0.0 }));
        Ok(())
    }

    /// Begins a call.
    fn call(
        &mut self,
        number: u32,
        audio: Audio,
        within: Duration,
        request: Request,
    ) -> Result<(), &'static str> {
        if number <= self.number {
            // It is running, or was answered.
            return Ok(());
        }
        if self.running.is_some() || number - self.number > 1 {
            return Err("a message was lost on its way");
        }
        self.take(audio)?;
        let class = match request {
            Request::Final(_) => Class::Final,
            Request::Partial(_) => Class::Partial,
            Request::Decode(_) | Request::Detect(_) => Class::Batch,
            _ => return Err("workers do not make such requests"),
        };
        self.number = number;
        let (sender, done) = oneshot::channel();
        let (model, share) = (self.model.clone(), self.share.clone());
        let (recognizer, audio) = (self.recognizer.take(), mem::take(&mut self.audio));
        let asked = Instant::now();
        let job = async move {
            let waited = asked.elapsed();
            let outcome = hear(&model, &share, recognizer, &audio, &request).await;
            // Nobody waits for it if the gateway has closed the sandbox.
            let _ = sender.send(Done { waited, outcome });
        };
        let deadline = asked + within.min(LONGEST);
        let ticket = self.model.place().submit(&self.share, class, deadline, Box::pin(job));
        self.running = Some(Running { ticket, done });
        Ok(())
    }

    /// Answers a call.
    async fn answer(&mut self, Done { waited, outcome }: Done) {
        let mut spent = Duration::ZERO;
        let mut is_too_much = false;
        let outcome = outcome.map(|(recognizer, events)| {
            (spent, is_too_much) = (recognizer.spent(), recognizer.is_too_much());
            self.recognizer = (!is_too_much).then_some(recognizer);
            events
        });
        if let Err(error) = &outcome {
            tracing::info!(tenant = self.share.name(), %error, "a sandbox failed");
        }
        let answer = |outcome| Answer {
            number: self.number,
            spent: micros(spent),
            waited: micros(waited),
            is_too_much,
            outcome,
        };
        let message = |outcome| {
            let (id, worker) = (self.order.id, self.bench.id);
            Bytes::from(encode(&ToGateway { id, worker, body: Tell::Answer(answer(outcome)) }))
        };
        let mut bytes = message(outcome.map_err(|error| Failure::of(&error)));
        if bytes.len() > self.bench.link.client.server_info().max_payload {
            let message_text = "its events are longer than NATS takes; raise max_payload there".to_owned();
            bytes = message(Err(Failure { fatal: false, message: message_text }));
        }
        self.answered = Some((self.number, bytes.clone()));
        send(self.bench, self.order, bytes).await;
    }

    /// The answer to a call that is to be sent once more; `None` while the call runs.
    fn again(&self, number: u32) -> Result<Option<Bytes>, &'static str> {
        match &self.answered {
            _ if self.running.is_some() && number == self.number => Ok(None),
            Some((answered, bytes)) if *answered == number => Ok(Some(bytes.clone())),
            _ => Err("a message was lost on its way"),
        }
    }
}

/// Sends an answer. The gateway asks again for what does not come.
async fn send(bench: &Bench, order: &Order, bytes: Bytes) {
    let sent = bench.link.client.publish(subject::gateway(order.gateway, order.id), bytes);
    let _ = tokio::time::timeout(SENDING, sent).await;
}

/// The job of a call: the sandbox is made at the first.
async fn hear(
    model: &Model,
    share: &Share,
    recognizer: Option<Box<dyn Recognizer>>,
    audio: &[f32],
    request: &Request,
) -> Result<(Box<dyn Recognizer>, Vec<Event>), Error> {
    let mut recognizer = match recognizer {
        Some(recognizer) => recognizer,
        None => {
            let mut fresh = model.place().open(share).await?;
            if matches!(request, Request::Final(_)) {
                fresh.for_final();
            }
            fresh
        }
    };
    recognizer.write(audio).await?;
    let events = recognizer.call(request).await?;
    Ok((recognizer, events))
}
