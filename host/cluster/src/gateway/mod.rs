//! The side of clients: sessions here, sandboxes at workers.

mod models;
mod place;
mod recognizer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::StatusCode;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use hearken::{Engine, Model};
use hearken_proto::encode;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use self::models::Models;
use crate::connect::Link;
use crate::error::ClusterError;
use crate::id::Id;
use crate::news::{self, Demand, Load, PERIOD};
use crate::roster::Roster;
use crate::seats::Seats;
use crate::subject;
use crate::wire::{self, Ask, ToGateway, ToWorker};

/// Time after which a silent worker is lost: ten of its messages.
const SILENCE: Duration = Duration::from_millis(2_500);

/// Time after which a silent gateway does not count any more.
const SILENCE_OF_GATEWAYS: Duration = Duration::from_secs(5);

/// Longest wait for NATS to take a message.
const SENDING: Duration = Duration::from_secs(2);

/// A process whose sandboxes are at workers. When it is dropped, its sandboxes are lost.
pub struct Gateway {
    desk: Arc<Desk>,
    models: watch::Receiver<BTreeMap<String, Model>>,
    /// Ended when it is dropped.
    _tasks: JoinSet<()>,
}

/// The state that all models of a gateway share.
struct Desk {
    id: Id,
    link: Link,
    runtime: Handle,
    workers: Roster<Load>,
    gateways: Roster<Demand>,
    seats: Seats<Heard>,
}

/// News of a sandbox.
enum Heard {
    /// A worker's message.
    Message(ToGateway),
    /// NATS says that nobody hears the worker's subject: its connection is gone.
    NoWorker,
}

impl Gateway {
    /// Begins to listen for workers. `engine` takes in audio; it recognizes nothing.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Subject`].
    // Boxed, as all that is public here: it is compiled in this crate alone.
    pub fn start(link: Link, engine: &Engine) -> BoxFuture<'_, Result<Self, ClusterError>> {
        Box::pin(Self::listen(link, engine))
    }

    async fn listen(link: Link, engine: &Engine) -> Result<Self, ClusterError> {
        let id = Id::new();
        let mut messages = link.listen(subject::gateway_of_all(id)).await?;
        let mut loads = link.listen(subject::loads()).await?;
        let mut demands = link.listen(subject::demands()).await?;
        let desk = Arc::new(Desk {
            id,
            link,
            runtime: Handle::current(),
            workers: Roster::new(SILENCE),
            gateways: Roster::new(SILENCE_OF_GATEWAYS),
            seats: Seats::new(),
        });
        let mut models = Models::new(engine.clone(), Arc::clone(&desk));
        let known = models.known();
        let mut tasks = JoinSet::new();
        let here = Arc::clone(&desk);
        tasks.spawn(async move {
            while let Some(message) = messages.next().await {
                here.take(&message);
            }
        });
        let here = Arc::clone(&desk);
        tasks.spawn(async move {
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    // What has come is heard before anybody counts as silent.
                    biased;
                    Some(message) = loads.next() => {
                        if let Some((id, load)) = said(&message) {
                            models.hear(&load);
                            here.hear(id, load);
                        }
                    }
                    Some(message) = demands.next() => {
                        if let Some((id, demand)) = said(&message).filter(|(id, _)| *id != here.id) {
                            here.gateways.hear(id, demand, Instant::now());
                        }
                    }
                    _ = ticks.tick() => {
                        here.expire(Instant::now());
                        here.tell(models.demand()).await;
                    }
                }
            }
        });
        Ok(Self { desk, models: known, _tasks: tasks })
    }

    /// The models of the workers, by the names that they have there. It changes when a worker comes
    /// with another one, and keeps the models of workers that go: others may come.
    pub fn models(&self) -> watch::Receiver<BTreeMap<String, Model>> {
        self.models.clone()
    }

    /// A function that returns the number of threads of all workers that take orders, each as far
    /// as it has a core.
    pub fn capacity(&self) -> impl Fn() -> f64 + Send + Sync + 'static {
        let desk = Arc::clone(&self.desk);
        move || {
            let all = desk.workers.all().into_iter();
            all.filter(|(_, load)| !load.draining).map(|(_, load)| load.threads).sum()
        }
    }

    /// A function that returns the number of threads that the streams of the other gateways need,
    /// and the number of their active streams.
    pub fn demand_of_others(&self) -> impl Fn() -> (f64, u64) + Send + Sync + 'static {
        let desk = Arc::clone(&self.desk);
        move || {
            let all = desk.gateways.all().into_iter();
            all.fold((0.0, 0), |(threads, speaking), (_, demand)| {
                (threads + demand.threads, demand.speaking.saturating_add(speaking))
            })
        }
    }

    /// A function that returns the number of workers that were heard lately.
    pub fn workers(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let desk = Arc::clone(&self.desk);
        move || desk.workers.all().len()
    }
}

/// The sender of news, as its subject says, and the news.
fn said<T: serde::de::DeserializeOwned + news::News>(message: &async_nats::Message) -> Option<(Id, T)> {
    let id = message.subject.rsplit('.').next()?.parse().ok()?;
    Some((id, news::read(&message.payload)?))
}

impl Desk {
    fn hear(&self, id: Id, load: Load) {
        let host = load.host.clone();
        if self.workers.hear(id, load, Instant::now()) {
            tracing::info!(worker = %id, host = hearken::text::sanitize(&host), "a worker is there");
        }
    }

    fn expire(&self, now: Instant) {
        for id in self.workers.expire(now) {
            tracing::warn!(worker = %id, "a worker is not heard any more");
        }
        self.gateways.expire(now);
    }

    /// Passes a message on. Nobody may be waiting for it any more: it is of a sandbox that was
    /// given up.
    fn take(self: &Arc<Self>, message: &async_nats::Message) {
        let id = message.subject.rsplit('.').next().and_then(|id| id.parse().ok());
        let Some(id) = id else { return };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            self.seats.deliver(id, Heard::NoWorker);
            return;
        }
        let Some(message) = wire::read::<ToGateway>(&message.payload).filter(|message| message.id == id)
        else {
            return;
        };
        let worker = message.worker;
        let closes = matches!(message.body, wire::Tell::Offer { .. });
        if !self.seats.deliver(id, Heard::Message(message)) && closes {
            self.close(worker, id);
        }
    }

    /// Tells a worker that a sandbox is not wanted any more.
    fn close(self: &Arc<Self>, worker: Id, id: Id) {
        let desk = Arc::clone(self);
        self.runtime.spawn(async move {
            let bytes = encode(&ToWorker { id, body: Ask::Close });
            let sent = desk.link.client.publish(subject::worker(worker), bytes.into());
            // A worker that never hears of it drops the sandbox with its gateway.
            let _ = tokio::time::timeout(SENDING, sent).await;
        });
    }

    /// Sends a message to a worker. Returns false if NATS does not take it. It answers that there
    /// is no worker if its connection is gone.
    async fn send(&self, worker: Id, message: &ToWorker) -> bool {
        let (to, reply) = (subject::worker(worker), subject::gateway(self.id, message.id));
        let sent = self.link.client.publish_with_reply(to, reply, encode(message).into());
        matches!(tokio::time::timeout(SENDING, sent).await, Ok(Ok(())))
    }

    /// Tells the others what this gateway's streams need.
    async fn tell(&self, demand: Demand) {
        let bytes = serde_json::to_vec(&demand).unwrap_or_default();
        let sent = self.link.client.publish(subject::demand(self.id), bytes.into());
        // It says so again soon.
        let _ = tokio::time::timeout(SENDING, sent).await;
    }
}
