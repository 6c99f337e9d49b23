//! Orders: they are pulled from the work queue while there is room.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt;
use hearken::Model;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::{Bench, hearing};
use crate::connect::causes;
use crate::error::ClusterError;
use crate::news;
use crate::subject::Queue;
use crate::wire::{self, Order, Tell};

/// Time that a pull waits for an order.
pub(super) const PULL: Duration = Duration::from_secs(1);

/// Time in which a gateway has to take an offer: less than that after which the order is given to
/// another worker.
const OFFER: Duration = Duration::from_millis(2_500);

/// Pause before the next attempt where the queue cannot be reached.
const RETRY: Duration = Duration::from_millis(250);

/// Pulls orders for a model until the worker ends.
pub(super) async fn pull(bench: Arc<Bench>, model: Model, queue: Queue) {
    let Some(name) = news::token(&model.facts()) else { return };
    let places = match queue {
        Queue::Live => &bench.utterances,
        Queue::Batch => &bench.chunks,
    };
    let mut ending = bench.ending.subscribe();
    let mut consumer = None;
    while !bench.is_draining() {
        let place = tokio::select! {
            place = Arc::clone(places).acquire_owned() => place,
            _ = ending.changed() => return,
        };
        let Ok(place) = place else { return };
        match next(&bench, &mut consumer, queue, &name).await {
            Ok(Some(message)) => {
                tokio::spawn(serve(Arc::clone(&bench), model.clone(), message, place));
            }
            Ok(None) => {}
            Err(reason) => {
                tracing::debug!(reason, "the work queue cannot be reached");
                // A server that was restarted may have forgotten it.
                consumer = None;
                sleep(RETRY).await;
            }
        }
    }
}

/// The next order, if one comes in time.
async fn next(
    bench: &Bench,
    consumer: &mut Option<Consumer<pull::Config>>,
    queue: Queue,
    model: &str,
) -> Result<Option<Message>, String> {
    let shown = |error: ClusterError| error.to_string();
    let consumer = match consumer {
        Some(consumer) => consumer,
        none => none.insert(bench.link.consumer(queue, model).await.map_err(shown)?),
    };
    let next = async {
        let mut batch = consumer.batch().max_messages(1).expires(PULL).messages().await?;
        batch.next().await.transpose()
    };
    match timeout(2 * PULL, next).await {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(error)) => Err(causes(&*error)),
        Err(_) => Err("NATS does not answer".to_owned()),
    }
}

/// Offers to serve an order, and serves it if the gateway wants it.
async fn serve(bench: Arc<Bench>, model: Model, message: Message, place: OwnedSemaphorePermit) {
    let acknowledge = async |kind| {
        if let Err(error) = message.ack_with(kind).await {
            tracing::debug!(%error, "an order could not be acknowledged");
        }
    };
    let order = wire::read::<Order>(&message.payload).filter(|order| order.share.is_sound());
    let Some(order) = order else {
        tracing::warn!("an order that cannot be read was discarded");
        return acknowledge(AckKind::Term).await;
    };
    let attempt = message.info().map_or(1, |info| u32::try_from(info.delivered).unwrap_or(1));
    // It has the sandbox already, if it has the order a second time.
    let Some(mut seat) = bench.seats.open(order.id) else { return };
    bench.tell(order.gateway, order.id, Tell::Offer { attempt }).await;
    match timeout(OFFER, seat.next()).await {
        Ok(Some(first)) => {
            tracing::debug!(sandbox = %order.id, attempt, "an order is served");
            acknowledge(AckKind::Ack).await;
            hearing::serve(&bench, model, &order, seat, first).await;
        }
        // Another worker may be heard.
        _ => acknowledge(AckKind::Nak(None)).await,
    }
    drop(place);
}
