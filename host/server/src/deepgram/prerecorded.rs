//! `POST /v1/listen`: a whole recording.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use hearken::formats::seconds;
use hearken::service::give_way;
use hearken::{TranscribeOptions, Transcript, Word};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::error::refused;
use super::message::{Alternative, Recognizer, digits, now};
use super::query::Asked;
use super::request_id;
use crate::App;
use crate::recording::{Recording, transcribe as recognize, transcribe_channels, warnings};
use crate::rejection::Rejection;
use crate::upload;

pub(super) async fn transcribe(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    body: Body,
) -> Response {
    match answer(&app, &headers, &query, body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(rejection) => refused(&app, &rejection),
    }
}

async fn answer(
    app: &Arc<App>,
    headers: &HeaderMap,
    query: &[(String, String)],
    body: Body,
) -> Result<Value, Rejection> {
    let tenant = app.admit(headers, None)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        return Err(Rejection::unsupported(
            "url",
            "recordings are not fetched from addresses; send the recording as the body",
        ));
    }
    let asked = Asked::parse(query)?;
    let raw = asked.raw()?;
    let (name, model) = app.models.find(&tenant, asked.model.as_deref())?;
    let options = TranscribeOptions::new()
        .language(asked.language.clone())
        .prompt(asked.prompt.clone())
        .bias(asked.bias.clone());
    model.can(options.language.as_deref(), options.translate)?;
    let ticket = app.open(&tenant, "deepgram", None)?;
    let file = ticket.unless_revoked(upload::whole(body, &ticket)).await?;
    let (file, hash) = app.intake.run(&tenant.share, hashed(file)).await?.map_err(|_| Rejection::Internal)?;
    let recording = match raw {
        Some((encoding, format)) => Recording::Raw { file, format, encoding },
        None => Recording::Container(file),
    };
    let recognizer = Recognizer::of(&name, &model);
    let channels = if asked.multichannel {
        transcribe_channels(ticket, model, recording, options).await?
    } else {
        vec![recognize(ticket, model, recording, options, |_| {}).await?]
    };
    Ok(written(&channels, &asked, &recognizer, &hash))
}

/// The file, and its SHA-256.
async fn hashed(mut file: File) -> std::io::Result<(File, String)> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 256 << 10];
    loop {
        match file.read(&mut block)? {
            0 => return Ok((file, digits(hasher))),
            count => hasher.update(&block[..count]),
        }
        give_way().await;
    }
}

fn written(transcripts: &[Transcript], asked: &Asked, recognizer: &Recognizer, hash: &str) -> Value {
    let channel = |transcript: &Transcript| {
        let words: Vec<Word> =
            transcript.segments.iter().flat_map(|segment| segment.words.iter().cloned()).collect();
        let mut channel = json!({ "alternatives": [Alternative::of(&words, &asked.style)] });
        if let Some(language) = transcript.language.as_ref().filter(|_| asked.detect_language) {
            channel["detected_language"] = json!(language.code);
            channel["language_confidence"] = json!(language.probability);
        }
        channel
    };
    let mut results = json!({ "channels": transcripts.iter().map(channel).collect::<Vec<_>>() });
    if asked.utterances {
        let mut said: Vec<(usize, &hearken::Segment)> = transcripts
            .iter()
            .enumerate()
            .flat_map(|(channel, transcript)| {
                transcript.segments.iter().map(move |segment| (channel, segment))
            })
            .collect();
        said.sort_by_key(|(channel, segment)| (segment.start, *channel));
        let utterance = |(channel, segment): (usize, &hearken::Segment)| {
            let mut said = json!(Alternative::of(&segment.words, &asked.style));
            said["id"] = json!(request_id());
            said["channel"] = json!(channel);
            said["start"] = json!(seconds(segment.start));
            said["end"] = json!(seconds(segment.end));
            said
        };
        results["utterances"] = said.into_iter().map(utterance).collect();
    }
    let mut infos = Map::new();
    infos.insert(recognizer.uuid.clone(), recognizer.info.clone());
    let mut metadata = json!({
        "transaction_key": "deprecated",
        "request_id": request_id(),
        "sha256": hash,
        "created": now(),
        "duration": seconds(transcripts.iter().map(|transcript| transcript.duration).max().unwrap_or(0)),
        "channels": transcripts.len(),
        "models": [recognizer.uuid],
        "model_info": infos,
    });
    let warnings: Vec<String> = transcripts.iter().flat_map(warnings).collect();
    if !warnings.is_empty() {
        metadata["warnings"] = json!(warnings);
    }
    json!({ "metadata": metadata, "results": results })
}
