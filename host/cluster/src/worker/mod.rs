//! The side of the sandboxes: orders are pulled while there is room, and served.

mod hearing;
mod orders;
mod shares;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use hearken::{Model, Share};
use hearken_proto::encode;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use self::shares::Shares;
use crate::connect::Link;
use crate::error::ClusterError;
use crate::id::Id;
use crate::news::{self, Demand, Load, Offer, PERIOD};
use crate::roster::Roster;
use crate::seats::Seats;
use crate::subject::{self, Queue};
use crate::wire::{self, Ask, Tell, ToGateway, ToWorker};

/// Time after which a silent gateway is gone, and its sandboxes are dropped.
const SILENCE: Duration = Duration::from_secs(10);

/// Part of its threads that a worker takes utterances for: the rest is for moments in which many
/// speak.
pub(crate) const FULL: f64 = 0.8;

/// Most utterances at once where the cost of speech is next to nothing, for each thread.
const MOST_PER_THREAD: f64 = 500.0;

/// Chunks of recordings for each thread: one that runs, and one that is next.
const CHUNKS_PER_THREAD: usize = 2;

/// Longest wait for NATS to take a message.
const SENDING: Duration = Duration::from_secs(2);

/// A model of a worker, under its name for clients.
#[derive(Clone)]
pub struct Offered {
    /// Name for clients.
    pub name: String,
    /// The model, loaded here.
    pub model: Model,
}

/// A process that has sandboxes for gateways.
pub struct Worker {
    bench: Arc<Bench>,
    messages: async_nats::Subscriber,
    demands: async_nats::Subscriber,
}

/// A view of a running [`Worker`].
#[derive(Clone)]
pub struct WorkerView(Arc<Bench>);

impl WorkerView {
    /// Its models.
    pub fn offered(&self) -> &[Offered] {
        &self.0.offered
    }

    /// Shares of the tenants that it has served, by name. Two may have the same name: those of
    /// gateways whose configurations differ.
    pub fn shares(&self) -> Vec<(Arc<str>, Share)> {
        self.0.shares.all()
    }

    /// Number of utterances that it serves at the same time.
    pub fn room(&self) -> u32 {
        self.0.room
    }

    /// Number of sandboxes that it has.
    pub fn sandboxes(&self) -> usize {
        self.0.seats.len()
    }

    /// True from the moment at which it was told to end.
    pub fn is_draining(&self) -> bool {
        self.0.is_draining()
    }
}

/// The state that all sandboxes of a worker share.
struct Bench {
    id: Id,
    link: Link,
    offered: Vec<Offered>,
    room: u32,
    utterances: Arc<Semaphore>,
    chunks: Arc<Semaphore>,
    gateways: Roster<Demand>,
    seats: Seats<Ask>,
    shares: Shares,
    ending: watch::Sender<Ending>,
}

/// Stages of a worker's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    /// It takes orders.
    Not,
    /// It takes none, and completes what it has.
    Draining,
    /// The rest is handed over.
    Now,
}

