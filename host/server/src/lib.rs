//! A transcription server for many tenants: hearken's own WebSocket, and the interfaces of OpenAI,
//! Deepgram, Vosk, Wyoming and telephony.
//!
//! Everything stands on [`Session`](hearken::session::Session) and
//! [`Model::transcribe`](hearken::Model::transcribe): recognition happens on the engine's threads,
//! while the async runtime's only move bytes. `hearken serve` is this crate behind a command line;
//! docs/server.md has the interfaces, docs/operations.md the configuration.
//!
//! ```no_run
//! use hearken_server::{Config, NamedModel, Server};
//! use hearken::{Engine, ModelSource};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let model = NamedModel { name: "digits".into(), source: ModelSource::Embedded };
//! let server = Server::bind(Config::default(), Engine::new()?, vec![model]).await?;
//! println!("{}", server.url());
//! server.run().await?;
//! # Ok(())
//! # }
//! ```

mod addresses;
mod admission;
mod broadcast;
mod config;
mod deepgram;
mod dialogue;
mod disk;
mod elsewhere;
mod engine_metrics;
mod errors;
mod families;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod health;
mod inflow;
mod keys;
mod listener;
mod metrics;
mod models;
mod native_ws;
mod openai;
mod operations;
mod pace;
mod page;
mod phrases;
mod places;
mod quiet;
mod realtime;
mod recording;
mod rejection;
mod socket;
mod stream;
mod telephony;
mod tenants;
mod ticket;
mod tls;
mod unread;
mod upload;
mod values;
mod vosk;
mod webhook;
mod words;
mod wyoming;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
pub use futures_util::future::BoxFuture;
use hearken::service::IntakePool;
use hearken::{Engine, Error};
use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use self::admission::Capacity;
use self::broadcast::Broadcasts;
pub use self::config::{Admission, Config, ConfigError, LogFormat, TenantConfig, Tls, Unkeyed, Webhook};
use self::disk::Disk;
pub use self::elsewhere::Elsewhere;
use self::elsewhere::Source;
use self::health::Audience;
pub use self::keys::{InvalidKeyHash, Key, KeyHash};
use self::metrics::Metrics;
use self::models::Models;
pub use self::models::NamedModel;
pub use self::native_ws::StateError;
pub use self::operations::{Observed, Operations};
use self::places::Places;
use self::quiet::{Line, Quiet};
use self::rejection::Rejection;
use self::tenants::Tenants;
use self::wyoming::zeroconf::Announcement;

/// Length of the queue of connections not yet accepted: the default maximum of Linux. All clients
/// of a restarted server come at once, and a client that finds no room here tries again after a
/// second, then after two more, and so on.
const BACKLOG: u32 = 4096;

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model cannot be loaded.
    #[error(transparent)]
    Model(#[from] Error),
    /// The folder for streams that survive a restart.
    #[error("{} cannot keep streams: {cause}", folder.display())]
    State {
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: StateError,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address}: {cause}; end what listens there, or choose another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// The server cannot be announced on the local network.
    #[error(
        "cannot announce the server on the local network: {reason}; leave out zeroconf, and give clients the address"
    )]
    Zeroconf {
        /// Why.
        reason: String,
    },
}

/// State that all connections share.
struct App {
    config: Config,
    engine: Engine,
    models: Models,
    tenants: Tenants,
    metrics: Metrics,
    parked: native_ws::Parked,
    /// Set where streams survive a restart.
    state: Option<native_ws::StateFolder>,
    broadcasts: Broadcasts,
    /// Queue of the texts of calls, where a webhook is configured.
    webhook: Option<webhook::Webhook>,
    secrets: realtime::Secrets,
    /// Streams and recordings that are open.
    open: AtomicU32,
    capacity: Capacity,
    disk: Disk,
    quiet: Quiet,
    /// The page that recognizes in the browser, if there is one.
    web: Option<page::Web>,
    /// Executor that decodes the audio of recordings.
    intake: IntakePool,
    drain: watch::Sender<bool>,
    tls: RwLock<Option<TlsAcceptor>>,
}

