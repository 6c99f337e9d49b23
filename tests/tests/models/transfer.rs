//! Lines that break, and servers that are busy: what has come is not fetched twice.

use super::*;

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
fn rejections_are_reported_and_not_retried() {
    for (status, words) in [
        ("404 Not Found", "HF_ENDPOINT"),
        ("401 Unauthorized", "authentication required"),
        ("403 Forbidden", "authentication required"),
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
