//! `POST /v1/realtime/client_secrets`: keys that last minutes, for browsers, which must not have a
//! tenant's own.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::setup::Setup;
use crate::App;
use crate::keys::{KeyHash, random_name};
use crate::openai::error_body;
use crate::rejection::{Rejection, quote};
use crate::ticket::bearer;
use crate::values;

/// Prefix of such a key.
const PREFIX: &str = "ek_";
/// Lifetime of one where the client names none: OpenAI's ten minutes.
const USUAL_SECONDS: u64 = 600;
/// Lifetimes that one may have.
const SECONDS: std::ops::RangeInclusive<u64> = 10..=7_200;
/// Keys of a tenant that are valid at once; each may open any number of sessions.
const MOST: usize = 1_000;

/// The keys that are valid.
#[derive(Default)]
pub(crate) struct Secrets(Mutex<Vec<Secret>>);

/// A client secret: the key, its tenant, and the settings of its sessions.
#[derive(Clone)]
pub(super) struct Secret {
    hash: KeyHash,
    pub(super) tenant: Arc<str>,
    /// Key with which it was made.
    pub(super) key: Option<KeyHash>,
    pub(super) setup: Setup,
    until: Instant,
}

impl Secrets {
    /// Keeps a key, if the tenant may have one more.
    fn keep(&self, secret: Secret, now: Instant) -> Result<(), Rejection> {
        let mut secrets = self.0.lock();
        secrets.retain(|other| other.until > now);
        if secrets.iter().filter(|other| other.tenant == secret.tenant).count() >= MOST {
            return Err(Rejection::TooManySecrets(MOST));
        }
        secrets.push(secret);
        Ok(())
    }

    /// Finds the secret of the key in the header, or of one that was offered otherwise.
    pub(super) fn find(&self, headers: &HeaderMap, offered: Option<&str>) -> Option<Secret> {
        let key = bearer(headers).or(offered).filter(|key| key.starts_with(PREFIX))?;
        let (hash, now) = (KeyHash::of(key), Instant::now());
        let secrets = self.0.lock();
        let mut found = None;
        for secret in secrets.iter().filter(|secret| secret.until > now) {
            if bool::from(secret.hash.matches(&hash)) {
                found = Some(secret);
            }
        }
        found.cloned()
    }
}

/// Makes a key for the tenant that asks.
pub(crate) async fn create(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    match make(&app, &headers, &body) {
        Ok(made) => Json(made).into_response(),
        Err(rejection) => {
            app.note(&rejection);
            rejection.answer(Json(error_body(&rejection)))
        }
    }
}

fn make(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Value, Rejection> {
    let tenant = app.admit(headers, None)?;
    let asked: Value = match body.trim_ascii() {
        b"" => json!({}),
        body => serde_json::from_slice(body).map_err(|error| {
            Rejection::malformed(format!("the body is no JSON: {}", quote(&error.to_string())))
        })?,
    };
    let seconds = match asked.pointer("/expires_after/seconds") {
        None | Some(Value::Null) => USUAL_SECONDS,
        Some(seconds) => {
            values::whole_json(seconds).filter(|seconds| SECONDS.contains(seconds)).ok_or_else(|| {
                let (least, most) = (SECONDS.start(), SECONDS.end());
                Rejection::invalid("expires_after", format!("seconds is {least} to {most}"))
            })?
        }
    };
    let setup = Setup::new(None, false);
    let setup = match asked.get("session") {
        None | Some(Value::Null) => setup,
        Some(session) => setup.updated(session)?,
    };
    let (_, model) = app.models.find(&tenant, setup.model.as_deref())?;
    setup.check(&model)?;
    let value = format!("{PREFIX}{}{}", random_name(), random_name());
    let now = Instant::now();
    let session = setup.describe(&random_name());
    let until = now + Duration::from_secs(seconds);
    let (hash, key, tenant) = (KeyHash::of(&value), tenant.key, Arc::clone(&tenant.name));
    let secret = Secret { hash, tenant, key, setup, until };
    app.secrets.keep(secret, now)?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(json!({ "value": value, "expires_at": since.as_secs() + seconds, "session": session }))
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn a_key_opens_what_it_was_made_for_until_its_time_is_over() {
        let secrets = Secrets::default();
        let now = Instant::now();
        let secret = |key: &str, tenant: &str, until: Instant| Secret {
            hash: KeyHash::of(key),
            tenant: tenant.into(),
            key: None,
            setup: Setup::new(Some(tenant.to_owned()), false),
            until,
        };
        let later = now + Duration::from_secs(60);
        secrets.keep(secret("ek_a", "a", later), now).unwrap();
        secrets.keep(secret("ek_b", "b", later), now).unwrap();
        let with = |key: &str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap())])
        };
        let found = secrets.find(&with("ek_a"), None).unwrap();
        assert_eq!((&*found.tenant, found.setup.model.as_deref()), ("a", Some("a")));
        assert_eq!(&*secrets.find(&HeaderMap::new(), Some("ek_b")).unwrap().tenant, "b");
        assert!(secrets.find(&with("ek_c"), None).is_none() && secrets.find(&with("hk_a"), None).is_none());
        secrets.keep(secret("ek_old", "a", now), now).unwrap();
        assert!(secrets.find(&with("ek_old"), None).is_none());
        // A tenant has its own limit, and takes nothing from others; expired secrets do not count.
        for index in 1..MOST {
            secrets.keep(secret(&format!("ek_{index}"), "a", later), now).unwrap();
        }
        assert!(matches!(
            secrets.keep(secret("ek_x", "a", later), now),
            Err(Rejection::TooManySecrets(MOST))
        ));
        secrets.keep(secret("ek_y", "b", later), now).unwrap();
        secrets.keep(secret("ek_x", "a", later), later).unwrap();
    }
}
