//! `POST /v1/audio/transcriptions` and `/v1/audio/translations`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hearken::text::sanitize_trimmed;
use hearken::{Model, TranscribeOptions};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answer::{LogProb, Usage, answer, languages, words};
use super::error::{body as error_body, refused};
use super::form::{self, Request};
use crate::App;
use crate::recording::{Recording, transcribe as recognize};
use crate::rejection::Rejection;
use crate::ticket::Ticket;

pub(super) async fn transcribe(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    respond(app, headers, body, false).await
}

pub(super) async fn translate(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    respond(app, headers, body, true).await
}

async fn respond(app: Arc<App>, headers: HeaderMap, body: Body, translate: bool) -> Response {
    match take(&app, &headers, body, translate).await {
        Ok(response) => response,
        Err(rejection) => refused(&app, &rejection),
    }
}

async fn take(
    app: &Arc<App>,
    headers: &HeaderMap,
    body: Body,
    translate: bool,
) -> Result<Response, Rejection> {
    let tenant = app.admit(headers, None)?;
    // Held while the body comes: uploads without room are not accepted.
    let ticket = app.open(&tenant, "openai", None)?;
    let request = ticket.unless_revoked(form::read(headers, body, &ticket)).await?;
    let (_, model) = app.models.find(&tenant, request.model.as_deref())?;
    let options = TranscribeOptions::new()
        .language(request.language.clone())
        .languages(request.languages.clone())
        .translate(translate)
        .prompt(request.prompt.clone())
        .bias(request.bias.clone());
    // Before a stream of events begins with status 200.
    model.can(options.language.as_deref(), options.translate)?;
    for language in &options.languages {
        model.can(Some(language), options.translate)?;
    }
    if request.stream {
        return Ok(events(Arc::clone(app), ticket, model, options, request));
    }
    let file = request.file.try_clone().map_err(|_| Rejection::Internal)?;
    let transcript = recognize(ticket, model, Recording::Container(file), options, |_| {}).await?;
    Ok(answer(&transcript, &request, translate))
}

/// The text as server-sent events, a delta for each segment.
fn events(
    app: Arc<App>,
    ticket: Ticket,
    model: Model,
    options: TranscribeOptions,
    request: Request,
) -> Response {
    // As much as the recording has text. The task ends when its reader is gone.
    let (sender, receiver) = mpsc::unbounded_channel::<Value>();
    let deltas = sender.clone();
    let logprobs = request.logprobs;
    tokio::spawn(async move {
        let mut first = true;
        let recognized =
            recognize(ticket, model, Recording::Container(request.file), options, move |segment| {
                let text = sanitize_trimmed(&segment.text);
                // Deltas, one after the other, are the text.
                let behind = !std::mem::take(&mut first);
                let delta = if behind { format!(" {text}") } else { text };
                let mut event = json!({ "type": "transcript.text.delta", "delta": delta });
                if logprobs {
                    event["logprobs"] = json!(LogProb::of(&segment.words, behind));
                }
                let _ = deltas.send(event);
            });
        let last = tokio::select! {
            recognized = recognized => match recognized {
                Ok(transcript) => {
                    let mut event = json!({
                        "type": "transcript.text.done",
                        "text": sanitize_trimmed(&transcript.text()),
                        "languages": languages(&transcript),
                        "usage": Usage::of(&transcript),
                    });
                    if logprobs {
                        event["logprobs"] = json!(LogProb::of(words(&transcript), false));
                    }
                    event
                }
                Err(rejection) => {
                    app.note(&rejection);
                    error_body(&rejection)
                }
            },
            () = sender.closed() => return,
        };
        let _ = sender.send(last);
    });
    let events = stream::unfold(receiver, |mut receiver| async move {
        let message = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Event::default().data(message.to_string())), receiver))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
