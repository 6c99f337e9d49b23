//! Shared resources: the disk, a minute's audio, places for connections. Each has a bound for each
//! tenant.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use hearken_tests::serve::{Answer, Server, form};
use hearken_tests::wav;
use serde_json::json;

use crate::{KEY_A, KEY_B, two_tenants};

/// Begins an upload of `seconds` seconds of silence; returns its last bytes, which are not sent.
fn begin(server: &Server, key: (&str, &str), seconds: f64) -> (TcpStream, Vec<u8>) {
    let samples = vec![0.0; (seconds * 16_000.0) as usize];
    let (kind, mut body) = form(&[("model", "digits")], Some(("a.wav", &wav::pcm16(&samples, 16_000, 1))));
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {}\r\n{}: {}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        server.address,
        key.0,
        key.1,
        body.len()
    );
    let rest = body.split_off(body.len() - 6);
    let mut stream = server.connect();
    // It may be refused before all of it has come.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    (stream, rest)
}

fn end((mut stream, rest): (TcpStream, Vec<u8>)) -> (u16, String) {
    let _ = stream.write_all(&rest);
    let answer = Answer::read(stream);
    let code = answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
    (answer.status, code)
}

/// Waits until a tenant has this number of uploads under way.
fn wait_for(server: &Server, tenant: &str, uploads: usize) {
    server.wait_for_metric(&format!("hearken_open{{tenant=\"{tenant}\",protocol=\"openai\"}} {uploads}"));
}

#[test]
fn uploads_of_a_tenant_have_a_bound_together_and_so_have_all() {
    // A minute is 1.8 MiB.
    let settings = format!("uploads_mib = 5\n{}", two_tenants("upload_mib = 2\nuploads_mib = 3"));
    let server = Server::with(&settings);
    let stored = |tenant, bytes: u32| {
        server.wait_for_metric(&format!("hearken_stored_bytes{{tenant=\"{tenant}\"}} {bytes}"));
    };
    let first = begin(&server, KEY_A, 60.0);
    stored("a", 2 << 20);
    let second = begin(&server, KEY_A, 60.0);
    assert_eq!(end(second), (429, "too_many_uploads".to_owned()));
    // Five are all that there are, of which one has two.
    let other = begin(&server, KEY_B, 60.0);
    stored("b", 2 << 20);
    let third = begin(&server, KEY_B, 60.0);
    assert_eq!(end(third), (503, "storage_full".to_owned()));
    // What has been recognized, or given up, takes nothing any more.
    assert_eq!(end(first).0, 200);
    drop(other);
    stored("a", 0);
    stored("b", 0);
    let again = [begin(&server, KEY_A, 60.0), begin(&server, KEY_B, 60.0)];
    for upload in again {
        assert_eq!(end(upload).0, 200);
    }
    server.end();
}

#[test]
fn recordings_that_come_at_the_same_moment_share_a_minutes_audio() {
    let server = Server::with(&two_tenants("audio_seconds_per_minute = 10"));
    let uploads: Vec<_> = (0..20).map(|_| begin(&server, KEY_A, 15.2)).collect();
    wait_for(&server, "a", 20);
    let ends: Vec<_> = uploads.into_iter().map(|upload| thread::spawn(move || end(upload))).collect();
    let ends: Vec<_> = ends.into_iter().map(|end| end.join().unwrap()).collect();
    let taken = ends.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(taken, 1, "{ends:?}");
    assert!(
        ends.iter().all(|end| end.0 == 200 || *end == (429, "rate_limit_exceeded".to_owned())),
        "{ends:?}"
    );
    server.end();
}

#[test]
fn an_address_takes_no_more_than_its_share_of_the_connections() {
    let server = Server::with("connections = 8\nconnections_per_address = 4\n");
    let mut mute: Vec<_> = (0..12).map(|_| server.connect_from([127, 0, 0, 2])).collect();
    let start = Instant::now();
    assert_eq!(server.get("/healthz", &[]).status, 200);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // Those beyond its share are closed without a word.
    let closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        !matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let closed = mute.iter_mut().filter_map(|stream| closed(stream).then_some(())).count();
    assert_eq!(closed, 8);
    server.wait_for_metric("hearken_refusals_total{reason=\"too_many_connections\"} 8");
    server.end();
}

#[test]
fn silent_clients_are_waited_for_less_when_places_are_scarce() {
    let server = Server::with("connections = 8\n");
    let mute: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let start = Instant::now();
    assert_eq!(server.get("/healthz", &[]).status, 200);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    drop(mute);
    server.end();
}

#[test]
fn unused_reservations_are_given_back() {
    let server = Server::with(&two_tenants("audio_seconds_per_minute = 60"));
    let (kind, body) = form(
        &[("model", "digits")],
        Some(("a.wav", &{
            // Its header promises an hour.
            let mut wave = wav::pcm16(&[0.0; 16_000], 16_000, 1);
            wave[4..8].copy_from_slice(&(3600u32 * 32_000 + 36).to_le_bytes());
            wave[40..44].copy_from_slice(&(3600u32 * 32_000).to_le_bytes());
            wave
        })),
    );
    let upload = || {
        let headers = [KEY_A, ("Content-Type", kind.as_str())];
        server.request("POST", "/v1/audio/transcriptions", &headers, &body)
    };
    for _ in 0..3 {
        let answer = upload();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_ne!(answer.json()["text"], json!(null));
    }
    server.end();
}

#[test]
fn refusals_do_not_fill_the_log() {
    let server = Server::with(&two_tenants(""));
    let start = Instant::now();
    // Each waits for its answer.
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(server.get("/v1/models", &[("Authorization", "Bearer wrong")]).status, 401);
                }
            });
        }
    });
    let periods = start.elapsed().as_secs() as usize + 1;
    server.wait_for_metric("hearken_refusals_total{reason=\"invalid_api_key\"} 400");
    let log = server.end();
    let lines = log.lines().filter(|line| line.contains("code=\"invalid_api_key\"")).count();
    assert!((50..=50 * (periods + 1)).contains(&lines) && lines < 400, "{lines} lines in {periods} s");
}
