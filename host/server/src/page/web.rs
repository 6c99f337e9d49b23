//! The page that recognizes in the browser itself: the files of a folder, below `/here/`.
//!
//! They are read when the server starts, and a request is looked up among them: no request reaches
//! the disk, and none leads out of the folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use axum::Router;
use axum::extract::{Path as Named, State};
use axum::http::{HeaderName, Method, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;

use crate::config::ConfigError;
use crate::{App, openai};

/// Address of the page.
pub(super) const INDEX: &str = "/here/page/";

/// Content from here, WebAssembly, workers, and models from anywhere: no audio leaves the page.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; \
                      img-src data:; connect-src 'self' https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Kinds of files that belong to the page, by their endings.
const KINDS: [(&str, &str); 4] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("wasm", "application/wasm"),
];

/// Files that there must be.
const NEEDED: [&str; 3] = ["page/index.html", "src/index.js", "src/hearken-guest.wasm"];

/// Folders below the given one that are looked into, and the folder itself.
const FOLDERS: [&str; 3] = ["", "page/", "src/"];

/// Most bytes of all files: several times what there is.
const MOST_BYTES: u64 = 64 << 20;

/// The files, by their paths in the folder, with their kinds.
#[derive(Debug)]
pub(crate) struct Web(BTreeMap<String, (&'static str, Bytes)>);

impl Web {
    /// Reads the files of a folder that are of a known kind.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not that of the page.
    pub(crate) fn read(folder: &Path) -> Result<Self, ConfigError> {
        let wrong = |message: String| ConfigError::Value { key: "web".to_owned(), message };
        let cannot =
            |path: &Path, error: io::Error| wrong(format!("cannot read {}: {error}", path.display()));
        let (mut files, mut left) = (BTreeMap::new(), MOST_BYTES);
        for inner in FOLDERS {
            let inside = folder.join(inner);
            let entries = match fs::read_dir(&inside) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(|error| cannot(&inside, error))?,
            };
            for entry in entries {
                let path = entry.map_err(|error| cannot(&inside, error))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
                let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == ending) else { continue };
                // A link may lead anywhere.
                let about = fs::symlink_metadata(&path).map_err(|error| cannot(&path, error))?;
                if !about.is_file() {
                    continue;
                }
                left = left.checked_sub(about.len()).ok_or_else(|| {
                    wrong(format!("{} has more than {} MiB of files", folder.display(), MOST_BYTES >> 20))
                })?;
                let bytes = fs::read(&path).map_err(|error| cannot(&path, error))?;
                files.insert(format!("{inner}{name}"), (*kind, Bytes::from(bytes)));
            }
        }
        if let Some(missing) = NEEDED.iter().find(|needed| !files.contains_key(**needed)) {
            let folder = folder.display();
            return Err(wrong(format!(
                "{folder} has no {missing}; `make wasi web` builds the page in target/web"
            )));
        }
        Ok(Self(files))
    }
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/here/", get(|| async { Redirect::temporary(INDEX) }))
        .route("/here/{*path}", get(file))
}

async fn file(State(app): State<Arc<App>>, Named(path): Named<String>, method: Method, uri: Uri) -> Response {
    let Some(Web(files)) = &app.web else { return openai::nothing_here(method, uri).await };
    if path == "page/model.json" {
        // What the page asks its server for: here, where the other page is.
        return axum::Json(serde_json::json!({ "server": "/" })).into_response();
    }
    let path = if path.ends_with('/') { path + "index.html" } else { path };
    let Some((kind, bytes)) = files.get(&path) else { return openai::nothing_here(method, uri).await };
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Cross-origin isolation: the page's workers may share memory, and the arithmetic.
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, bytes.clone()).into_response()
}
