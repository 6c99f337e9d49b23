//! Authentication, and the place of a connection or request in the server.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use hearken::Model;
use hearken::service::ActiveStream;

use super::App;
use super::admission::Asking;
use super::config::Unkeyed;
use super::disk::Stored;
use super::keys::KeyHash;
use super::metrics::{ByProtocol, ByTenant, Counted};
use super::rejection::Rejection;
use super::tenants::{Admitted, Tenant};

/// Time that a client without a valid key waits for its answer. A connection of such a client can
/// ask ten times a second at most, and connections of one address are limited.
const REFUSED_AFTER: Duration = Duration::from_millis(100);

/// Delays answers to clients without a valid key, so that they cost little, however fast they ask.
pub(super) async fn slow_down_strangers(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        tokio::time::sleep(REFUSED_AFTER).await;
    }
    response
}

impl App {
    /// Authenticates a request. `offered` is a key that came otherwise than in the header
    /// `Authorization`, which browsers cannot set for a WebSocket.
    pub(super) fn admit(&self, headers: &HeaderMap, offered: Option<&str>) -> Result<Admitted, Rejection> {
        if self.tenants.is_open() && !is_local(headers) {
            return Err(Rejection::Foreign);
        }
        self.tenants.find(bearer(headers).or(offered))
    }

    /// The tenant of this name, whose client showed a key that was made for it with `key`: it is
    /// valid as long as that one is.
    pub(super) fn admit_named(
        &self,
        headers: &HeaderMap,
        name: &str,
        key: Option<KeyHash>,
    ) -> Result<Admitted, Rejection> {
        if self.tenants.is_open() && !is_local(headers) {
            return Err(Rejection::Foreign);
        }
        if !self.tenants.still_admits(name, key.as_ref()) {
            return Err(Rejection::Revoked);
        }
        Ok(Admitted { tenant: self.tenants.named(name)?, key })
    }

    /// The tenant of clients that come to the address of a protocol without keys.
    pub(super) fn unkeyed(&self, configured: Option<&Unkeyed>) -> Result<Admitted, Rejection> {
        match configured.and_then(|configured| configured.tenant.as_deref()) {
            // Any client of the address is admitted; there is no key to revoke.
            Some(name) => Ok(Admitted { tenant: self.tenants.named(name)?, key: None }),
            None => self.tenants.find(None),
        }
    }

    /// Waits until the key with which a client came is not valid any more.
    pub(super) fn revoked(self: &Arc<Self>, who: &Admitted) -> impl Future<Output = ()> + Send + use<> {
        let (app, name, key) = (Arc::clone(self), Arc::clone(&who.tenant.name), who.key);
        let mut replaced = app.tenants.replaced();
        async move {
            // Its sender is in the app.
            let _ = replaced.wait_for(|()| !app.tenants.still_admits(&name, key.as_ref())).await;
        }
    }

    /// Room for one more stream of this model, or for a recording, until the ticket is dropped.
    pub(super) fn open(
        self: &Arc<Self>,
        who: &Admitted,
        protocol: &'static str,
        stream: Option<&Model>,
    ) -> Result<Ticket, Rejection> {
        if self.is_draining() {
            return Err(Rejection::Draining);
        }
        let Admitted { tenant, key } = who;
        let all = self.config.streams;
        self.open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < all).then_some(open + 1))
            .map_err(|_| Rejection::Full)?;
        let room = tenant
            .take_stream()
            .and_then(|()| self.room(tenant, stream).inspect_err(|_| tenant.give_stream_back()));
        room.inspect_err(|_| {
            self.open.fetch_sub(1, Ordering::Relaxed);
        })?;
        let labels = ByProtocol { tenant: Arc::clone(&tenant.name), protocol };
        self.metrics.opened.get_or_create(&labels).inc();
        let counted = Counted::new(&self.metrics.open.get_or_create(&labels));
        Ok(Ticket {
            app: Arc::clone(self),
            tenant: Arc::clone(tenant),
            protocol,
            key: *key,
            counted: Some(counted),
            stored: Stored::default(),
        })
    }

    /// Admission control: checks that the recognizer has time for one more stream of this model, or
    /// for a recording.
    fn room(&self, tenant: &Tenant, stream: Option<&Model>) -> Result<(), Rejection> {
        self.asking(tenant, |asking| match stream {
            Some(model) => self.capacity.room(model, asking),
            None => self.capacity.room_for_recording(asking),
        })
    }

    fn asking<T>(&self, tenant: &Tenant, ask: impl FnOnce(&Asking<'_>) -> T) -> T {
        ask(&Asking { own: &tenant.share, models: &self.models.all(), tenants: &self.tenants })
    }
}

