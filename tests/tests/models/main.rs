//! Models by name: whatever a server does, a file takes its name only when it is the model, and what has come is not
//! fetched twice.

mod command;
mod server;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use hearken::store::{Entry, PullProgress, Puller, Record, Store, StoreError, Stored, Verified};
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
    let sha256: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
    Entry::new("mine", "me/models/resolve/main/ggml-mine.bin", file.len() as u64, &sha256).unwrap()
}

/// The server misbehaves once, then gives the file.
fn once(file: Vec<u8>, bad: impl Fn(&[u8], &Request, &mut Client) + Send + Sync + 'static) -> Server {
    Server::start(move |before, request, client| match before {
        0 => bad(&file, request, client),
        _ => client.serve(request, &file, usize::MAX),
    })
}

#[test]
fn a_model_is_pulled_whole_and_loads() {
    let (place, file) = (Place::new(), model());
    let (server, entry) = (Server::good(file.clone()), entry(&file));
    let mut seen = Vec::new();
    let pulled = place.puller(&server).pull(&entry, |progress| seen.push(progress)).unwrap();
    assert_eq!(fs::read(&pulled.path).unwrap(), file);
    assert_eq!(place.names(), ["ggml-mine.bin", "ggml-mine.bin.json"]);
    let total = file.len() as u64;
    assert!(seen.contains(&PullProgress::Received { bytes: total, total }), "{:?}", seen.last());
    assert_eq!(seen.last(), Some(&PullProgress::Checking));
    let [request] = server.requests().try_into().unwrap();
    assert_eq!(
        (request.path.as_str(), request.header("range")),
        ("/me/models/resolve/main/ggml-mine.bin", None)
    );
    // It is recorded what was pulled, and from where.
    let record = Record::read(&pulled.path).unwrap();
    assert_eq!(record.blake3, hearken::model::check(&file[..], total).unwrap().hash.to_hex().as_str());
    assert_eq!((record.sha256.as_str(), record.bytes), (entry.sha256(), total));
    assert_eq!(record.source, format!("{}/{}", server.address, entry.path()));
    // The second time nothing is fetched.
    let mut seen = Vec::new();
    place.puller(&server).pull(&entry, |progress| seen.push(progress)).unwrap();
    assert_eq!((seen, server.requests().len()), (vec![PullProgress::Here], 1));
    // With force it is.
    place.puller(&server).force(true).pull(&entry, |_| {}).unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_broken_connection_goes_on_where_it_broke() {
    let (place, file) = (Place::new(), model());
    let half = file.len() / 2;
    let server = once(file.clone(), move |file, request, client| client.serve(request, file, half));
    place.pull(&server, &entry(&file)).unwrap();
    let [_, second] = server.requests().try_into().unwrap();
    assert_eq!(second.from(), half);
    assert_eq!(second.header("if-range"), Some("\"one\""), "only of the same file");
    assert_eq!(server.sent(), file.len(), "no byte came twice");
}

#[test]
fn a_connection_that_always_breaks_is_given_up_and_the_part_is_kept() {
    let (place, file) = (Place::new(), model());
    let (entry, some) = (entry(&file), 64 << 10);
    let server = {
        let file = file.clone();
        Server::start(move |_, request, client| client.serve(request, &file, some))
    };
    let error = place.pull(&server, &entry).unwrap_err();
    let StoreError::Broken { kept, .. } = error else { panic!("{error}") };
    assert_eq!((kept, server.requests().len()), (3 * some as u64, 3));
    assert_eq!(place.names(), ["ggml-mine.bin.part"]);
    // Another day, another process: the rest is enough.
    let server = Server::good(file.clone());
    let pulled = place.pull(&server, &entry).unwrap();
    assert_eq!(server.requests()[0].from() as u64, kept);
    assert_eq!(server.sent() as u64, file.len() as u64 - kept);
    assert_eq!(fs::read(pulled.path).unwrap(), file);
}

#[test]
fn a_line_that_breaks_often_but_brings_much_is_not_given_up() {
    let (place, file) = (Place::new(), model());
    let some = 1 << 20;
    assert!(file.len() / some >= 4, "more tries than are made in vain");
    let server = {
        let file = file.clone();
        Server::start(move |_, request, client| client.serve(request, &file, some))
    };
    place.pull(&server, &entry(&file)).unwrap();
    assert_eq!(server.sent(), file.len());
}

#[test]
fn a_part_of_another_file_does_not_spoil_the_model() {
    let (place, file) = (Place::new(), model());
    let (server, entry) = (Server::good(file.clone()), entry(&file));
    fs::create_dir_all(place.store.folder()).unwrap();
    fs::write(place.part(&entry), [7; 1000]).unwrap();
    let pulled = place.pull(&server, &entry).unwrap();
    assert_eq!(fs::read(pulled.path).unwrap(), file);
    let from: Vec<usize> = server.requests().iter().map(Request::from).collect();
    assert_eq!(from, [1000, 0]);
    // Nor one that is too long.
    fs::write(place.part(&entry), vec![7; file.len() + 1]).unwrap();
    place.puller(&server).force(true).pull(&entry, |_| {}).unwrap();
    assert_eq!(place.names(), ["ggml-mine.bin", "ggml-mine.bin.json"]);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let (place, file) = (Place::new(), model());
    let server = {
        let file = file.clone();
        Server::start(move |before, _, client| {
            client.head("200 OK", &format!("Content-Length: {}\r\n", file.len()));
            client.body(if before == 0 { &file[..100_000] } else { &file });
        })
    };
    let pulled = place.pull(&server, &entry(&file)).unwrap();
    assert_eq!(fs::read(pulled.path).unwrap(), file);
    assert_eq!(server.requests()[1].from(), 100_000);
}

#[test]
fn parts_that_were_not_asked_for_are_not_believed() {
    let file = model();
    let len = file.len();
    for range in
        ["Content-Range: bytes 5-9/LEN\r\n", "Content-Range: bytes */LEN\r\n", "Content-Range: what\r\n", ""]
    {
        let (place, entry) = (Place::new(), entry(&file));
        let range = range.replace("LEN", &len.to_string());
        let file = file.clone();
        let server = Server::start(move |before, request, client| match before {
            0 => client.serve(request, &file, 1000),
            1 => {
                client.head("206 Partial Content", &format!("Content-Length: {}\r\n{range}", len - 1000));
                client.body(&vec![9; len - 1000]);
            }
            _ => client.serve(request, &file, usize::MAX),
        });
        place.pull(&server, &entry).unwrap();
        assert_eq!(place.names(), ["ggml-mine.bin", "ggml-mine.bin.json"]);
    }
}

#[test]
fn a_range_beyond_the_end_starts_again() {
    let (place, file) = (Place::new(), model());
    let server = {
        let file = file.clone();
        Server::start(move |before, request, client| match before {
            0 => client.serve(request, &file, 1000),
            1 => client
                .status("416 Range Not Satisfiable", &format!("Content-Range: bytes */{}\r\n", file.len())),
            _ => client.serve(request, &file, usize::MAX),
        })
    };
    place.pull(&server, &entry(&file)).unwrap();
    let from: Vec<usize> = server.requests().iter().map(Request::from).collect();
    assert_eq!(from, [0, 1000, 0]);
}

#[test]
fn lengths_that_are_not_the_models_are_refused_at_once() {
    let file = model();
    for announced in [file.len() + 1, file.len() - 1, 0, usize::MAX] {
        let (place, file) = (Place::new(), file.clone());
        let entry = entry(&file);
        let server = Server::start(move |_, _, client| {
            client.head("200 OK", &format!("Content-Length: {announced}\r\n"));
            client.body(&file);
        });
        let error = place.pull(&server, &entry).unwrap_err();
        let StoreError::Length { expected, came, .. } = error else { panic!("{announced}: {error}") };
        assert_eq!((expected, came), (entry.bytes(), announced as u64));
        assert_eq!((server.requests().len(), place.kept(&entry)), (1, 0));
    }
}

#[test]
fn a_length_that_is_no_number_is_an_error() {
    for announced in ["99999999999999999999", "-1", "many", "0x10"] {
        let (place, file) = (Place::new(), model());
        let entry = entry(&file);
        let server = Server::start(move |_, _, client| {
            client.head("200 OK", &format!("Content-Length: {announced}\r\n"));
        });
        let error = place.pull(&server, &entry).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
        assert!(!place.store.path(&entry).exists(), "{announced}");
    }
}

#[test]
fn without_a_length_the_end_decides() {
    let (place, file) = (Place::new(), model());
    let server = once(file.clone(), |file, _, client| {
        client.head("200 OK", "");
        client.body(file);
    });
    place.pull(&server, &entry(&file)).unwrap();
    assert_eq!(server.requests().len(), 1);

    // More than there should be is not written, however much it is.
    let place = Place::new();
    let server = once(file.clone(), |file, _, client| {
        client.head("200 OK", "");
        client.body(file);
        client.body(&[0; 1 << 20]);
    });
    let error = place.pull(&server, &entry(&file)).unwrap_err();
    assert!(matches!(error, StoreError::Length { .. }), "{error}");
    assert_eq!(place.kept(&entry(&file)), 0);

    // Less is a broken connection.
    let place = Place::new();
    let server = once(file.clone(), |file, _, client| {
        client.head("200 OK", "");
        client.body(&file[..1000]);
    });
    place.pull(&server, &entry(&file)).unwrap();
    assert_eq!(server.requests()[1].from(), 1000);
}

#[test]
fn wrong_bytes_never_take_the_name() {
    let (place, file) = (Place::new(), model());
    let mut wrong = file.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let server = Server::good(wrong);
    let entry = entry(&file);
    let error = place.pull(&server, &entry).unwrap_err();
    let StoreError::Content { expected, came, .. } = &error else { panic!("{error}") };
    assert_eq!(expected, entry.sha256());
    assert_ne!(came, expected);
    assert!(
        error.to_string().contains(came.as_str()) && error.to_string().contains("HF_ENDPOINT"),
        "{error}"
    );
    assert_eq!(place.names(), [""; 0], "what came was removed");
}

#[test]
fn a_file_that_is_no_model_never_takes_the_name() {
    let (place, file) = (Place::new(), b"<html>not found</html>".repeat(1000));
    let error = place.pull(&Server::good(file.clone()), &entry(&file)).unwrap_err();
    let StoreError::Model { .. } = error else { panic!("{error}") };
    assert!(error.to_string().contains("a web page"), "{error}");
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn refusals_are_told_and_not_repeated() {
    for (status, words) in [
        ("404 Not Found", "HF_ENDPOINT"),
        ("401 Unauthorized", "who asks"),
        ("403 Forbidden", "who asks"),
        ("418 I'm a teapot", "418"),
        ("304 Not Modified", "304"),
    ] {
        let (place, file) = (Place::new(), model());
        let server = Server::start(move |_, _, client| client.status(status, ""));
        let error = place.pull(&server, &entry(&file)).unwrap_err();
        assert!(matches!(error, StoreError::Status { .. }), "{status}: {error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let (place, file) = (Place::new(), model());
    for status in ["503 Service Unavailable", "429 Too Many Requests", "500 Internal Server Error"] {
        let server = once(file.clone(), move |_, _, client| client.status(status, "Retry-After: 0\r\n"));
        let mut waits = Vec::new();
        let pull = place.puller(&server).force(true).back_off(Duration::from_secs(3600));
        pull.pull(&entry(&file), |progress| {
            if let PullProgress::Retrying { wait, .. } = progress {
                waits.push(wait);
            }
        })
        .unwrap();
        assert_eq!(waits, [Duration::ZERO], "its wish, and not ours");
    }
    // An hour is not waited for.
    let server =
        Server::start(|_, _, client| client.status("429 Too Many Requests", "Retry-After: 3600\r\n"));
    let error = place.puller(&server).force(true).pull(&entry(&file), |_| {}).unwrap_err();
    assert!(matches!(error, StoreError::Status { status: 429, .. }), "{error}");
    assert_eq!(server.requests().len(), 1);
    // Nor is one that never gets better.
    let server =
        Server::start(|_, _, client| client.status("500 Internal Server Error", "Retry-After: soon\r\n"));
    let error = place.puller(&server).force(true).pull(&entry(&file), |_| {}).unwrap_err();
    assert!(matches!(error, StoreError::Status { status: 500, .. }), "{error}");
    assert_eq!(server.requests().len(), 3);
    // What was there all the time still is.
    assert_eq!(fs::read(place.store.path(&entry(&file))).unwrap(), file);
}

#[test]
fn redirects_lead_to_other_hosts_and_not_in_circles() {
    let (place, file) = (Place::new(), model());
    let served = file.clone();
    let elsewhere =
        Server::start_on("127.0.0.2", move |_, request, client| client.serve(request, &served, usize::MAX));
    let target = elsewhere.address.clone();
    let server = Server::start(move |before, _, client| match before {
        0 => client.status("307 Temporary Redirect", "Location: /relative/path\r\n"),
        _ => client.status("302 Found", &format!("Location: {target}/somewhere\r\n")),
    });
    place.pull(&server, &entry(&file)).unwrap();
    assert_eq!(server.requests()[1].path, "/relative/path");
    assert_eq!(elsewhere.requests()[0].path, "/somewhere");

    let place = Place::new();
    let server = Server::start(|_, _, client| client.status("302 Found", "Location: /again\r\n"));
    let error = place.pull(&server, &entry(&file)).unwrap_err();
    assert!(matches!(error, StoreError::Redirect { .. }), "{error}");
    assert!(server.requests().len() <= 10);

    for location in
        ["", "Location: \r\n", "Location: http://\r\n", "Location: ftp://x/y\r\n", "Location: \x01\r\n"]
    {
        let place = Place::new();
        let server = Server::start(move |_, _, client| client.status("302 Found", location));
        let error = place.pull(&server, &entry(&file)).unwrap_err();
        assert!(!error.to_string().contains(char::is_control), "{location:?}: {error:?}");
        assert!(!place.store.path(&entry(&file)).exists());
    }
}

#[test]
fn a_server_that_says_nothing_more_is_given_up() {
    let (place, file) = (Place::new(), model());
    let entry = entry(&file);
    // Connections stay open until the test is over.
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let server = {
        let file = file.clone();
        Server::start(move |_, request, client| {
            client.serve(request, &file, 1000);
            let _ = held.lock().unwrap().recv();
        })
    };
    let idle = Duration::from_millis(100);
    let error = place.puller(&server).attempts(2).idle_timeout(idle).pull(&entry, |_| {}).unwrap_err();
    let StoreError::Stalled { idle: told, kept, .. } = error else { panic!("{error}") };
    assert_eq!(told, idle);
    assert!(kept >= 1000 && kept == place.kept(&entry), "{kept}");
    drop(hold);
}

#[test]
fn headers_without_end_or_sense_are_errors() {
    let floods: [fn(&mut Client); 5] = [
        |client| client.raw(&[b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 4 << 20]].concat()),
        |client| client.raw(&[b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(1 << 18)].concat()),
        |client| client.raw(b"\x00\xff\xfe garbage \r\n\r\n"),
        |client| client.raw(b"HTTP/1.1 999999 \x1b[2J\r\n\r\n"),
        |_| {},
    ];
    for (at, flood) in floods.into_iter().enumerate() {
        let (place, file) = (Place::new(), model());
        let server = Server::start(move |_, _, client| flood(client));
        let error = place.pull(&server, &entry(&file)).unwrap_err();
        assert!(matches!(error, StoreError::Broken { .. } | StoreError::Status { .. }), "{at}: {error:?}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
        assert!(!place.store.path(&entry(&file)).exists());
    }
}

#[test]
fn addresses_that_are_none_are_named() {
    let (place, file) = (Place::new(), model());
    for endpoint in ["", "huggingface.co", "ftp://x", "https://", "file:///etc"] {
        let error = Puller::new(&place.store).endpoint(endpoint).pull(&entry(&file), |_| {}).unwrap_err();
        assert!(matches!(error, StoreError::Endpoint { .. }), "{endpoint}: {error}");
    }
    // Nobody listens there any more; and what listens here speaks no TLS.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(|_, _, client| client.status("200 OK", ""));
    for endpoint in [format!("http://{closed}"), server.address.replace("http", "https")] {
        let puller = Puller::new(&place.store).endpoint(endpoint).direct().back_off(Duration::from_millis(1));
        let error = puller.pull(&entry(&file), |_| {}).unwrap_err();
        assert!(matches!(error, StoreError::Broken { .. }), "{error}");
    }
}

#[test]
fn two_pulls_at_once_fetch_it_once() {
    let (place, file) = (Place::new(), model());
    let entry = entry(&file);
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (began, begun) = mpsc::channel::<()>();
    let server = {
        let file = file.clone();
        Server::start(move |_, _, client| {
            client.head("200 OK", &format!("Content-Length: {}\r\n", file.len()));
            client.body(&file[..1000]);
            began.send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
            client.body(&file[1000..]);
        })
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| place.pull(&server, &entry));
        begun.recv().unwrap();
        let mut seen = Vec::new();
        place
            .puller(&server)
            .pull(&entry, |progress| {
                if progress == PullProgress::Waiting {
                    go.send(()).unwrap();
                }
                seen.push(progress);
            })
            .unwrap();
        first.join().unwrap().unwrap();
        assert_eq!(seen, [PullProgress::Waiting, PullProgress::Here]);
    });
    assert_eq!((server.requests().len(), server.sent()), (1, file.len()));
    assert_eq!(fs::read(place.store.path(&entry)).unwrap(), file);
    assert_eq!(place.names(), ["ggml-mine.bin", "ggml-mine.bin.json"]);
}

#[test]
fn what_does_not_fit_is_not_asked_for() {
    let place = Place::new();
    let server = Server::start(|_, _, client| client.status("200 OK", ""));
    let large = hearken::store::official("large-v3").unwrap();
    let error = place.pull(&server, large).unwrap_err();
    assert!(matches!(error, StoreError::DoesNotFit { .. }), "{error}");
    // Nor what the disk does not hold.
    let vast = Entry::new("vast", "vast", 1 << 60, &"0".repeat(64)).unwrap();
    let error = place.pull(&server, &vast).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_link_in_the_place_of_the_part_is_not_followed() {
    let (place, file) = (Place::new(), model());
    let entry = entry(&file);
    fs::create_dir_all(place.store.folder()).unwrap();
    let precious = place.store.folder().join("precious");
    fs::write(&precious, "mine").unwrap();
    std::os::unix::fs::symlink(&precious, place.part(&entry)).unwrap();
    let error = place.pull(&Server::good(file), &entry).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert_eq!(fs::read(precious).unwrap(), b"mine");
}

#[test]
fn a_model_that_was_changed_is_found_out() {
    let (place, file) = (Place::new(), model());
    let entry = entry(&file);
    let pulled = place.pull(&Server::good(file.clone()), &entry).unwrap();
    assert_eq!(place.store.verify(&pulled).unwrap(), Verified::Record);
    let found = place.store.find("mine").unwrap();
    assert_eq!((found.path.clone(), found.entry), (pulled.path.clone(), None));

    let open = File::options().write(true).open(&pulled.path).unwrap();
    let last = file.len() - 1;
    open.write_all_at(&[file[last] ^ 1], last as u64).unwrap();
    assert!(matches!(place.store.verify(&found).unwrap_err(), StoreError::Changed { .. }));
    open.set_len(1000).unwrap();
    assert!(matches!(place.store.verify(&found).unwrap_err(), StoreError::Model { .. }));

    // Without a record only the form can be told.
    fs::remove_file(pulled.path.with_extension("bin.json")).unwrap();
    fs::write(&pulled.path, &file).unwrap();
    assert_eq!(place.store.verify(&found).unwrap(), Verified::FormOnly);
    place.store.remove(&found).unwrap();
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn the_best_of_those_here_is_the_last_in_the_catalogue_that_fits() {
    let place = Place::new();
    let best = || place.store.best().unwrap().map(|best| best.name);
    assert_eq!(best(), None, "the folder is not there");
    fs::create_dir_all(place.store.folder()).unwrap();
    let put = |name: &str| {
        let entry = hearken::store::official(name).unwrap();
        // Of the right length, and empty: choosing reads no models.
        File::create(place.store.path(entry)).unwrap().set_len(entry.bytes()).unwrap();
    };
    fs::write(place.store.folder().join("zzz.bin"), "somebody's own").unwrap();
    assert_eq!(best(), None);
    for (name, now) in [
        ("tiny", "tiny"),
        ("base.en-q5_1", "base.en-q5_1"),
        ("base.en", "base.en"),
        ("base-q5_1", "base-q5_1"),
        ("tiny.en", "base-q5_1"),
        ("large-v3", "base-q5_1"),
        ("large-v3-turbo-q5_0", "large-v3-turbo-q5_0"),
    ] {
        put(name);
        assert_eq!(best().as_deref(), Some(now), "after {name}");
    }
    // Cut short it is not the best.
    let path = place.store.find("large-v3-turbo-q5_0").unwrap().path;
    File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
    assert_eq!(best().as_deref(), Some("base-q5_1"));
}
