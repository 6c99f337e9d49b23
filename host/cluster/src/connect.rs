//! The connection to NATS, and the work queue there, which is made and checked at start.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{self, consumer};
use async_nats::{Client, ConnectOptions, ServerAddr, Subscriber};
use futures_util::future::BoxFuture;

use crate::error::ClusterError;
use crate::subject::{self, Queue};

/// Name of the work queue.
pub(crate) const STREAM: &str = "HK_UTT";

/// Oldest server that has what is needed.
const OLDEST: (i64, i64, i64) = (2, 10, 0);

/// Least longest message of a server, in bytes.
const LEAST_PAYLOAD: usize = 256 << 10;

/// Time that an order waits for a worker with room. A stream's backlog is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Time after which an order that a worker has pulled, and has not offered to serve, is given to
/// another one.
const ACK_WAIT: Duration = Duration::from_secs(3);

/// Most deliveries of an order.
const MOST_DELIVERIES: i64 = 3;

/// Most orders that wait.
const MOST_ORDERS: i64 = 100_000;

/// Longest order, in bytes: a sandbox, a gateway and a tenant's name.
const MOST_BYTES: i32 = 4096;

/// Time after which a consumer that no worker uses is gone.
const UNUSED: Duration = Duration::from_secs(3600);

/// Longest pause before the next attempt to reach a server that is away.
const RETRY: Duration = Duration::from_millis(500);

/// Address of NATS, and credentials for it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NatsOptions {
    /// Address, `nats://host:4222` or `tls://host:4222`, with `user:password@` or `token@` before
    /// the host if the server wants them; several with commas between them.
    pub url: String,
    /// File with a user's JWT and key, as `nsc generate creds` writes it.
    pub credentials: Option<PathBuf>,
}

impl NatsOptions {
    /// NATS at this address, without credentials.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), credentials: None }
    }

    /// Sets [`credentials`](#structfield.credentials).
    #[must_use]
    pub fn credentials(mut self, credentials: impl Into<Option<PathBuf>>) -> Self {
        self.credentials = credentials.into();
        self
    }
}

/// A connection to NATS whose work queue is there. It finds its server again by itself.
#[derive(Clone)]
pub struct Link {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
}

impl Link {
    /// Connects as `name`, which NATS shows to its operator, and makes the work queue if it is not
    /// there.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] says what is missing, and what to do.
    // Boxed, as all that is public here: it is compiled in this crate alone.
    pub fn connect<'a>(options: &'a NatsOptions, name: &'a str) -> BoxFuture<'a, Result<Self, ClusterError>> {
        Box::pin(Self::open(options, name))
    }

    async fn open(options: &NatsOptions, name: &str) -> Result<Self, ClusterError> {
        let url = without_password(&options.url);
        let mut connect = ConnectOptions::new()
            .name(name)
            .ping_interval(Duration::from_secs(2))
            .reconnect_delay_callback(|attempts| RETRY.min(Duration::from_millis(50 * attempts as u64)));
        if let Some(path) = &options.credentials {
            connect = connect
                .credentials_file(path)
                .await
                .map_err(|cause| ClusterError::Credentials { path: path.clone(), cause })?;
        }
        let failed = |reason| ClusterError::Connect { url: url.clone(), reason };
        let servers: Result<Vec<ServerAddr>, _> = options.url.split(',').map(str::parse).collect();
        let servers = servers.map_err(|error| failed(causes(&error)))?;
        let user = servers.iter().find_map(|server| Some((server.username()?, server.password())));
        match user {
            Some((name, Some(password))) => {
                connect = connect.user_and_password(decoded(name), decoded(password));
            }
            Some((token, None)) => connect = connect.token(decoded(token)),
            None => {}
        }
        let client = connect.connect(servers).await.map_err(|error| failed(causes(&error)))?;
        let server = client.server_info();
        if !client.is_server_compatible(OLDEST.0, OLDEST.1, OLDEST.2) {
            let needed = format!("{}.{}.{}", OLDEST.0, OLDEST.1, OLDEST.2);
            return Err(ClusterError::TooOld { url, found: server.version, needed });
        }
        if server.max_payload < LEAST_PAYLOAD {
            return Err(ClusterError::Payload { url, most: server.max_payload, needed: LEAST_PAYLOAD });
        }
        let jetstream = jetstream::new(client.clone());
        jetstream
            .query_account()
            .await
            .map_err(|error| ClusterError::NoJetStream { url, reason: causes(&error) })?;
        let link = Self { client, jetstream };
        link.queue().await?;
        Ok(link)
    }

