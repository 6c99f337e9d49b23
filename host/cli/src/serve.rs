//! `hearken serve`: transcription for programs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hearken::{Engine, ModelSource};
use hearken_cluster::Gateway;
use hearken_server::{Config, Control, Elsewhere, Key, LogFormat, NamedModel, Server, Unkeyed, Webhook};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::cluster::NatsArgs;
use super::{Failure, MediaArgs, ModelArgs, complain, model};

/// The name of a server's only model where the configuration gives none.
const ONLY_MODEL: &str = "hearken";

/// Environment variable with the secret of `--webhook`.
const WEBHOOK_SECRET: &str = "HEARKEN_WEBHOOK_SECRET";

/// Threads that move bytes. Recognition has its own; these hardly work.
const MOST_WORKERS: usize = 4;

/// Niceness of the threads that move bytes. What strangers and a tenant's messages cost there is
/// work beside recognition, and takes a third of a core from a final text instead of half. With
/// more, a stream waits for its own bytes while others are recognized (`make neighbors` shows
/// both).
const NICE: i32 = 3;

/// Threads that wait for the disk when uploads are written. Nothing else that takes long runs on
/// them.
const WRITERS: usize = 16;

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "SIGTERM or Ctrl-C ends it: running streams get their final texts, or with --state go on with the next\n\
    server. A second signal stops it immediately. SIGHUP reads\n\
    tenants, keys and the certificate of the configuration again. HEARKEN_LOG=debug logs more.\n\n\
    Examples:\n  \
    hearken serve                                     for programs on this machine, without keys\n  \
    hearken serve --config hearken.toml               for tenants: see docs/operations.md\n  \
    hearken serve --state /var/lib/hearken/streams    streams survive a restart\n  \
    hearken serve --wyoming 0.0.0.0:10300 --zeroconf  for Home Assistant as well, which finds it\n  \
    hearken serve --audiosocket 0.0.0.0:9092          for Asterisk's calls as well\n  \
    hearken serve --webhook https://host/calls        posts the texts of telephone calls there\n  \
    hearken serve --nats nats://host:4222             with the sandboxes at `hearken worker`s: see docs/operations.md\n  \
    hearken serve key                                 a new key, and its hash for the configuration\n  \
    curl http://127.0.0.1:8080/v1/audio/transcriptions -F file=@talk.mp3 -F model=whisper-1"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Tenants, models, limits, TLS: a TOML file
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port [default: the configuration's, else 127.0.0.1:8080]
    #[arg(long, short, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Also serve Home Assistant and other clients of Wyoming, at this address; the protocol has no
    /// keys
    #[arg(long, value_name = "ADDRESS")]
    wyoming: Option<SocketAddr>,
    /// Announce Wyoming's address on the local network under this name, so that Home Assistant
    /// finds it (zeroconf)
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "hearken")]
    zeroconf: Option<String>,
    /// Also take calls that Asterisk sends over AudioSocket, at this address; the protocol has no
    /// keys, and a call's text is at /v1/watch/UUID
    #[arg(long, value_name = "ADDRESS")]
    audiosocket: Option<SocketAddr>,
    /// Post the final texts of telephone calls to this address, as JSON, signed with the secret in
    /// the environment variable HEARKEN_WEBHOOK_SECRET: see docs/server.md
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Also serve clients of Vosk at an address of their own (they are always served at the path /)
    #[arg(long, value_name = "ADDRESS")]
    vosk: Option<SocketAddr>,
    /// Also offer the page that recognizes in the browser itself, without sending audio: the folder
    /// target/web of `make wasi web`
    #[arg(long, value_name = "FOLDER")]
    web: Option<PathBuf>,
    /// Keep the streams of hearken's own protocol in this folder: a restarted server goes on with
    /// them when their clients come back, also after a crash. Nobody else may read the folder, and
    /// no other server may use it
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Drop rights to files, programs, sockets and system calls that a server does not need
    /// (Linux): see docs/security.md
    #[arg(long)]
    hardened: bool,
    /// Recognize at workers (`hearken worker`) that are connected to this NATS server, with their
    /// models: nats://host:4222, or tls://host:4222
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// Credentials for NATS: a file as `nsc generate creds` writes it
    #[arg(long, value_name = "FILE", requires = "nats")]
    nats_creds: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    media: MediaArgs,
}

