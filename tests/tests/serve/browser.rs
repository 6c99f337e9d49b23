//! The page at `/`: a browser's microphone becomes captions.

use std::path::Path;
use std::process::Command;

use hearken_tests::serve::Server;
use hearken_tests::wav;
use serde_json::{Value, json};

use crate::clients::python;
use crate::{PHRASES, SPEECH};

#[test]
fn a_browser_captions_its_microphone() {
    let server = Server::start();
    let recording = server.folder().join("speech.wav");
    // Chromium begins with its microphone before the page listens: a moment of silence first.
    let rate = SPEECH.format.sample_rate;
    let mut samples = vec![0.0; 3 * rate as usize];
    samples.extend(&SPEECH.samples);
    std::fs::write(&recording, wav::pcm16(&samples, rate, 1)).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = here.join("../target/browser");
    std::fs::create_dir_all(&pictures).unwrap();
    let output = Command::new(python())
        .arg(here.join("tests/serve/browser.py"))
        .args(["chromium", &server.address.to_string()])
        .arg(&recording)
        .arg(&pictures)
        .output()
        .expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{}", server.log());
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["captions"], json!(PHRASES));
    assert_eq!(seen["focus"], "listen", "the first thing that Tab reaches");
    assert!(!seen["tentative"].as_str().unwrap().is_empty() && seen["level"].as_f64().unwrap() > 0.0);
    assert!(seen["devices"].as_u64().unwrap() >= 2, "{seen}");
    let (srt, vtt) =
        (seen["saved"]["captions.srt"].as_str().unwrap(), seen["saved"]["captions.vtt"].as_str().unwrap());
    assert!(srt.starts_with("1\n00:00:0") && srt.contains(" --> ") && srt.contains(PHRASES[2]), "{srt}");
    assert!(vtt.starts_with("WEBVTT\n\n00:00:0") && vtt.contains(PHRASES[0]), "{vtt}");
    assert_eq!(seen["complaints"], json!([]), "the browser's console is empty");
    assert!(seen["roles"].get("log").is_some() && seen["roles"].get("status").is_some(), "{seen}");
    assert_eq!(seen["dark"], "rgb(20, 23, 26)");
    server.end();
}

#[test]
fn the_page_allows_itself_nothing_else() {
    let server = Server::start();
    for path in ["/", "/page/page.js", "/page/worklet.js", "/page/style.css"] {
        let answer = server.get(path, &[]);
        let head = answer.head.to_ascii_lowercase();
        assert_eq!(answer.status, 200, "{path}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.contains(header), "{path}: {head}");
        }
    }
    let unknown = server.get("/nothing", &[]);
    assert_eq!((unknown.status, unknown.json()["error"]["code"].as_str()), (404, Some("unknown_url")));
    server.end();
}
