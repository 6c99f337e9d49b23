//! Deepgram's `/v1/listen` and `/v2/listen`, as its clients speak it:
//! <https://developers.deepgram.com/reference/speech-to-text>.

mod error;
mod flux;
mod live;
mod message;
mod prerecorded;
mod query;
mod style;
mod upgrade;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

pub(super) use self::error::said;
use self::flux::Flux;
use self::live::Live;
use super::App;
use super::keys::random_name;
use super::values::uuid;

pub(super) fn routes() -> Router<Arc<App>> {
    let listen =
        get(upgrade::upgrade::<Live>).post(prerecorded::transcribe).layer(DefaultBodyLimit::disable());
    Router::new().route("/v1/listen", listen).route("/v2/listen", get(upgrade::upgrade::<Flux>))
}

/// A new name, in the form that Deepgram's have.
fn request_id() -> String {
    uuid(&random_name())
}

/// Parses a client's query and message, for fuzzing; returns the rejections.
#[cfg(any(test, fuzzing))]
pub(super) fn attack(text: &str) -> Vec<super::rejection::Rejection> {
    let query = || {
        let uri = format!("/?{text}").parse().ok()?;
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).ok()
    };
    let pairs = query().map(|pairs| pairs.0).unwrap_or_default();
    let asked = query::Asked::parse(&pairs).and_then(|asked| {
        asked.voice_activity();
        asked.raw()
    });
    [asked.err(), live::attack(text).err(), flux::attack(&pairs, text).err()].into_iter().flatten().collect()
}
