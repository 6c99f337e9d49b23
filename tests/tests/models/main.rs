//! Models by name: whatever a server does, a file takes its name only when it is the model, and
//! what has come is not fetched twice.

mod command;
mod folder;
mod import;
mod lies;
mod server;
mod transfer;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use hearken::store::{Entry, PullProgress, Puller, Record, Store, StoreError, Stored, Verified};
use hearken_tests::guest::hex;
use hearken_tests::model::SyntheticModel;
use server::{Client, Request, Server};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A store in a folder of its own.
struct Place {
    _folder: TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Not there yet: pulling makes it.
        let store = Store::at(folder.path().join("models"));
        Self { _folder: folder, store }
    }

    /// Quick to lose patience.
    fn puller(&self, server: &Server) -> Puller<'_> {
        let puller = Puller::new(&self.store).endpoint(&server.address).direct();
        puller.attempts(3).back_off(Duration::from_millis(1))
    }

    fn pull(&self, server: &Server, entry: &Entry) -> Result<Stored, StoreError> {
        self.puller(server).pull(entry, |_| {})
    }

    fn names(&self) -> Vec<String> {
        names(self.store.folder())
    }

    fn part(&self, entry: &Entry) -> PathBuf {
        self.store.folder().join(format!("{}.part", entry.file()))
    }

    /// Bytes that were kept.
    fn kept(&self, entry: &Entry) -> u64 {
        fs::metadata(self.part(entry)).map_or(0, |metadata| metadata.len())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn model() -> Vec<u8> {
    SyntheticModel::smallest().bytes()
}

fn entry(file: &[u8]) -> Entry {
    Entry::new("mine", "me/models/resolve/main/ggml-mine.bin", file.len() as u64, &hex(&Sha256::digest(file)))
        .unwrap()
}

/// The server misbehaves once, then gives the file.
fn once(file: Vec<u8>, bad: impl Fn(&[u8], &Request, &mut Client) + Send + Sync + 'static) -> Server {
    Server::start(move |before, request, client| match before {
        0 => bad(&file, request, client),
        _ => client.serve(request, &file, usize::MAX),
    })
}
