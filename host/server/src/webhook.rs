//! The operator's webhook: final texts of calls, posted as JSON.
//!
//! Only the configuration names the address: no client can make the server connect anywhere. Texts
//! are posted one after the other, in order, by a thread of their own. A text that cannot be
//! delivered is tried again, later and later, while others wait in a bounded queue; what is given
//! up is counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use ring::hmac;
use serde::Serialize;
use tokio::sync::oneshot;
use ureq::Agent;
use ureq::http::{StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};

use super::broadcast::Told;
use super::config;
use super::keys::random_name;
use super::values::hex;

/// Texts that wait. One more is given up.
const QUEUE: usize = 1_000;
/// Attempts to deliver a text.
const ATTEMPTS: u32 = 5;
/// Pause before the second attempt. Each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// Time limit of an attempt.
const PATIENCE: Duration = Duration::from_secs(10);
/// Header with the time and the signature.
const SIGNATURE: &str = "hearken-signature";

/// A final text of a call.
#[derive(Serialize)]
pub(super) struct Text<'a> {
    /// The same at each attempt.
    id: String,
    tenant: &'a str,
    protocol: &'static str,
    /// Name of the call.
    call: Option<&'a str>,
    #[serde(flatten)]
    told: Told,
}

impl<'a> Text<'a> {
    pub(super) fn new(tenant: &'a str, protocol: &'static str, call: Option<&'a str>, told: Told) -> Self {
        Self { id: random_name(), tenant, protocol, call, told }
    }
}

/// Numbers of texts that were delivered, and that were not.
#[derive(Debug, Clone, Default)]
pub(super) struct Deliveries {
    pub(super) delivered: Counter,
    pub(super) given_up: Counter,
}

/// The queue of the webhook.
pub(super) struct Webhook {
    open: Mutex<Option<Open>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    deliveries: Deliveries,
}

struct Open {
    texts: Sender<String>,
    /// Its end tells the thread that the server is about to end.
    _closing: Sender<()>,
}

impl Webhook {
    /// Starts the thread that posts.
    pub(super) fn start(config: &config::Webhook, deliveries: Deliveries) -> std::io::Result<Self> {
        let (texts, queue) = bounded(QUEUE);
        let (closing, closed) = bounded(0);
        let (done, ended) = oneshot::channel();
        let post = Post::new(config, closed, deliveries.clone());
        std::thread::Builder::new().name("hearken-webhook".to_owned()).spawn(move || {
            queue.iter().for_each(|text: String| post.deliver(&text));
            drop(done);
        })?;
        Ok(Self {
            open: Mutex::new(Some(Open { texts, _closing: closing })),
            ended: Mutex::new(Some(ended)),
            deliveries,
        })
    }

    /// Queues a text.
    pub(super) fn post(&self, text: &Text<'_>) {
        let open = self.open.lock();
        let queued = match (open.as_ref(), serde_json::to_string(text)) {
            (Some(open), Ok(text)) => open.texts.try_send(text).is_ok(),
            _ => false,
        };
        if !queued {
            self.deliveries.given_up.inc();
        }
    }

    /// Takes no more texts, and waits until those that are queued were tried once more.
    pub(super) async fn close(&self) {
        drop(self.open.lock().take());
        let ended = self.ended.lock().take();
        if let Some(ended) = ended {
            // The thread drops its end.
            let _ = ended.await;
        }
    }
}

/// The thread's part.
struct Post {
    agent: Agent,
    url: String,
    key: hmac::Key,
    closed: Receiver<()>,
    deliveries: Deliveries,
}

impl Post {
    fn new(config: &config::Webhook, closed: Receiver<()>, deliveries: Deliveries) -> Self {
        // The system's certificates, so that a company's own authority counts.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // Only the address that the operator named.
            .max_redirects(0)
            .user_agent(concat!("hearken/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        let key = hmac::Key::new(hmac::HMAC_SHA256, config.secret.as_bytes());
        Self { agent, url: config.url.clone(), key, closed, deliveries }
    }

    fn deliver(&self, text: &str) {
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS {
            let problem = match self.attempt(text) {
                Ok(status) if status.is_success() => {
                    self.deliveries.delivered.inc();
                    return;
                }
                Ok(status) if is_final(status) => {
                    tracing::warn!(%status, "the webhook rejects a text");
                    break;
                }
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(attempt, problem, "the webhook did not take a text");
            if attempt == ATTEMPTS || self.is_closing_within(pause) {
                break;
            }
            pause *= 2;
        }
        self.deliveries.given_up.inc();
    }

    fn attempt(&self, text: &str) -> Result<StatusCode, ureq::Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let request = self
            .agent
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(SIGNATURE, signature(&self.key, now, text));
        Ok(request.send(text)?.status())
    }

    /// Waits; returns true if the server is about to end.
    fn is_closing_within(&self, pause: Duration) -> bool {
        self.closed.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Returns true if another attempt would be rejected as well.
fn is_final(status: StatusCode) -> bool {
    let passing =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    !(status.is_server_error() || passing)
}

/// Signs a body at a time [s since 1970], so that an old one cannot be sent again.
fn signature(key: &hmac::Key, time: u64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{time}.{body}").as_bytes());
    format!("t={time},v1={}", hex(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_time_and_body() {
        // `printf 7.body | openssl dgst -sha256 -hmac 0123456789abcdef`
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let expected = "t=7,v1=1a511fc8b028c8ae1c7be35cc4c79328090a343a0c387b90a712a9f06e68a02c";
        assert_eq!(signature(&key, 7, "body"), expected);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [500, 502, 503, 429, 408] {
            assert!(!is_final(StatusCode::from_u16(status).unwrap()), "{status}");
        }
        for status in [301, 302, 400, 401, 404, 410] {
            assert!(is_final(StatusCode::from_u16(status).unwrap()), "{status}");
        }
    }
}
