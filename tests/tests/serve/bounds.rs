//! Bounds of a tenant's memory in the server.

use hearken_tests::serve::{Server, Socket};
use serde_json::json;

use crate::protocols::base64;
use crate::{KEY_A, two_tenants};

/// A Realtime session whose client commits, of this rate.
fn session(server: &Server, rate: u32) -> Socket {
    let mut socket = server.socket("/v1/realtime?intent=transcription", &[KEY_A]).unwrap();
    socket.say(&json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input":
        {"format": {"type": "audio/pcm", "rate": rate}, "turn_detection": null}}}}));
    socket.until("session.updated");
    socket
}

#[test]
fn audio_that_is_not_committed_is_not_kept() {
    let server = Server::with(&two_tenants(""));
    let mut sessions: Vec<Socket> = (0..3).map(|_| session(&server, 192_000)).collect();
    let append = json!({"type": "input_audio_buffer.append", "audio": base64(&vec![0; 700_000])});
    let mut fill = |count: usize| {
        for session in &mut sessions {
            (0..count).for_each(|_| session.say(&append));
            // Answered when what came before it has been taken in.
            session.say(&json!({"type": "nothing"}));
            session.until("error");
        }
        server.memory()
    };
    let first = fill(2);
    // 38 MB in all, as fast as a stream's burst is taken in.
    let more = fill(18).saturating_sub(first) >> 20;
    assert!(more < 20, "{more} MiB");
    drop(sessions);
    server.end();
}
