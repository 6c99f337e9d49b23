//! `hearken cluster`: a look at gateways and workers, and a plan for how many there should be.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use hearken_cluster::plan::Demand;
use hearken_cluster::{ClusterError, Link, NatsOptions, Status, status};

use super::{Failure, serve};

/// Options for the connection to NATS.
#[derive(clap::Args)]
pub(crate) struct NatsArgs {
    /// NATS server with JetStream: nats://host:4222, or tls://host:4222; several with commas
    /// between them
    #[arg(long, value_name = "URL")]
    pub(super) nats: String,
    /// Credentials for NATS: a file as `nsc generate creds` writes it
    #[arg(long, value_name = "FILE")]
    pub(super) nats_creds: Option<PathBuf>,
}

impl NatsArgs {
    /// Connects as `name`, which NATS shows to its operator.
    pub(crate) async fn connect(&self, name: &str) -> Result<Link, ClusterError> {
        let options = NatsOptions::new(self.nats.clone()).credentials(self.nats_creds.clone());
        Link::connect(&options, name).await
    }
}

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List workers with their load and version, gateways, and what waits for a worker
    #[command(after_help = "Example:\n  hearken cluster status --nats nats://host:4222")]
    Status {
        #[command(flatten)]
        nats: NatsArgs,
    },
    /// Simulate how many workers and gateways streams need, and what they send over NATS
    #[command(
        after_help = "The cost of speech is that of a model on a machine: `hearken bench` shows how many streams a core takes, and\n\
        hearken_decode_cpu_seconds_total of a running server what they took.\n\n\
        Example:\n  hearken cluster plan --streams 1000,10000 --cost 0.54 --threads 8"
    )]
    Plan(PlanArgs),
}

#[derive(clap::Args)]
struct PlanArgs {
    /// Open streams; several numbers with commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "100,1000,10000,100000,1000000",
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    streams: Vec<u64>,
    /// Part of the time in which somebody speaks
    #[arg(long, value_name = "0..1", default_value_t = Demand::default().speaking)]
    speaking: f64,
    /// Mean length of an utterance, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = Demand::default().utterance.as_secs_f64())]
    utterance: f64,
    /// CPU seconds of a worker for each second of speech, partial texts included
    #[arg(long, value_name = "SECONDS", default_value_t = Demand::default().cost)]
    cost: f64,
    /// CPU seconds of a gateway for each second of a stream
    #[arg(long, value_name = "SECONDS", default_value_t = Demand::default().gateway_cost)]
    gateway_cost: f64,
    /// Cores of each worker and each gateway
    #[arg(long, value_name = "N", default_value_t = Demand::default().threads)]
    threads: f64,
    /// Longest time that 99 of 100 utterances wait for a worker, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 50)]
    wait: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let nats = match &args.command {
        Command::Status { nats } => nats,
        Command::Plan(args) => return plan(args),
    };
    let status = serve::runtime()?.block_on(async {
        let link = nats.connect("hearken cluster status").await?;
        status(&link).await
    })?;
    // A pager that was closed has seen enough.
    let _ = write(&mut io::stdout().lock(), &status);
    Ok(ExitCode::SUCCESS)
}

fn plan(args: &PlanArgs) -> Result<ExitCode, Failure> {
    let utterance = Duration::try_from_secs_f64(args.utterance)
        .map_err(|_| Failure::usage("--utterance is a length in seconds, such as 4"))?;
    let mut out = io::stdout().lock();
    let heads =
        ["streams", "speaking", "workers", "gateways", "wait", "queue", "messages", "news", "traffic"];
    let units = ["", "", "", "", "p99, ms", "messages/s", "messages/s", "messages/s", "MB/s"];
    for (line, &streams) in args.streams.iter().enumerate() {
        let mut demand = Demand::default();
        (demand.streams, demand.speaking, demand.utterance) = (streams, args.speaking, utterance);
        (demand.cost, demand.gateway_cost, demand.threads) = (args.cost, args.gateway_cost, args.threads);
        demand.wait = Duration::from_millis(args.wait);
        let plan = demand.plan().ok_or_else(|| {
            Failure::usage(
                "these numbers are no cluster: all must be above 0, and a worker's --threads more than one utterance's --cost",
            )
        })?;
        if line == 0 {
            for texts in [heads, units] {
                let _ = writeln!(out, "{}", row(texts));
            }
        }
        let whole = |number: f64| format!("{number:.0}");
        // A pager that was closed has seen enough. The largest takes some seconds.
        let _ = writeln!(
            out,
            "{}",
            row([
                &streams.to_string(),
                &whole(plan.speaking),
                &plan.workers.to_string(),
                &plan.gateways.to_string(),
                &whole(plan.wait.as_secs_f64() * 1e3),
                &whole(plan.queued),
                &whole(plan.messages),
                &whole(plan.news),
                &format!("{:.1}", plan.bytes / 1e6),
            ])
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A line of the plan's table.
fn row(texts: [&str; 9]) -> String {
    texts.iter().map(|text| format!("{text:>11}")).collect()
}

fn write(out: &mut impl Write, status: &Status) -> io::Result<()> {
    writeln!(
        out,
        "{:<28} {:<10} {:<8} {:>7} {:>12}  models",
        "worker", "version", "wire", "threads", "utterances"
    )?;
    for worker in &status.workers {
        let name = format!("{}/{}", worker.host, worker.pid);
        let load = format!("{} of {}", worker.sandboxes, worker.room);
        let models = worker.models.join(", ");
        let end = if worker.draining { " (ending)" } else { "" };
        writeln!(
            out,
            "{name:<28} {:<10} {:<8} {:>7.1} {load:>12}  {models}{end}",
            worker.version, worker.wire, worker.threads
        )?;
    }
    let same = |wire: &str| wire == status.wire;
    let threads: f64 = status
        .workers
        .iter()
        .filter(|worker| same(&worker.wire) && !worker.draining)
        .map(|worker| worker.threads)
        .sum();
    let gateways = status.gateways.iter().filter(|gateway| same(&gateway.wire));
    let (needed, speaking) = gateways.fold((0.0, 0_u64), |(sum, all), gateway| {
        (sum + gateway.threads, all.saturating_add(gateway.speaking))
    });
    writeln!(
        out,
        "{} gateways, {speaking} streams that speak and need {needed:.1} of {threads:.1} threads (wire {})",
        status.gateways.len(),
        status.wire
    )?;
    writeln!(out, "{} utterances wait for a worker with room", status.waiting)
}
