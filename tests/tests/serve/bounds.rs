//! What a tenant may make the server hold.

use hearken_tests::serve::{Server, Socket};
use serde_json::json;

use crate::protocols::base64;
use crate::{KEY_A, KEY_B, two_tenants};

/// A Realtime session whose client commits, of this rate.
fn session(server: &Server, key: (&'static str, &str), rate: u32) -> Socket {
    let mut socket = server.socket("/v1/realtime?intent=transcription", &[key]).unwrap();
    socket.say(&json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input":
        {"format": {"type": "audio/pcm", "rate": rate}, "turn_detection": null}}}}));
    socket.until("session.updated");
    socket
}

/// Bytes that a session takes before it says that they are too many, and what it says.
fn fill(socket: &mut Socket, piece: usize) -> (usize, String) {
    let audio = base64(&vec![0; piece]);
    for number in 0..400 {
        socket.say(&json!({"type": "input_audio_buffer.append", "audio": audio}));
        // Answered after what came before it, and only that says whether it was taken.
        socket.say(&json!({"type": "nothing"}));
        let message = socket.json()["error"]["message"].as_str().unwrap().to_owned();
        if !message.contains("nothing") {
            return (number * piece, message);
        }
    }
    panic!("it takes everything");
}

#[test]
fn turns_that_are_not_committed_have_a_bound_in_bytes() {
    let server = Server::with(&two_tenants(""));
    let before = server.memory();
    let mut sessions: Vec<Socket> = (0..3).map(|_| session(&server, KEY_A, 192_000)).collect();
    for session in &mut sessions {
        let (bytes, message) = fill(session, 700_000);
        assert!((13_000_000..14_400_001).contains(&bytes), "{bytes}");
        assert!(message.contains("commit, or clear"), "{message}");
    }
    let more = server.memory().saturating_sub(before) >> 20;
    assert!(more < 80, "{more} MiB");
    server.end();
}

#[test]
fn turns_that_are_not_committed_count_with_what_a_tenant_may_hold() {
    let server = Server::with(&two_tenants("memory_mib = 20"));
    let mut sessions: Vec<Socket> = (0..3).map(|_| session(&server, KEY_A, 192_000)).collect();
    let bytes: usize = sessions.iter_mut().map(|session| fill(session, 500_000).0).sum();
    assert!((12_000_000..=20 << 20).contains(&bytes), "{bytes}");
    let (_, message) = fill(&mut sessions[2], 500_000);
    assert!(message.contains("as much memory as they may"), "{message}");
    // That is nobody else's.
    assert!(fill(&mut session(&server, KEY_B, 192_000), 500_000).0 > 13_000_000);
    drop(sessions);
    server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"realtime\"} 0");
    assert!(fill(&mut session(&server, KEY_A, 192_000), 500_000).0 > 13_000_000);
    server.end();
}
