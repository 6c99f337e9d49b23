//! The configuration file: its keys, and parsing.

mod check;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use hearken::Bias;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::keys::KeyHash;

/// Configuration of the server: addresses, models, tenants. [`Config::default`] is that of a server
/// without a file: this machine alone, without keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Address and port. Default: 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Another address, for `/metrics` and health alone. Without it metrics are answered on
    /// `listen`, to this machine alone.
    pub operations: Option<SocketAddr>,
    /// Another address, for clients of Vosk alone, which may ask for any path there. On `listen`
    /// they are served at `/`.
    pub vosk: Option<SocketAddr>,
    /// Address for clients of Wyoming, such as Home Assistant. Default: none.
    pub wyoming: Option<Unkeyed>,
    /// Name under which `wyoming` is announced on the local network (zeroconf), so that Home
    /// Assistant finds it, at most 63 bytes. Default: it is not announced.
    pub zeroconf: Option<String>,
    /// Address for calls that Asterisk sends over AudioSocket; their texts are for those that watch
    /// `/v1/watch/UUID`. Default: none.
    pub audiosocket: Option<Unkeyed>,
    /// Address to which the final texts of telephone calls are posted. Default: none.
    pub webhook: Option<Webhook>,
    /// Folder of the page that recognizes in the browser itself, which is offered beside the
    /// server's own: `make wasi web` builds it in target/web. Default: none.
    pub web: Option<PathBuf>,
    /// Folder in which streams of hearken's own protocol are kept, so that they can be resumed
    /// after a restart. Made for its owner alone. Default: none, a restart ends all streams.
    pub state: Option<PathBuf>,
    /// Certificate and key; without them there is no TLS.
    pub tls: Option<Tls>,
    /// Names and sources of models: `embedded`, a name that `hearken models list` knows, or a file.
    /// None: the best at hand.
    pub models: BTreeMap<String, PathBuf>,
    /// The model of clients that name none. Default: the only one there is.
    pub default_model: Option<String>,
    /// Other names of models. Those that clients of OpenAI, Groq and Deepgram send unasked mean the
    /// default model where they are not named here.
    pub aliases: BTreeMap<String, String>,
    /// Tenants. None: programs on this machine, and only if `listen` is a loopback address.
    pub tenants: BTreeMap<String, TenantConfig>,
    /// Streams and recordings at once, of all tenants together. Default: 10,000.
    pub streams: u32,
    /// Admission control: rejection of new streams, to preserve the latency of those that run.
    pub admission: Admission,
    /// Connections at once, idle ones included. Default: 20,000.
    pub connections: usize,
    /// Connections at once from one address, or from one network of IPv6 (/64). Default: a quarter
    /// of `connections`, and no limit for this machine's own addresses, where a proxy may be.
    pub connections_per_address: Option<usize>,
    /// Maximum size of uploads on disk, of all tenants together \[MiB\]. Default: 16,384.
    pub uploads_mib: u32,
    /// Free space that uploads leave in their folder, in MiB, or a tenth of it, if that is less.
    /// Default: 512.
    pub free_mib: u32,
    /// Seconds for which a stream waits for a client that lost its connection. Default: 30.
    pub resume_seconds: u64,
    /// Seconds that running streams and uploads have to end when the server is asked to. Default:
    /// 30.
    pub shutdown_seconds: u64,
    /// Log format.
    pub log: LogFormat,
}

/// Admission control: rejection of new streams, to preserve the latency of those that run.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Admission {
    /// True if new streams are rejected under load. Default: true.
    pub enabled: bool,
    /// The recognizer's time that final texts may need, one stream more included: a part of all
    /// threads' time, above 0, at most 1. Default: 0.8.
    pub load: f64,
    /// Maximum wait of final texts for a thread \[ms\]: the 95th percentile of the last ten
    /// seconds. Default: 500.
    pub final_wait_ms: u64,
}

impl Default for Admission {
    fn default() -> Self {
        Self { enabled: true, load: 0.8, final_wait_ms: 500 }
    }
}

/// Certificate chain and private key, as PEM files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tls {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Path of its private key.
    pub key: PathBuf,
}

/// Address for clients of a protocol without keys: anybody who reaches the address may use it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Unkeyed {
    /// Address and port. Home Assistant's usual port for Wyoming's speech to text is 10300, and
    /// examples of AudioSocket have 9092.
    pub listen: SocketAddr,
    /// The tenant whose models and limits its clients have, of a server that has tenants.
    pub tenant: Option<String>,
}

