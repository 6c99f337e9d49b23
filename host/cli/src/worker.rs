//! `hearken worker`: sandboxes for gateways.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hearken::{Model, Share};
use hearken_cluster::{Offered, Worker, WorkerView};
use hearken_server::{Config, Observed, Operations};
use tokio::signal::unix::{SignalKind, signal};

use super::cluster::NatsArgs;
use super::{Failure, ModelArgs, complain, serve};

#[derive(clap::Args)]
#[command(
    after_help = "SIGTERM or Ctrl-C ends it: it takes no more utterances, completes those that it has, and hands over what is\n\
    left after --grace. Again ends it at once. HEARKEN_LOG=debug logs more.\n\n\
    Examples:\n  \
    nats-server --jetstream                                              what all of them connect to\n  \
    hearken worker --nats nats://host:4222 --model base.en               sandboxes, on as many machines as needed\n  \
    hearken serve --nats nats://host:4222 --config hearken.toml          a gateway: clients connect to it\n  \
    hearken cluster status --nats nats://host:4222                       what is there, and how busy"
)]
pub(crate) struct Args {
    #[command(flatten)]
    nats: NatsArgs,
    /// A server's configuration, of which [models], `operations` and `log` are read: several
    /// models, by name
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Utterances that it serves at the same time [default: as many as its threads have time for,
    /// measured at start]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    room: Option<u32>,
    /// Seconds that utterances have to end after SIGTERM, before other workers take over
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    grace: u16,
    /// Answer /healthz, /readyz and /metrics (Prometheus) at this address, without keys [default:
    /// the configuration's `operations`, else nowhere]
    #[arg(long, value_name = "ADDRESS")]
    operations: Option<SocketAddr>,
    #[command(flatten)]
    model: ModelArgs,
}

/// A worker, as its metrics show it.
struct Shown(WorkerView);

impl Observed for Shown {
    fn is_ready(&self) -> bool {
        !self.0.is_draining()
    }

    fn models(&self) -> Vec<(String, Model)> {
        self.0.offered().iter().map(|offered| (offered.name.clone(), offered.model.clone())).collect()
    }

    fn shares(&self) -> Vec<(Arc<str>, Share)> {
        self.0.shares()
    }

    fn room(&self) -> u32 {
        self.0.room()
    }

    fn sandboxes(&self) -> usize {
        self.0.sandboxes()
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    serve::start_log(config.log);
    let models = serve::models(&config, &args.model)?;
    serve::raise_file_limit();
    let runtime = serve::runtime()?;
    // Before the models are loaded, which may take long.
    let link = runtime.block_on(args.nats.connect("hearken worker"))?;
    let operations = args.operations.or(config.operations);
    // Before the models are loaded, too: an address that is taken is a mistake that is soon seen.
    let operations = runtime.block_on(async { operations.map(Operations::bind).transpose() })?;
    if let Some(address) = operations.as_ref().and_then(Operations::address) {
        complain(&format!("health and metrics at http://{address}"));
    }
    let engine = args.model.engine()?;
    let mut offered = Vec::new();
    for named in models {
        let model = engine.load(&named.source)?;
        if let Err(error) = model.rehearse() {
            tracing::warn!(model = named.name, %error, "what its speech costs could not be measured yet");
        }
        offered.push(Offered { name: named.name, model });
    }
    let names = offered.iter().map(|offered| offered.name.as_str()).collect::<Vec<_>>().join(", ");
    let ended: Result<ExitCode, Failure> = runtime.block_on(async {
        let stop = stop()?;
        let worker = Worker::start(link, offered, args.room).await?;
        complain(&format!("working: room for {} utterances at a time, models: {names}", worker.room()));
        if let Some(operations) = operations {
            tokio::spawn(operations.serve(Arc::new(Shown(worker.view()))));
        }
        worker.run(stop, Duration::from_secs(args.grace.into())).await;
        Ok(ExitCode::SUCCESS)
    });
    runtime.shutdown_background();
    ended
}

/// Waits for a signal to end. Another one ends the process at once.
fn stop() -> Result<impl Future<Output = ()> + Send, Failure> {
    let watch =
        |kind| signal(kind).map_err(|error| Failure::new(format!("cannot watch for signals: {error}")));
    let (mut interrupt, mut terminate) = (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?);
    let (ask, asked) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut ask = Some(ask);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match ask.take() {
                Some(ask) => drop(ask.send(())),
                None => std::process::exit(130),
            }
        }
    });
    Ok(async move {
        // Its sender lives until a signal comes.
        let _ = asked.await;
    })
}