    /// Listens to a subject.
    pub(crate) async fn listen(&self, subject: String) -> Result<Subscriber, ClusterError> {
        let refused = |error: async_nats::SubscribeError| ClusterError::Subject {
            subject: subject.clone(),
            reason: causes(&error),
        };
        self.client.subscribe(subject.clone()).await.map_err(refused)
    }

    /// The consumer through which workers share the orders for a model.
    pub(crate) async fn consumer(
        &self,
        queue: Queue,
        model: &str,
    ) -> Result<consumer::Consumer<pull::Config>, ClusterError> {
        let name = subject::consumer(queue, model);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            ack_policy: consumer::AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: MOST_DELIVERIES,
            max_ack_pending: MOST_ORDERS,
            filter_subject: subject::orders_of_all(queue, model),
            inactive_threshold: UNUSED,
            ..pull::Config::default()
        };
        let consumer = self.queue().await?.get_or_create_consumer(&name, config).await;
        consumer.map_err(|error| ClusterError::Stream {
            name: format!("{STREAM}'s consumer {name}"),
            reason: causes(&error),
        })
    }

    /// The work queue. It is made if it is not there: a server that was restarted has forgotten it.
    pub(crate) async fn queue(&self) -> Result<Stream, ClusterError> {
        queue(&self.jetstream).await
    }
}

/// Makes the work queue, or checks the one that is there.
async fn queue(jetstream: &jetstream::Context) -> Result<Stream, ClusterError> {
    let wanted = Config {
        name: STREAM.to_owned(),
        description: Some("hearken: orders of sandboxes".to_owned()),
        subjects: vec![subject::ALL_ORDERS.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::Memory,
        discard: DiscardPolicy::New,
        max_age: PATIENCE,
        max_messages: MOST_ORDERS,
        max_message_size: MOST_BYTES,
        num_replicas: 1,
        ..Config::default()
    };
    let failed = |reason| ClusterError::Stream { name: STREAM.to_owned(), reason };
    let stream =
        jetstream.get_or_create_stream(wanted.clone()).await.map_err(|error| failed(causes(&error)))?;
    // An operator may have given it replicas, or another storage.
    let found = &stream.cached_info().config;
    if (&found.subjects, found.retention) == (&wanted.subjects, wanted.retention) {
        return Ok(stream);
    }
    Err(failed(format!(
        "it is no work queue of {}; delete it (nats stream rm {STREAM}), and it is made anew",
        subject::ALL_ORDERS
    )))
}

/// An error, and what it was caused by, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Text of an address without its escapes (`%40` is `@`).
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let escaped = text.get(at + 1..at + 3).filter(|_| byte == b'%').filter(is_hex);
        let escaped = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Addresses as they may be shown.
fn without_password(url: &str) -> String {
    let shown = url.split(',').map(|url| {
        let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_an_address_are_undone() {
        for (text, plain) in
            [("p%40ss%3A", "p@ss:"), ("50%", "50%"), ("%zz%+4%4", "%zz%+4%4"), ("ö%C3%B6", "öö")]
        {
            assert_eq!(decoded(text), plain);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = without_password("nats://user:p@ss@one:4222,two:4222,tls://token@three");
        assert_eq!(shown, "nats://one:4222,two:4222,tls://three");
    }
}