impl Unkeyed {
    /// Configuration of a server without tenants, at this address.
    pub fn at(listen: SocketAddr) -> Self {
        Self { listen, tenant: None }
    }
}

/// An address of the operator's, and the secret that it knows.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Webhook {
    /// Address: http or https.
    pub url: String,
    /// Secret with which each request is signed (HMAC-SHA256), at least 16 bytes.
    pub secret: String,
}

impl Webhook {
    /// A webhook at this address, with this secret.
    pub fn new(url: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { url: url.into(), secret: secret.into() }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Webhook").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Log format on standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// A tenant: its keys, and its limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TenantConfig {
    /// Hashes of its keys; several, so that one can be replaced without a gap.
    pub keys: Vec<KeyHash>,
    /// Streams and recordings at once. Default: 100.
    pub streams: u32,
    /// Connections that watch its broadcasts at once. Default: 100.
    pub watchers: u32,
    /// Sandboxes at once: each utterance that has partial texts holds one, with the memory that it
    /// has written, until its final text. Beyond that utterances have only final texts. Default: no
    /// limit.
    pub sandboxes: Option<u32>,
    /// Maximum memory that its sandboxes may have written together \[MiB\]: see
    /// [`ShareLimits`](hearken::ShareLimits). Default: no limit.
    pub memory_mib: Option<u32>,
    /// Seconds of audio a minute, over all its streams and recordings. Default: no limit.
    pub audio_seconds_per_minute: Option<u32>,
    /// Largest upload, in MiB. Default: 200.
    pub upload_mib: u32,
    /// Maximum size of its uploads on disk, all together \[MiB\]. Default: ten times `upload_mib`.
    pub uploads_mib: Option<u32>,
    /// Maximum memory of messages longer than 1 MiB that are on their way in at the same time, on
    /// all its connections together \[MiB\]. Only OpenAI Realtime has such messages. Default: 64.
    pub messages_mib: u32,
    /// Longest recording, in minutes: compressed silence is small. Default: 240.
    pub recording_minutes: u32,
    /// The models it may use; others do not exist for it. Default: all.
    pub models: Option<Vec<String>>,
    /// Words and phrases to expect in all its streams and recordings, behind those that a client
    /// names. Each is written as in [`Bias::parse`], its weight behind a tab.
    #[serde(deserialize_with = "phrases")]
    pub bias: Bias,
    /// Weight of the tenant's share of the recognizer's time when there is not enough for all.
    /// Default: 1.
    pub weight: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            operations: None,
            vosk: None,
            wyoming: None,
            zeroconf: None,
            audiosocket: None,
            webhook: None,
            web: None,
            state: None,
            tls: None,
            models: BTreeMap::new(),
            default_model: None,
            aliases: BTreeMap::new(),
            tenants: BTreeMap::new(),
            streams: 10_000,
            admission: Admission::default(),
            connections: 20_000,
            connections_per_address: None,
            uploads_mib: 16_384,
            free_mib: 512,
            resume_seconds: 30,
            shutdown_seconds: 30,
            log: LogFormat::default(),
        }
    }
}

impl TenantConfig {
    /// Maximum size of uploads on disk, all together, in bytes.
    pub(super) fn uploads_bytes(&self) -> u64 {
        self.uploads_mib.map_or(u64::from(self.upload_mib) * 10, u64::from) << 20
    }
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            streams: 100,
            watchers: 100,
            sandboxes: None,
            memory_mib: None,
            audio_seconds_per_minute: None,
            upload_mib: 200,
            uploads_mib: None,
            messages_mib: 64,
            recording_minutes: 240,
            models: None,
            bias: Bias::new(),
            weight: 1,
        }
    }
}

fn phrases<'de, D: Deserializer<'de>>(from: D) -> Result<Bias, D::Error> {
    let list = Vec::<String>::deserialize(from)?;
    Bias::parse(&list.join("\n")).map_err(D::Error::custom)
}