impl App {
    /// Waits until the server is to end.
    async fn drained(&self) {
        // Its sender is here.
        let _ = self.drain.subscribe().wait_for(|drain| *drain).await;
    }

    fn is_draining(&self) -> bool {
        *self.drain.borrow()
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.tls.read().clone()
    }

    /// Counts and logs a rejection, and answers with it in hearken's own form.
    fn refuse(&self, rejection: &Rejection) -> Response {
        self.note(rejection);
        rejection.plain()
    }

    /// Counts and logs a rejection. Its message may quote the client's request, which must not be
    /// logged.
    fn note(&self, rejection: &Rejection) {
        self.metrics.refused(rejection.code());
        match self.quiet.next(Instant::now()) {
            Line::LeaveOut => return,
            Line::Write(0) => {}
            Line::Write(left_out) => tracing::info!(left_out, "more were refused than are logged"),
        }
        tracing::info!(code = rejection.code(), parameter = rejection.parameter(), "refused");
        tracing::debug!("refused: {rejection}");
    }
}

/// A server that has its address.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    operations: Option<TcpListener>,
    vosk: Option<TcpListener>,
    wyoming: Option<TcpListener>,
    announcement: Option<Announcement>,
    audiosocket: Option<TcpListener>,
    models: Source,
    address: SocketAddr,
}

/// Control of a running server.
#[derive(Clone)]
pub struct Control(Arc<App>);

impl Server {
    /// Takes the address. `models` are loaded when it [runs](Self::run); the first is the default
    /// one unless the configuration names another.
    ///
    /// # Errors
    ///
    /// [`ServerError::Config`] and [`ServerError::Listen`].
    pub async fn bind(config: Config, engine: Engine, models: Vec<NamedModel>) -> Result<Self, ServerError> {
        Self::of(config, engine, Source::Here(models), None)
    }