/// Addresses that replace those of the configuration.
#[derive(Clone, Copy)]
struct Addresses {
    listen: Option<SocketAddr>,
    wyoming: Option<SocketAddr>,
    audiosocket: Option<SocketAddr>,
    vosk: Option<SocketAddr>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make a key for a tenant
    Key,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if let Some(Command::Key) = args.command {
        return make_key();
    }
    let config = args.configuration()?;
    start_log(config.log);
    let models = match &args.nats {
        None => models(&config, &args.model)?,
        Some(_) if args.model.is_named() => {
            return Err(Failure::usage("--nats and --model exclude each other: the models are the workers'"));
        }
        // A connection to NATS that breaks is made anew.
        Some(_) if args.hardened => {
            return Err(Failure::usage(
                "--nats and --hardened exclude each other: a gateway opens connections",
            ));
        }
        Some(_) => Vec::new(),
    };
    let media = args.media.read()?;
    raise_file_limit();
    if args.hardened {
        // Before there is another thread.
        args.give_up_files(&config, &models)?;
    }
    if let Some(media) = media {
        media.add()?;
    }
    let engine = args.model.engine()?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        // The gateway lives as long as the server.
        let (server, _gateway) = match &args.nats {
            None => (Server::bind(config, engine, models).await?, None),
            Some(nats) => {
                let nats = NatsArgs { nats: nats.clone(), nats_creds: args.nats_creds.clone() };
                let gateway = Gateway::start(nats.connect("hearken gateway").await?, &engine).await?;
                let elsewhere = Elsewhere {
                    models: gateway.models(),
                    capacity: Box::new(gateway.capacity()),
                    demand: Box::new(gateway.demand_of_others()),
                    workers: Box::new(gateway.workers()),
                };
                complain("connected to NATS; ready when a worker is");
                (Server::gateway(config, engine, elsewhere).await?, Some(gateway))
            }
        };
        let (url, control) = (server.url(), server.control());
        let vosk =
            server.vosk_address().map(|address| format!("serving ws{}://{address} (Vosk)", secure(&url)));
        let wyoming = server.wyoming_address().map(|address| format!("serving tcp://{address} (Wyoming)"));
        let calls =
            server.audiosocket_address().map(|address| format!("serving tcp://{address} (AudioSocket)"));
        let signals = tokio::spawn(watch(args.config.clone(), args.addresses(), control.clone())?);
        if args.hardened {
            super::hardened::restrict_calls()?;
        }
        let greet = tokio::spawn(async move {
            control.ready().await;
            complain(&format!(
                "serving {url}/v1 (OpenAI's and Deepgram's interfaces) and ws{}/v1/stream",
                &url[4..]
            ));
            vosk.iter().chain(&wyoming).chain(&calls).for_each(|more| complain(more));
        });
        let ended = server.run().await;
        greet.abort();
        signals.abort();
        ended?;
        Ok(ExitCode::SUCCESS)
    });
    // Recordings that were not done in their time are not waited for.
    runtime.shutdown_background();
    ended
}

impl Args {
    fn configuration(&self) -> Result<Config, Failure> {
        let mut config = read(self.config.as_deref(), self.addresses())?;
        config.web = self.web.clone().or(config.web);
        config.state = self.state.clone().or(config.state);
        config.zeroconf = self.zeroconf.clone().or(config.zeroconf);
        if let Some(url) = &self.webhook {
            config.webhook = Some(webhook(url, config.webhook.as_ref())?);
        }
        if self.hardened && config.webhook.is_some() {
            return Err(Failure::usage(
                "a webhook and --hardened exclude each other: a webhook opens connections",
            ));
        }
        if self.hardened && config.zeroconf.is_some() {
            return Err(Failure::usage(
                "zeroconf and --hardened exclude each other: an announcement opens sockets; let another program announce it (`avahi-publish -s hearken _wyoming._tcp 10300`)",
            ));
        }
        Ok(config)
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            listen: self.listen,
            wyoming: self.wyoming,
            audiosocket: self.audiosocket,
            vosk: self.vosk,
        }
    }

    /// Gives up all files but the server's own, and connecting to others.
    fn give_up_files(&self, config: &Config, models: &[NamedModel]) -> Result<(), Failure> {
        let tls = config.tls.iter().flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]);
        let models = models.iter().filter_map(|model| match &model.source {
            ModelSource::File(path) => Some(path.clone()),
            _ => None,
        });
        let needs = super::hardened::Needs {
            written: Engine::user_cache_dir()
                .into_iter()
                .chain([std::env::temp_dir()])
                .chain(config.state.clone())
                .collect(),
            read: self
                .config
                .clone()
                .into_iter()
                .chain(tls)
                .chain(models)
                .chain(config.web.clone())
                .collect(),
            listen: [config.listen]
                .into_iter()
                .chain(config.operations)
                .chain(config.vosk)
                .chain(config.wyoming.iter().chain(&config.audiosocket).map(|unkeyed| unkeyed.listen))
                .collect(),
        };
        super::hardened::restrict_files(&needs)
    }
}