/// A place among those that the tenant and the server have.
pub(super) struct Ticket {
    pub(super) app: Arc<App>,
    pub(super) tenant: Arc<Tenant>,
    protocol: &'static str,
    /// Key of the client.
    pub(super) key: Option<KeyHash>,
    /// Until it is given back.
    counted: Option<Counted>,
    /// Disk space of its upload.
    pub(super) stored: Stored,
}

impl Ticket {
    /// One more place for the same client: for another channel of a stream of this model.
    pub(super) fn another(&self, model: &Model) -> Result<Self, Rejection> {
        self.app.open(&self.who(), self.protocol, Some(model))
    }

    pub(super) fn by_tenant(&self) -> ByTenant {
        ByTenant { tenant: Arc::clone(&self.tenant.name) }
    }

    /// Returns true if the key with which its client came is not valid any more.
    pub(super) fn is_revoked(&self) -> bool {
        !self.app.tenants.still_admits(&self.tenant.name, self.key.as_ref())
    }

    /// Waits until the key with which its client came is not valid any more.
    pub(super) fn revoked(&self) -> impl Future<Output = ()> + Send + use<> {
        self.app.revoked(&self.who())
    }

    /// The client.
    fn who(&self) -> Admitted {
        Admitted { tenant: Arc::clone(&self.tenant), key: self.key }
    }

    /// Waits for something as long as the key is valid.
    pub(super) async fn unless_revoked<T>(
        &self,
        work: impl Future<Output = Result<T, Rejection>>,
    ) -> Result<T, Rejection> {
        tokio::select! {
            done = work => done,
            () = self.revoked() => Err(Rejection::Revoked),
        }
    }

    /// Admits the first speech in a stream, if there is room for one more active stream.
    pub(super) fn first_speech(&self, model: &Model) -> Result<ActiveStream, Rejection> {
        self.app.asking(&self.tenant, |asking| self.app.capacity.speak(model, asking))
    }

    /// Counts a stream that was admitted as active again.
    pub(super) fn more_speech(&self, model: &Model) -> ActiveStream {
        model.count_stream(&self.tenant.share)
    }

    /// Gives the tenant its place back before the server's: a client whose stream has ended may
    /// open another one while the connection is still closing.
    pub(super) fn give_back(&mut self) {
        if self.counted.take().is_some() {
            self.tenant.give_stream_back();
        }
    }

    /// Charges the tenant for audio, and counts it. Nothing is counted that is refused.
    pub(super) fn charge(&self, seconds: f64) -> Result<(), Rejection> {
        self.tenant.check_credit(Instant::now())?;
        self.count(seconds);
        Ok(())
    }

    fn count(&self, seconds: f64) {
        self.tenant.debit(seconds, Instant::now());
        self.heard(seconds);
    }

    /// Counts audio that was charged for.
    pub(super) fn heard(&self, seconds: f64) {
        self.app.metrics.audio.get_or_create(&self.by_tenant()).inc_by(seconds);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_back();
        self.give_bytes_back();
        self.app.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The key in the header `Authorization`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = authorization.split_once(' ')?;
    // OpenAI's clients say Bearer, Deepgram's Token.
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    known.then(|| key.trim())
}

/// The subprotocols that a client offers for its WebSocket.
pub(super) fn offered_protocols(headers: &HeaderMap) -> Vec<&str> {
    let lists =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).collect()
}

/// Returns true if a request to a server without keys comes from a program on this machine or from
/// the server's own page. Another site's page in a browser here could reach the port as well: its
/// requests state its origin, and after DNS rebinding they are addressed to a name that is not this
/// machine's.
pub(super) fn is_local(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let Some(host) = text(header::HOST) else { return false };
    let name = match host.strip_prefix('[') {
        // Nothing but a port may follow the address.
        Some(rest) => match rest.split_once(']') {
            Some((name, "")) => name,
            Some((name, port)) if port.starts_with(':') => name,
            _ => return false,
        },
        None => host.split(':').next().unwrap_or_default(),
    };
    let here = name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let same = match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => {
            let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
        }
    };
    here && same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_the_servers_own_page_need_no_key() {
        let local = |pairs: &[(header::HeaderName, &str)]| {
            is_local(&pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect())
        };
        for host in ["localhost:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"] {
            assert!(local(&[(header::HOST, host)]), "{host}");
        }
        for host in [
            "example.com:8080",
            "localhost.example.com",
            "10.0.0.1",
            "[::2]:80",
            "[::1].example.com",
            "[::1",
            "",
        ] {
            assert!(!local(&[(header::HOST, host)]), "{host}");
        }
        assert!(!local(&[]));
        let from = |origin| local(&[(header::HOST, "localhost:8080"), (header::ORIGIN, origin)]);
        assert!(from("http://localhost:8080"));
        for origin in ["http://localhost:3000", "https://example.com", "null", "localhost:8080"] {
            assert!(!from(origin), "{origin}");
        }
    }
}
