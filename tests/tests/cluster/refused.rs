//! Servers and options that cannot work are refused, with the reason and the remedy.

use hearken_tests::cluster::Nats;
use hearken_tests::command::{self, Ended};

fn refused(arguments: &[&str]) -> Ended {
    let ended = command::run(&mut command::hearken(arguments));
    assert!(ended.code.is_some_and(|code| code == 1 || code == 2), "{ended:?}");
    ended
}

#[test]
fn a_nats_server_without_jetstream_is_refused() {
    let nats = Nats::with(&[]);
    for role in [&["worker"][..], &["serve", "--listen", "127.0.0.1:0"], &["cluster", "status"]] {
        let ended = refused(&[role, &["--nats", &nats.url]].concat());
        assert_eq!(ended.code, Some(1));
        assert!(
            ended.stderr.contains("has no JetStream") && ended.stderr.contains("--jetstream"),
            "{ended:?}"
        );
        assert!(ended.stderr.contains(&nats.url), "{ended:?}");
    }
}

#[test]
fn nobody_there_is_told_with_the_address_and_without_the_password() {
    let ended = refused(&["worker", "--nats", "nats://me:secret@127.0.0.1:1"]);
    assert!(ended.stderr.contains("cannot connect to NATS at nats://127.0.0.1:1"), "{ended:?}");
    assert!(!ended.stderr.contains("secret"), "{ended:?}");
}

#[test]
fn options_that_exclude_each_other_are_named() {
    for more in [&["--model", "tiny.en"][..], &["--hardened"]] {
        let ended = refused(&[&["serve", "--nats", "nats://127.0.0.1:1"], more].concat());
        assert_eq!(ended.code, Some(2));
        assert!(ended.stderr.contains(more[0]) && ended.stderr.contains("exclude each other"), "{ended:?}");
    }
}

#[test]
fn users_of_nats_are_named_in_the_address_or_in_a_file() {
    let nats = Nats::with(&["--jetstream", "--user", "me", "--pass", "s@cret"]);
    let at = |user: &str| nats.url.replace("nats://", &format!("nats://{user}@"));
    for wrong in [nats.url.clone(), at("me:guess")] {
        let ended = refused(&["cluster", "status", "--nats", &wrong]);
        assert!(
            ended.stderr.contains("cannot connect to NATS") && !ended.stderr.contains("guess"),
            "{ended:?}"
        );
    }
    let ended = command::run(&mut command::hearken(&["cluster", "status", "--nats", &at("me:s%40cret")]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = refused(&["cluster", "status", "--nats", &nats.url, "--nats-creds", "/nonexistent/creds"]);
    assert!(ended.stderr.contains("cannot read the NATS credentials /nonexistent/creds"), "{ended:?}");
}