/// Models of the configuration, else the one that every other command would use.
pub(super) fn models(config: &Config, args: &ModelArgs) -> Result<Vec<NamedModel>, Failure> {
    if config.models.is_empty() {
        return Ok(vec![NamedModel { name: ONLY_MODEL.to_owned(), source: args.source()? }]);
    }
    if args.is_named() {
        return Err(Failure::usage("--model and [models] of the configuration exclude each other; use one"));
    }
    let named = config.models.iter().map(|(name, source)| {
        let source =
            if source == Path::new("embedded") { ModelSource::Embedded } else { model::find(source)?.0 };
        Ok(NamedModel { name: name.clone(), source })
    });
    named.collect()
}

/// The threads that move bytes.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("hearken-io")
        .on_thread_start(|| {
            // The calling thread's alone.
            let _ = setpriority_process(None, NICE);
        })
        .max_blocking_threads(WRITERS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the threads that move bytes: {error}")))
}

/// A webhook at this address, with the secret in the environment, or that of the configuration.
fn webhook(url: &str, configured: Option<&Webhook>) -> Result<Webhook, Failure> {
    let secret = std::env::var(WEBHOOK_SECRET).ok();
    let secret = secret.or_else(|| configured.map(|webhook| webhook.secret.clone()));
    let secret = secret.ok_or_else(|| {
        Failure::usage(format!(
            "--webhook needs a secret, with which its requests are signed: put one of at least 16 bytes into {WEBHOOK_SECRET}"
        ))
    })?;
    Ok(Webhook::new(url, secret))
}

/// The letter that a WebSocket's scheme has more where there is TLS.
fn secure(url: &str) -> &'static str {
    if url.starts_with("https") { "s" } else { "" }
}

fn read(file: Option<&Path>, addresses: Addresses) -> Result<Config, Failure> {
    let mut config = match file {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    config.listen = addresses.listen.unwrap_or(config.listen);
    config.vosk = addresses.vosk.or(config.vosk);
    for (address, configured) in
        [(addresses.wyoming, &mut config.wyoming), (addresses.audiosocket, &mut config.audiosocket)]
    {
        match (address, configured) {
            (None, _) => {}
            (Some(listen), Some(unkeyed)) => unkeyed.listen = listen,
            (Some(listen), none) => *none = Some(Unkeyed::at(listen)),
        }
    }
    Ok(config)
}

fn make_key() -> Result<ExitCode, Failure> {
    let key = Key::generate().map_err(|error| Failure::new(format!("no randomness for a key: {error}")))?;
    println!("key   {}   (for the tenant; it is kept nowhere)", key.expose());
    println!("hash  {}   (for `keys` in the configuration)", key.hash());
    Ok(ExitCode::SUCCESS)
}

/// Starts logging to standard error. Logs contain no recognized text.
pub(super) fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("HEARKEN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // Only one thing in a process logs: this is the first.
    let _ = match format {
        LogFormat::Json => log.json().try_init(),
        _ => log.with_target(false).try_init(),
    };
}

/// A connection is an open file, and many systems allow a thousand unless they are asked for more.
pub(super) fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!("the limit of open files could not be raised");
    }
}

/// Handles the signals, until the task is ended.
fn watch(
    file: Option<PathBuf>,
    addresses: Addresses,
    control: Control,
) -> Result<impl Future<Output = ()> + Send, Failure> {
    let watch =
        |kind| signal(kind).map_err(|error| Failure::new(format!("cannot watch for signals: {error}")));
    let mut interrupt = watch(SignalKind::interrupt())?;
    let mut terminate = watch(SignalKind::terminate())?;
    let mut hangup = watch(SignalKind::hangup())?;
    Ok(async move {
        let mut ending = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {
                    reload(file.as_deref(), addresses, &control);
                    continue;
                }
            }
            if std::mem::replace(&mut ending, true) {
                // Asked twice.
                std::process::exit(130);
            }
            tracing::info!("ending: streams get their final texts");
            control.drain();
        }
    })
}

fn reload(file: Option<&Path>, addresses: Addresses, control: &Control) {
    let Some(path) = file else {
        tracing::info!("there is no configuration to read again");
        return;
    };
    let reloaded = read(Some(path), addresses)
        .map_err(|failure| failure.message)
        .and_then(|config| control.reload(&config).map_err(|error| error.to_string()));
    match reloaded {
        Ok(()) => tracing::info!("tenants, keys and certificate were read again"),
        Err(error) => tracing::error!("the configuration stays as it was: {error}"),
    }
}
