//! The workers as a place for one model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearken::place::{Class, Job, Place, PlaceError, Recognizer, Ticket, Waiting};
use hearken::{Error, Share};
use hearken_proto::encode;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout, timeout_at};

use super::recognizer::Distant;
use super::{Desk, Heard};
use crate::connect::{PATIENCE, causes};
use crate::id::Id;
use crate::news::PERIOD;
use crate::roster::Loss;
use crate::seats::Seat;
use crate::subject::{self, Queue};
use crate::wire::{Order, ShareOf, Tell};

/// Time in which a worker that makes an offer tells its load as well: less than that after which it
/// takes the offer back.
const SILENCE: Duration = Duration::from_secs(1);

/// Pause before an order that NATS did not take is sent again.
const RETRY: Duration = Duration::from_millis(250);

/// Most jobs of one recording at the same time.
const WIDEST: usize = 256;

/// The workers that have a model.
pub(super) struct Remote {
    desk: Arc<Desk>,
    /// The model in subjects.
    model: String,
}

/// Urgency of a job, for the calls that it makes.
#[derive(Clone)]
pub(super) struct Urgency {
    class: Class,
    deadline: Instant,
    hurry: Arc<Notify>,
}

tokio::task_local! {
    static URGENCY: Urgency;
}

impl Urgency {
    /// That of the job that runs. Outside of one, somebody waits for the result at once.
    pub(super) fn current() -> Self {
        let urgency = URGENCY.try_with(Clone::clone);
        urgency.unwrap_or_else(|_| Self {
            class: Class::Final,
            deadline: Instant::now(),
            hurry: Arc::default(),
        })
    }

    /// Time that is left, in milliseconds.
    pub(super) fn within(&self) -> u32 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        u32::try_from(left.as_millis()).unwrap_or(u32::MAX)
    }

    /// Waits until the job becomes as urgent as a final text.
    pub(super) async fn hurried(&self) {
        self.hurry.notified().await;
    }
}

impl Remote {
    pub(super) fn new(desk: Arc<Desk>, model: String) -> Self {
        Self { desk, model }
    }

    async fn order(&self, share: &Share) -> Result<Box<dyn Recognizer>, Error> {
        let (desk, started) = (&self.desk, Instant::now());
        let id = Id::new();
        let Some(mut seat) = desk.seats.open(id) else {
            return Err(PlaceError::Lost("two sandboxes have the same identity".to_owned()).into());
        };
        let until = started + PATIENCE;
        self.publish(id, share, until).await?;
        let worker = match timeout_at(until.into(), offer(&mut seat)).await {
            Ok(worker) => worker?,
            Err(_) => {
                let reason = if self.workers().next().is_none() {
                    "none that has the model was heard lately; start one with `hearken worker`"
                } else {
                    "all of them were busy for a minute; start more of them"
                };
                return Err(PlaceError::Unavailable(reason.to_owned()).into());
            }
        };
        let Ok(loss) = timeout(SILENCE, heard(desk, worker)).await else {
            desk.close(worker, id);
            return Err(PlaceError::Lost("it was never heard otherwise".to_owned()).into());
        };
        let (desk, share) = (Arc::clone(desk), share.clone());
        Ok(Box::new(Distant::new(desk, seat, worker, loss, share, started.elapsed())))
    }

    /// Puts the order into the work queue.
    async fn publish(&self, id: Id, share: &Share, until: Instant) -> Result<(), PlaceError> {
        let queue = Queue::of(Urgency::current().class);
        let subject = subject::orders(queue, &self.model, share.name());
        let order = encode(&Order {
            id,
            gateway: self.desk.id,
            share: ShareOf {
                name: share.name().to_owned(),
                weight: share.weight(),
                memory_bytes: share.limits().memory_bytes,
            },
        });
        loop {
            let stored = async {
                let stored = self.desk.link.jetstream.publish(subject.clone(), order.clone().into()).await;
                stored.map_err(|error| causes(&error))?.await.map_err(|error| causes(&error))
            };
            let reason = match timeout_at(until.into(), stored).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(reason)) => reason,
                Err(_) => "NATS does not answer".to_owned(),
            };
            if Instant::now() + RETRY >= until {
                return Err(PlaceError::Unavailable(format!("JetStream does not take its order: {reason}")));
            }
            tracing::debug!(reason, "JetStream did not take an order; it is sent again");
            sleep(RETRY).await;
        }
    }

    /// Threads of each worker that has the model.
    fn workers(&self) -> impl Iterator<Item = f64> {
        let has = |load: &crate::news::Load| {
            load.models.iter().any(|offer| offer.token().as_deref() == Some(&self.model))
        };
        let all = self.desk.workers.all().into_iter();
        all.filter(move |(_, load)| !load.draining && has(load)).map(|(_, load)| load.threads)
    }
}

/// Waits until a worker has told its load. It has, unless one of the two has just come.
async fn heard(desk: &Desk, worker: Id) -> Loss {
    loop {
        match desk.workers.loss(worker) {
            Some(loss) => return loss,
            None => sleep(PERIOD).await,
        }
    }
}

/// Waits for the worker that has room.
async fn offer(seat: &mut Seat<Heard>) -> Result<Id, PlaceError> {
    loop {
        let Some(heard) = seat.next().await else {
            return Err(PlaceError::Lost("the gateway ends".to_owned()));
        };
        if let Heard::Message(message) = heard
            && let Tell::Offer { attempt } = message.body
        {
            if attempt > 1 {
                tracing::info!(attempt, worker = %message.worker, "an order was given out again");
            }
            return Ok(message.worker);
        }
    }
}

impl Place for Remote {
    fn submit(&self, _: &Share, class: Class, deadline: Instant, job: Job) -> Ticket {
        // It waits for workers, who have the threads and the queues: here it needs a task.
        let hurry = Arc::new(Notify::new());
        let urgency = Urgency { class, deadline, hurry: Arc::clone(&hurry) };
        self.desk.runtime.spawn(URGENCY.scope(urgency, job));
        Ticket::hurried_by(class, move || hurry.notify_one())
    }

    fn open<'a>(&'a self, share: &'a Share) -> Waiting<'a, Result<Box<dyn Recognizer>, Error>> {
        Box::pin(self.order(share))
    }

    fn width(&self) -> usize {
        (self.workers().sum::<f64>().ceil() as usize).clamp(1, WIDEST)
    }
}
