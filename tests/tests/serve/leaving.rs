//! Shutdown: a server that is asked to end completes the audio that it has.

use hearken_tests::serve::{Came, Server};
use hearken_tests::speech::espeak;
use rustix::process::Signal;
use serde_json::json;

use crate::protocols::base64;
use crate::{KEY_A, PCM, PHRASES, SPEECH, two_tenants};

#[test]
fn a_turn_that_was_not_committed_is_recognized_before_the_server_ends() {
    let mut server = Server::with(&two_tenants(""));
    let mut session = server.socket("/v1/realtime?intent=transcription", &[KEY_A]).unwrap();
    session.say(&json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input":
        {"format": {"type": "audio/pcm", "rate": SPEECH.format.sample_rate}, "turn_detection": null}}}}));
    session.until("session.updated");
    let until = espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    session.say(&json!({"type": "input_audio_buffer.append", "audio": base64(&PCM[..until])}));
    // Answered when what came before has been taken.
    session.say(&json!({"type": "nothing"}));
    session.until("error");
    server.signal(Signal::TERM);
    let (messages, end) = session.rest();
    let completed = messages
        .iter()
        .find(|message| message["type"] == "conversation.item.input_audio_transcription.completed")
        .unwrap_or_else(|| panic!("{messages:?}, {end:?}"));
    assert_eq!(completed["transcript"], PHRASES[0]);
    assert!(matches!(end, Came::Closed(1001, _)), "{end:?}");
    server.wait();
}
