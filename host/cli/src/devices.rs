//! `hearken devices`: lists the devices for `hearken live`.

use std::io::{self, Write};
use std::process::ExitCode;

use console::measure_text_width;
use hearken::capture::{Backend, Device, Kind, System};
use serde_json::json;

use super::{Failure, in_printing};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Every sound system of this machine, not only the default one
    #[arg(long)]
    all: bool,
    /// A JSON list of {id, name, kind, default, sample_rate, channels, sound_system}
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let systems = if args.all {
        // A host that does not answer counts as one without devices.
        System::names().iter().filter_map(|name| System::named(name).ok()).collect()
    } else {
        vec![System::new()?]
    };
    let mut found = Vec::new();
    for system in systems {
        let devices = system.devices()?;
        found.extend(devices.into_iter().map(|device| (system.name(), device)));
    }
    let mut out = io::stdout().lock();
    let written = if args.json {
        let list: Vec<_> = found.iter().map(|(system, device)| object(system, device)).collect();
        serde_json::to_writer_pretty(&mut out, &list).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else if found.is_empty() {
        return Err(Failure::new("this machine has no device to listen to; plug in a microphone"));
    } else {
        table(&found, args.all).iter().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(in_printing(&error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn object(system: &str, device: &Device) -> serde_json::Value {
    json!({
        "id": device.id,
        "name": device.name,
        "kind": kind(device),
        "default": device.default,
        "sample_rate": device.format.map(|format| format.sample_rate),
        "channels": device.format.map(|format| format.channels),
        "sound_system": system,
    })
}

fn kind(device: &Device) -> &'static str {
    match device.kind {
        Kind::Microphone => "microphone",
        Kind::System => "system",
        _ => "other",
    }
}

/// Lines with columns under each other.
fn table(found: &[(String, Device)], all: bool) -> Vec<String> {
    let mut rows = vec![["", "KIND", "NAME", "FORMAT", "ID", "SOUND SYSTEM"].map(str::to_owned)];
    rows.extend(found.iter().map(|(system, device)| {
        let format = device.format.map(|format| format!("{} Hz × {}", format.sample_rate, format.channels));
        [
            if device.default { "*" } else { "" }.to_owned(),
            kind(device).to_owned(),
            device.name.clone(),
            format.unwrap_or_else(|| "unknown".to_owned()),
            device.id.clone(),
            if all { system.clone() } else { String::new() },
        ]
    }));
    if !all {
        rows[0][5].clear();
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths);
        let cells =
            cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width - measure_text_width(cell))));
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}
