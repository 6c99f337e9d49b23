//! Recordings as uploads: each is sent when the one before was answered.

use std::time::Instant;

use axum::http::header;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::Instant as Clock;

use super::Plan;
use super::clips::{BYTES_PER_SECOND, Clip};
use super::stream::{Ended, refusal};

const BOUNDARY: &str = "hearken-load-7d1f0c52";

/// Result of the uploads of one client.
#[derive(Debug, Default)]
pub(super) struct Uploaded {
    /// Recording, seconds to its answer, and the text.
    pub(super) answers: Vec<(usize, f64, String)>,
    pub(super) ended: Option<Ended>,
}

/// Uploads from recording number `first` on.
pub(super) async fn upload(plan: &Plan, first: usize) -> Uploaded {
    let mut uploaded = Uploaded::default();
    plan.live.opened();
    for clip in plan.playlist(first) {
        if Clock::now() >= plan.until || plan.is_over() {
            break;
        }
        let started = Instant::now();
        match post(plan, &plan.clips[clip]).await {
            Ok(text) => uploaded.answers.push((clip, started.elapsed().as_secs_f64(), text)),
            Err(ended) => {
                uploaded.ended = Some(ended);
                break;
            }
        }
        plan.live.played();
    }
    plan.live.closed();
    uploaded
}

/// Uploads a recording on a connection of its own; returns its text.
async fn post(plan: &Plan, clip: &Clip) -> Result<String, Ended> {
    let broken = |error: &dyn std::fmt::Display| Ended::Broken(super::super::printable(&error.to_string()));
    let connection = plan.server.connect().await.map_err(|error| broken(&error))?;
    let (mut sender, driver) =
        http1::handshake(TokioIo::new(connection)).await.map_err(|error| broken(&error))?;
    let driver = tokio::spawn(driver);
    let path = plan.protocol.path(None, None);
    let request = plan
        .server
        .request("POST", &path)
        .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(Full::new(Bytes::from(form(plan.model.as_deref(), clip))))
        .map_err(|error| broken(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
    driver.abort();
    if !status.is_success() {
        return Err(Ended::Refused(refusal(status.as_u16(), &body)));
    }
    let body: Value = serde_json::from_slice(&body).map_err(|error| broken(&error))?;
    Ok(body["text"].as_str().unwrap_or_default().to_owned())
}

/// The form of an upload: a WAV file, and the parameters.
fn form(model: Option<&str>, clip: &Clip) -> Vec<u8> {
    let mut form = Vec::new();
    let language = Some(("language", clip.language.as_str()));
    for (name, value) in language.into_iter().chain(model.map(|model| ("model", model))) {
        form.extend(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    form.extend(
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n")
            .bytes(),
    );
    let (length, rate) = (clip.pcm.len() as u32, hearken::SAMPLE_RATE);
    form.extend(b"RIFF");
    form.extend(length.saturating_add(36).to_le_bytes());
    form.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    form.extend(rate.to_le_bytes());
    form.extend((BYTES_PER_SECOND as u32).to_le_bytes());
    form.extend(b"\x02\0\x10\0data");
    form.extend(length.to_le_bytes());
    form.extend(&clip.pcm);
    form.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    form
}