impl Worker {
    /// Takes its place in the cluster. `room` is the number of utterances that it serves at the
    /// same time; `None` derives it from the cost of speech of its dearest model.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Subject`].
    // Boxed, as all that is public here: it is compiled in this crate alone.
    pub fn start(
        link: Link,
        offered: Vec<Offered>,
        room: Option<u32>,
    ) -> BoxFuture<'static, Result<Self, ClusterError>> {
        Box::pin(Self::listen(link, offered, room))
    }

    async fn listen(link: Link, offered: Vec<Offered>, room: Option<u32>) -> Result<Self, ClusterError> {
        let id = Id::new();
        let messages = link.listen(subject::worker(id)).await?;
        let demands = link.listen(subject::demands()).await?;
        let room = room.unwrap_or_else(|| room_for(&offered)).max(1);
        let threads = offered.first().map_or(1, |offered| offered.model.engine().threads());
        let bench = Arc::new(Bench {
            id,
            link,
            room,
            offered,
            utterances: Arc::new(Semaphore::new(room as usize)),
            chunks: Arc::new(Semaphore::new(threads * CHUNKS_PER_THREAD)),
            gateways: Roster::new(SILENCE),
            seats: Seats::new(),
            shares: Shares::default(),
            ending: watch::Sender::new(Ending::Not),
        });
        Ok(Self { bench, messages, demands })
    }

    /// Number of utterances that it serves at the same time.
    pub fn room(&self) -> u32 {
        self.bench.room
    }

    /// A view of it while it runs, for metrics.
    pub fn view(&self) -> WorkerView {
        WorkerView(Arc::clone(&self.bench))
    }

    /// Serves until `stop` is ready. Then it takes no more orders, and returns when its sandboxes
    /// have completed their utterances, or after `grace`: the rest is handed over, and other
    /// workers hear again what is not committed.
    pub fn run(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
        grace: Duration,
    ) -> BoxFuture<'static, ()> {
        self.serve_until(Box::pin(stop), grace)
    }

    fn serve_until(self, stop: BoxFuture<'static, ()>, grace: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.serve(stop, grace))
    }

    async fn serve(self, stop: BoxFuture<'static, ()>, grace: Duration) {
        let Self { bench, mut messages, mut demands } = self;
        let mut tasks = JoinSet::new();
        let here = Arc::clone(&bench);
        tasks.spawn(async move {
            while let Some(message) = messages.next().await {
                if let Some(ToWorker { id, body }) = wire::read(&message.payload) {
                    here.seats.deliver(id, body);
                }
            }
        });
        let here = Arc::clone(&bench);
        tasks.spawn(async move {
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    Some(message) = demands.next() => here.hear(&message),
                    _ = ticks.tick() => {
                        here.gateways.expire(Instant::now());
                        here.tell_load().await;
                    }
                }
            }
        });
        // Gateways know it before they hear of its first offer.
        bench.tell_load().await;
        for offered in &bench.offered {
            for queue in [Queue::Live, Queue::Batch] {
                tasks.spawn(orders::pull(Arc::clone(&bench), offered.model.clone(), queue));
            }
        }
        stop.await;
        bench.ending.send_replace(Ending::Draining);
        bench.tell_load().await;
        tracing::info!(sandboxes = bench.seats.len(), "ending: what was begun is completed");
        if timeout(grace, bench.is_empty()).await.is_err() {
            tracing::info!(sandboxes = bench.seats.len(), "what is left is handed over");
            bench.ending.send_replace(Ending::Now);
            // Until gateways were told; they find out by themselves otherwise.
            let _ = timeout(SENDING, bench.is_empty()).await;
        }
        let _ = timeout(SENDING, bench.link.client.flush()).await;
    }
}

impl Bench {
    /// Waits until pulls that were under way are over, and all sandboxes are gone.
    async fn is_empty(&self) {
        sleep(orders::PULL).await;
        while self.seats.len() > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn is_draining(&self) -> bool {
        *self.ending.borrow() >= Ending::Draining
    }

    /// Notes that a gateway is there.
    fn hear(&self, message: &async_nats::Message) {
        let id = message.subject.rsplit('.').next().and_then(|id| id.parse().ok());
        if let Some((id, demand)) = id.zip(news::read::<Demand>(&message.payload)) {
            self.gateways.hear(id, demand, Instant::now());
        }
    }

    /// Tells what it has, and how busy it is.
    async fn tell_load(&self) {
        let threads = self.offered.first().map_or(0.0, |offered| {
            let engine = offered.model.engine();
            engine.pace() * engine.threads().min(cores()) as f64
        });
        let load = Load {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host(),
            pid: std::process::id(),
            threads,
            sandboxes: u32::try_from(self.seats.len()).unwrap_or(u32::MAX),
            room: self.room,
            draining: self.is_draining(),
            models: self
                .offered
                .iter()
                .map(|offered| Offer { name: offered.name.clone(), facts: offered.model.facts() })
                .collect(),
        };
        let bytes = serde_json::to_vec(&load).unwrap_or_default();
        let sent = self.link.client.publish(subject::load(self.id), bytes.into());
        // It says so again soon.
        let _ = timeout(SENDING, sent).await;
    }

    /// Tells a gateway something about a sandbox. An answer that does not come is asked for again.
    async fn tell(&self, gateway: Id, id: Id, body: Tell) {
        let bytes = encode(&ToGateway { id, worker: self.id, body });
        let sent = self.link.client.publish(subject::gateway(gateway, id), bytes.into());
        let _ = timeout(SENDING, sent).await;
    }
}

/// Utterances that may be served at once: each needs its part of the threads' time for final texts.
fn room_for(offered: &[Offered]) -> u32 {
    let costs = offered.iter().filter_map(|offered| offered.model.stats().cost_of_speech);
    let dearest = costs.fold(0.0, f64::max);
    let threads = offered.first().map_or(1, |offered| offered.model.engine().threads().min(cores())) as f64;
    (FULL * threads / dearest).clamp(threads, threads * MOST_PER_THREAD) as u32
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(usize::MAX, usize::from)
}

/// Name of this machine, for people.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}
