//! The server's address, and connections to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Uri, header, uri::Scheme};
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::Failure;

/// Time limit of a connection, a handshake and an answer that has nothing to wait for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Address of the server, and credentials.
pub(super) struct Server {
    host: String,
    port: u16,
    /// Value of the header `Host`.
    pub(super) authority: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Value of the header `Authorization`.
    pub(super) authorization: Option<HeaderValue>,
}

/// A connection, encrypted or not.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Server {
    /// From `http://…`, `https://…`, `ws://…` or `wss://…`.
    pub(super) fn new(url: &str, key: Option<&str>) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::usage(format!("{url:?} {what}; write http://HOST:PORT or https://HOST:PORT"))
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is no address"))?;
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?.clone();
        if !matches!(uri.path(), "" | "/" | "/v1" | "/v1/") || uri.query().is_some() {
            return Err(wrong("names a path, which depends on --protocol"));
        }
        let encrypted = match uri.scheme().map(Scheme::as_str) {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(wrong("is not an address for HTTP")),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = encrypted.then(|| {
            let config = ClientConfig::with_platform_verifier()
                .map_err(|error| Failure::new(format!("cannot use the system's certificates: {error}")))?;
            let name = ServerName::try_from(host.clone()).map_err(|_| wrong("names no host"))?;
            Ok::<_, Failure>((TlsConnector::from(Arc::new(config)), name))
        });
        let authorization = key.map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                .map_err(|_| Failure::usage("the key has characters that no key has; check it"))?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        });
        Ok(Self {
            port: authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 }),
            host,
            authority: authority.to_string(),
            tls: tls.transpose()?,
            authorization: authorization.transpose()?,
        })
    }

    /// A connection to it.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        let connected = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            Ok(match &self.tls {
                None => Box::new(stream) as Box<dyn Connection>,
                Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
            })
        };
        timeout(PATIENCE, connected).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// A request to it without a body.
    pub(super) fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let request =
            axum::http::Request::builder().method(method).uri(path).header(header::HOST, &self.authority);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_four_kinds() {
        let port = |url| Server::new(url, None).map(|server| (server.host, server.port)).ok();
        assert_eq!(port("http://127.0.0.1:8080"), Some(("127.0.0.1".to_owned(), 8080)));
        assert_eq!(port("ws://[::1]:8080/"), Some(("::1".to_owned(), 8080)));
        assert_eq!(port("wss://speech.example.com"), Some(("speech.example.com".to_owned(), 443)));
        assert_eq!(port("https://speech.example.com/v1"), Some(("speech.example.com".to_owned(), 443)));
        for wrong in
            ["", "127.0.0.1:8080", "ftp://host", "http://", "http://host/v1/listen", "http://host?x=1"]
        {
            assert!(port(wrong).is_none(), "{wrong}");
        }
        assert!(Server::new("http://host", Some("a\nb")).is_err());
    }
}