    /// Takes the address of a server whose models are on other machines. It is ready when one of
    /// them is there. `engine` takes in audio.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub async fn gateway(config: Config, engine: Engine, elsewhere: Elsewhere) -> Result<Self, ServerError> {
        let models = Source::Elsewhere(elsewhere.models.clone());
        Self::of(config, engine, models, Some(elsewhere))
    }

    fn of(
        config: Config,
        engine: Engine,
        models: Source,
        elsewhere: Option<Elsewhere>,
    ) -> Result<Self, ServerError> {
        config.check()?;
        // Before a process that gives up rights, and before the first recording, which would wait
        // for it.
        hearken::service::prepare_media()?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let web = config.web.as_deref().map(page::Web::read).transpose()?;
        let state = config.state.as_deref().map(|folder| open_state(folder, &config)).transpose()?;
        let listener = listen(config.listen)?;
        let operations = config.operations.map(listen).transpose()?;
        let vosk = config.vosk.map(listen).transpose()?;
        let unkeyed = |configured: &Option<Unkeyed>| {
            configured.as_ref().map(|configured| listen(configured.listen)).transpose()
        };
        let (wyoming, audiosocket) = (unkeyed(&config.wyoming)?, unkeyed(&config.audiosocket)?);
        let announcement = announcement(&config, wyoming.as_ref())?;
        let address = listener.local_addr().unwrap_or(config.listen);
        let intake = IntakePool::start(engine.threads()).map_err(no_thread)?;
        let metrics = Metrics::new();
        let webhook = config.webhook.as_ref();
        let webhook = webhook.map(|webhook| webhook::Webhook::start(webhook, metrics.webhook.clone()));
        let webhook = webhook.transpose().map_err(no_thread)?;
        let app = App {
            models: Models::new(&config, models.named()),
            tenants: Tenants::new(&config.tenants),
            metrics,
            webhook,
            parked: native_ws::Parked::default(),
            state,
            broadcasts: Broadcasts::default(),
            secrets: realtime::Secrets::default(),
            open: AtomicU32::new(0),
            capacity: Capacity::new(config.admission, engine.clone(), elsewhere),
            disk: Disk::new(&config),
            quiet: Quiet::default(),
            web,
            intake,
            drain: watch::Sender::new(false),
            tls: RwLock::new(tls),
            config,
            engine,
        };
        if let Some(state) = &app.state {
            state.sweep(|tenant, key| app.admits(tenant, key));
        }
        Ok(Self {
            app: Arc::new(app),
            listener,
            operations,
            vosk,
            wyoming,
            announcement,
            audiosocket,
            models,
            address,
        })
    }

    /// Address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// URL for clients.
    pub fn url(&self) -> String {
        let scheme = if self.app.config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Address for Vosk's clients alone, if there is one.
    pub fn vosk_address(&self) -> Option<SocketAddr> {
        self.vosk.as_ref()?.local_addr().ok()
    }

    /// Address for Wyoming's clients, if there is one.
    pub fn wyoming_address(&self) -> Option<SocketAddr> {
        self.wyoming.as_ref()?.local_addr().ok()
    }

    /// Address for calls over AudioSocket, if there is one.
    pub fn audiosocket_address(&self) -> Option<SocketAddr> {
        self.audiosocket.as_ref()?.local_addr().ok()
    }

    /// Handle to reload and to end the server.
    pub fn control(&self) -> Control {
        Control(Arc::clone(&self.app))
    }

    /// Loads the models and serves, until [`Control::drain`]: then new streams are refused, running
    /// ones get their final texts, and it returns when they have, or when `shutdown_seconds` are
    /// over.
    ///
    /// # Errors
    ///
    /// [`ServerError::Model`].
    // Boxed, so that all the code of connections is compiled here, once, and as this crate is
    // optimized: that of a future is compiled in the crate that awaits it.
    pub fn run(self) -> BoxFuture<'static, Result<(), ServerError>> {
        Box::pin(self.serve())
    }

    async fn serve(self) -> Result<(), ServerError> {
        let Self { app, listener, operations, vosk, wyoming, announcement, audiosocket, models, .. } = self;
        let failed = Arc::new(OnceLock::new());
        let loading = {
            let (app, failed) = (Arc::clone(&app), Arc::clone(&failed));
            match models {
                Source::Here(models) => tokio::task::spawn_blocking(move || {
                    if let Err(error) = app.models.load(&app.engine, &models) {
                        let _ = failed.set(error);
                        app.drain.send_replace(true);
                    }
                }),
                Source::Elsewhere(models) => tokio::spawn(async move {
                    tokio::select! {
                        () = app.models.follow(models) => {}
                        () = app.drained() => {}
                    }
                }),
            }
        };
        let tended = {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                if let Some(state) = &app.state {
                    state.tend(app.models.ready()).await;
                }
            })
        };
        let (alive, mut ended) = mpsc::channel(1);
        let public = if operations.is_some() { Audience::Nobody } else { Audience::ThisMachine };
        let clients = Places::for_clients(&app.config);
        let on = |listener: Option<TcpListener>, places: &Arc<Places>, router: Router| {
            let (app, places, alive) = (Arc::clone(&app), Arc::clone(places), alive.clone());
            async move {
                if let Some(listener) = listener {
                    listener::accept(app, places, listener, router, alive).await;
                }
            }
        };
        let main = on(Some(listener), &clients, routes(&app, public));
        let health = health::routes(Audience::Everybody).with_state(Arc::clone(&app));
        let operations = on(operations, &Places::for_operations(), health);
        let vosk = on(vosk, &clients, Router::new().fallback(vosk::upgrade).with_state(Arc::clone(&app)));
        let wyoming = {
            let (app, places, alive) = (Arc::clone(&app), Arc::clone(&clients), alive.clone());
            async move {
                if let Some(listener) = wyoming {
                    listener::each(app, places, listener, alive, wyoming::serve).await;
                }
            }
        };
        let announced = async {
            if let Some(announcement) = announcement {
                announcement.run(&app).await;
            }
        };
        let calls = {
            let (app, alive) = (Arc::clone(&app), alive);
            async move {
                if let Some(listener) = audiosocket {
                    listener::each(app, clients, listener, alive, telephony::audiosocket::serve).await;
                }
            }
        };
        tokio::join!(main, operations, vosk, wyoming, announced, calls);
        app.parked.clear();
        // Until the last connection drops its end.
        let quiet = async {
            ended.recv().await;
            // Their last texts, too.
            if let Some(webhook) = &app.webhook {
                webhook.close().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(app.config.shutdown_seconds), quiet).await.is_err() {
            tracing::warn!(open = app.open.load(Ordering::Relaxed), "ending with streams that are not done");
        }
        tended.abort();
        if let Some(state) = &app.state {
            state.flush().await;
        }
        // It may still compile; the runtime waits for it.
        drop(loading);
        match Arc::into_inner(failed).and_then(OnceLock::into_inner) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

impl Control {
    /// Waits until the models are loaded.
    pub async fn ready(&self) {
        self.0.models.ready().await;
    }

    /// Ends the server, with grace: see [`Server::run`].
    pub fn drain(&self) {
        self.0.drain.send_replace(true);
    }

    /// Takes over tenants and certificate of another configuration; the rest needs a restart.
    /// Nothing changes on an error.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn reload(&self, config: &Config) -> Result<(), ConfigError> {
        config.check()?;
        if config.tenants.is_empty() && !self.0.config.tenants.is_empty() {
            return Err(ConfigError::Value {
                key: "tenants".to_owned(),
                message: "a server with tenants does not become open while it runs; restart it".to_owned(),
            });
        }
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
        self.0.tenants.replace(&config.tenants);
        self.0.parked.end_revoked();
        if acceptor.is_some() && self.0.config.tls.is_some() {
            *self.0.tls.write() = acceptor;
        }
        Ok(())
    }
}

