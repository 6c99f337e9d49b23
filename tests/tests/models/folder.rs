//! The folder of models: concurrent pulls, links, disk space, and files that were changed.

use super::*;

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
fn a_model_that_does_not_fit_is_not_downloaded() {
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

    // Without a record only the form can be checked.
    fs::remove_file(pulled.path.with_extension("bin.json")).unwrap();
    fs::write(&pulled.path, &file).unwrap();
    assert_eq!(place.store.verify(&found).unwrap(), Verified::FormOnly);
    place.store.remove(&found).unwrap();
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn the_best_of_those_here_is_the_last_in_the_catalog_that_fits() {
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
