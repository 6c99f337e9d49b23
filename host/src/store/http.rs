//! One request for a part of a file.

use std::io::Read;
use std::time::Duration;

use ureq::http::{HeaderMap, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Error, Timeout};

use super::StoreError;

/// Time for a name to be resolved, and for a connection with its TLS.
const CONNECT: Duration = Duration::from_secs(30);
/// Time for all headers of an answer, so that they cannot be dripped for ever.
const HEADERS: Duration = Duration::from_secs(60);
/// Most redirects of one request.
const REDIRECTS: u32 = 5;
/// Longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a request came to nothing.
pub(super) enum Trouble {
    /// Another try would end the same.
    Fatal(StoreError),
    /// Another try may help.
    Passing {
        problem: Problem,
        /// Wait that the server asked for.
        wait: Option<Duration>,
    },
}

/// Problem that another attempt may overcome.
#[derive(Debug)]
pub(super) enum Problem {
    Broken(String),
    Stalled,
    Status(u16),
}

impl Trouble {
    pub(super) fn broken(problem: impl Into<String>) -> Self {
        Self::Passing { problem: Problem::Broken(problem.into()), wait: None }
    }
}

/// An answer whose body is the file from `start` on.
pub(super) struct Answer {
    pub(super) start: u64,
    /// Length of the whole file, where the server states it.
    pub(super) total: Option<u64>,
    /// A validator that does not change while the file does not.
    pub(super) etag: Option<String>,
    pub(super) body: Box<dyn Read>,
}

/// HTTP client.
pub(super) struct Client {
    agent: Agent,
}

impl Client {
    /// Makes a client. `secure`: never leave https once on it. `direct`: no proxy, ignoring the
    /// environment.
    pub(super) fn new(secure: bool, direct: bool, idle: Duration) -> Self {
        // The system's certificates, so that a company's own authority counts.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let mut config = Agent::config_builder()
            .tls_config(tls)
            .https_only(secure)
            .http_status_as_error(false)
            .max_redirects(REDIRECTS)
            .user_agent(concat!("hearken/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(HEADERS))
            .timeout_per_read(Some(idle));
        if direct {
            config = config.proxy(None);
        }
        Self { agent: config.build().new_agent() }
    }

    /// Asks for the file from `offset` on, provided that it still is the one with this validator.
    /// The answer may start at 0 all the same; `Ok(None)` is a server that has nothing from there
    /// on.
    pub(super) fn get(&self, url: &str, offset: u64, etag: Option<&str>) -> Result<Option<Answer>, Trouble> {
        // Compressed, lengths and ranges would mean something else.
        let mut request = self.agent.get(url).header(header::ACCEPT_ENCODING, "identity");
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
            if let Some(etag) = etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let (parts, body) = request.call().map_err(|error| explain(url, error))?.into_parts();
        let headers = &parts.headers;
        let (start, total) = match parts.status.as_u16() {
            200 => (0, length(headers)),
            206 => range(headers).ok_or_else(|| Trouble::broken("it sent a part without saying which"))?,
            416 => return Ok(None),
            status => return Err(refused(url, status, headers)),
        };
        let etag = text(headers, header::ETAG).filter(|etag| etag.starts_with('"')).map(str::to_owned);
        Ok(Some(Answer { start, total, etag, body: reader(body) }))
    }
}

fn reader(body: Body) -> Box<dyn Read> {
    Box::new(body.into_reader())
}

/// Classifies a failed read of a body.
pub(super) fn unreadable(url: &str, error: std::io::Error) -> Trouble {
    explain(url, Error::from(error))
}

fn explain(url: &str, error: Error) -> Trouble {
    let redirect = |problem| Trouble::Fatal(StoreError::Redirect { url: url.to_owned(), problem });
    match error {
        Error::Timeout(Timeout::PerRead) => Trouble::Passing { problem: Problem::Stalled, wait: None },
        Error::TooManyRedirects => redirect("more often than is followed"),
        Error::RequireHttpsOnly(_) => redirect("from https to http, where anybody could answer"),
        Error::BadUri(_) | Error::Http(_) => redirect("to something that is no address"),
        // A wrong name, a wrong certificate or a proxy that rejects stay errors.
        Error::HostNotFound
        | Error::Tls(_)
        | Error::Rustls(_)
        | Error::Pem(_)
        | Error::InvalidProxyUrl
        | Error::ConnectProxyFailed(_)
        | Error::LargeResponseHeader(..) => Trouble::Fatal(StoreError::Broken {
            url: url.to_owned(),
            problem: crate::text::sanitize(&error.to_string()),
            kept: 0,
        }),
        error => Trouble::broken(crate::text::sanitize(&error.to_string())),
    }
}

fn refused(url: &str, status: u16, headers: &HeaderMap) -> Trouble {
    let asked = text(headers, header::RETRY_AFTER).and_then(|wait| wait.trim().parse().ok());
    let wait = asked.map(Duration::from_secs);
    let passing = matches!(status, 408 | 425 | 429 | 500..=599);
    if passing && wait.is_none_or(|wait| wait <= LONGEST_WAIT) {
        return Trouble::Passing { problem: Problem::Status(status), wait };
    }
    Trouble::Fatal(status_error(url, status))
}

pub(super) fn status_error(url: &str, status: u16) -> StoreError {
    let remedy = match status {
        404 | 410 => "no such file: check HF_ENDPOINT",
        401 | 403 | 407 => "authentication required: check HF_ENDPOINT, or the proxy",
        300..=399 => "a redirect without a target: check HF_ENDPOINT, or the proxy",
        408 | 425 | 429 => "the server is overloaded: try again later",
        500..=599 => "server error: try again later",
        _ => "check HF_ENDPOINT, or the proxy",
    };
    StoreError::Status { url: url.to_owned(), status, remedy }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::CONTENT_LENGTH)?.trim().parse().ok()
}

/// `bytes 100-199/200`: where the part starts, and the whole file's length unless it is `*`.
fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) =
        text(headers, header::CONTENT_RANGE)?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start.parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, value.parse().unwrap());
            range(&headers)
        };
        assert_eq!(read("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(read("bytes 0-0/*"), Some((0, None)));
        for wrong in [
            "",
            "bytes */200",
            "bytes 1/2",
            "items 0-1/2",
            "bytes -1-2/3",
            "bytes 1-2/x",
            "bytes 99999999999999999999-1/2",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