fn no_thread(cause: std::io::Error) -> Error {
    Error::System { what: "cannot start a thread".to_owned(), cause }
}

fn open_state(folder: &Path, config: &Config) -> Result<native_ws::StateFolder, ServerError> {
    native_ws::StateFolder::open(folder, Duration::from_secs(config.resume_seconds))
        .map_err(|cause| ServerError::State { folder: folder.to_owned(), cause })
}

fn announcement(config: &Config, wyoming: Option<&TcpListener>) -> Result<Option<Announcement>, ServerError> {
    let (Some(name), Some(wyoming)) = (&config.zeroconf, wyoming) else { return Ok(None) };
    let failed = |reason: String| ServerError::Zeroconf { reason };
    let listening = wyoming.local_addr().map_err(|error| failed(error.to_string()))?;
    Announcement::new(name, listening).map(Some).map_err(|error| failed(error.to_string()))
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restarted server need not wait for the rest of its old connections.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|cause| ServerError::Listen { address, cause })
}

fn routes(app: &Arc<App>, metrics: Audience) -> Router {
    let routes = Router::new()
        .route("/v1/stream", get(native_ws::upgrade))
        .route("/v1/watch/{name}", get(broadcast::upgrade))
        .route("/v1/twilio", get(telephony::twilio::upgrade))
        .route("/v1/vapi", get(telephony::upgrade::<telephony::vapi::Vapi>))
        .route("/v1/jambonz", get(telephony::upgrade::<telephony::jambonz::Jambonz>))
        .route("/", get(vosk::or_page))
        .route("/v1/realtime", get(realtime::upgrade))
        .route("/v1/realtime/client_secrets", post(realtime::create_secret))
        .merge(page::routes())
        .merge(openai::routes())
        .merge(deepgram::routes())
        .merge(health::routes(metrics))
        .fallback(openai::nothing_here)
        .with_state(Arc::clone(app));
    // Around all of them, since a router adds to its layers' answers: the permitted methods, say.
    Router::new()
        .fallback_service(routes)
        .layer(axum::middleware::from_fn(errors::in_json))
        .layer(axum::middleware::from_fn(ticket::slow_down_strangers))
        .layer(axum::middleware::from_fn(unread::discard))
}
