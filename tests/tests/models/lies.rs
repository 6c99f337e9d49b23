//! Servers that say what is not so: only the model takes its name.

use super::*;

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
