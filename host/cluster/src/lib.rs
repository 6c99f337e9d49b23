//! Recognition on other machines: gateways that serve clients, workers that have the sandboxes, and
//! NATS between them.
//!
//! A [`Gateway`] is a [`Place`](hearken::place::Place): the sessions of its process do all that
//! they do elsewhere, but for the sandbox, which is at a worker. A session keeps the committed
//! words and the audio that is not settled. So a worker that dies is a sandbox that failed: another
//! one hears again what is not committed, and no committed word is lost or changed.
//!
//! # Life of a sandbox
//!
//! ```text
//!  gateway                     NATS                          worker
//!    │ order ──────────────▶ HK_UTT (JetStream)                │
//!    │                         │ to one that has room ───────▶ │ pulls
//!    │ ◀────────────────────────────────────────────── offer   │
//!    │ call: audio, request ─────────────────────────────────▶ │ executor: open, write, call
//!    │ ◀──────────────────────────────────── answer: events    │
//!    │ …                                                       │
//!    │ close ────────────────────────────────────────────────▶ │ drops the sandbox
//! ```
//!
//! Orders are messages of a work queue: each is given to one worker, and to another one if that is
//! gone before its offer was taken. All else is plain NATS.
//!
//! Workers tell their load four times a second. A worker that was not heard for 2.5 s is lost to
//! the gateways, and its sandboxes with it; sooner, if its connection ends: NATS answers a call
//! that nobody hears. A sandbox has an identity of its own, which is never used again: the answers
//! of a worker that wakes up later are for a sandbox that nobody knows any more. Gateways tell
//! their demand as often, and a worker drops the sandboxes of one that was not heard for ten
//! seconds.
//!
//! All subjects begin with the version of the wire, so that a worker never sees what it cannot
//! read.

mod connect;
mod error;
mod gateway;
mod id;
mod news;
pub mod plan;
mod roster;
mod seats;
mod status;
mod subject;
mod wire;
mod worker;

pub use futures_util::future::BoxFuture;

pub use self::connect::{Link, NatsOptions};
pub use self::error::ClusterError;
pub use self::gateway::Gateway;
pub use self::status::{GatewayStatus, Status, WorkerStatus, status};
pub use self::worker::{Offered, Worker, WorkerView};
