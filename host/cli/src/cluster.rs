//! `hearken cluster`: a look at gateways and workers.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

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
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let Command::Status { nats } = &args.command;
    let status = serve::runtime()?.block_on(async {
        let link = nats.connect("hearken cluster status").await?;
        status(&link).await
    })?;
    // A pager that was closed has seen enough.
    let _ = write(&mut io::stdout().lock(), &status);
    Ok(ExitCode::SUCCESS)
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