/// Why a configuration cannot be used. One line: file, line or key, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {cause}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file is not TOML, or has a key that does not exist, or a value of another kind.
    #[error("{}:{line}: {key}{message}; docs/operations.md lists the keys", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key on that line, for the message; empty or `"key: "`.
        key: String,
        /// Description of the defect.
        message: String,
    },
    /// A value cannot be.
    #[error("{key}: {message}")]
    Value {
        /// The key.
        key: String,
        /// Description of the defect, and the remedy.
        message: String,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] states the place and the remedy.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count();
            let key = text.lines().nth(line).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
            ConfigError::Syntax {
                path: path.to_owned(),
                line: line + 1,
                key: key.map(|key| format!("{key}: ")).unwrap_or_default(),
                message: error.message().replace('\n', " "),
            }
        })?;
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(Path::new("hearken.toml"), text).expect_err(text).to_string()
    }

    #[test]
    fn the_documented_example_is_a_configuration() {
        let page = include_str!("../../../../docs/operations.md");
        let (_, rest) = page.split_once("```toml\n").expect("an example");
        let (example, _) = rest.split_once("```").expect("its end");
        let config = Config::parse(Path::new("hearken.toml"), example).unwrap();
        assert!(config.tenants.len() >= 2 && config.tls.is_some() && !config.models.is_empty());
    }

    #[test]
    fn an_empty_file_is_a_server_for_this_machine() {
        let config = Config::parse(Path::new("hearken.toml"), "").unwrap();
        assert!(config.listen.ip().is_loopback() && config.tenants.is_empty());
    }

    #[test]
    fn a_configuration_error_names_line_and_key() {
        let message = error("listen = \"127.0.0.1:1\"\n\n[tenants.acme]\nstraems = 3\n");
        assert!(message.starts_with("hearken.toml:4: straems: unknown field `straems`"), "{message}");
        let message = error("streams = \"many\"");
        assert!(message.starts_with("hearken.toml:1: streams: "), "{message}");
        let message = error("[tenants.acme]\nkeys = [\"secret\"]");
        assert!(message.contains("hearken serve key") && message.contains(":2: keys"), "{message}");
        assert!(error("streams = ").starts_with("hearken.toml:1: "));
        for (text, key) in [
            ("listen = \"0.0.0.0:80\"", "listen: "),
            ("vosk = \"0.0.0.0:2700\"", "vosk: "),
            ("[wyoming]\nlisten = \"127.0.0.1:10300\"\ntenant = \"a\"", "wyoming.tenant: "),
            ("[wyoming]\nlisten = \"127.0.0.1:10300\"\n[tenants.a]", "wyoming.tenant: "),
            ("[audiosocket]\nlisten = \"127.0.0.1:9092\"\n[tenants.a]", "audiosocket.tenant: "),
            ("zeroconf = \"kitchen\"", "zeroconf: it announces Wyoming's address"),
            ("zeroconf = \"\"\n[wyoming]\nlisten = \"127.0.0.1:1\"", "zeroconf: a name has 1 to 63 bytes"),
            ("[webhook]\nurl = \"ftp://a\"\nsecret = \"0123456789abcdef\"", "webhook.url: "),
            ("[webhook]\nurl = \"https://a/b\"\nsecret = \"short\"", "webhook.secret: "),
            ("streams = 0", "streams: "),
            ("resume_seconds = 100000", "resume_seconds: "),
            ("[admission]\nload = 0.0", "admission.load: "),
            ("[admission]\nload = 1.5", "admission.load: "),
            ("[tenants.a]\nsandboxes = 0", "tenants.a.sandboxes: "),
            ("[tenants.a]\nmemory_mib = 0", "tenants.a.memory_mib: "),
            ("default_model = \"x\"", "default_model: "),
            ("[models]\na = \"a\"\nb = \"b\"", "default_model: "),
            ("[models]\na = \"a\"\n[aliases]\nb = \"c\"", "aliases.b: "),
            ("[tenants.\"a b\"]", "tenants.a b: "),
            ("[tenants.a]\nmodels = [\"x\"]", "tenants.a.models: "),
            ("[tenants.a]\nbias = [\"x\\t9\"]", "hearken.toml:2: bias: the weight of \"x\""),
            ("[tenants.a]\nupload_mib = 0", "tenants.a.upload_mib: "),
            ("[tenants.a]\nupload_mib = 20\nuploads_mib = 19", "tenants.a.uploads_mib: "),
            ("uploads_mib = 0", "uploads_mib: "),
            ("connections_per_address = 0", "connections_per_address: "),
        ] {
            assert!(error(text).starts_with(key), "{text}: {}", error(text));
        }
        let hash = KeyHash::of("x");
        let twice = format!("[tenants.a]\nkeys = [\"{hash}\"]\n[tenants.b]\nkeys = [\"{hash}\"]");
        assert!(error(&twice).starts_with("tenants.a.keys: b has the same key"), "{}", error(&twice));
    }
}
