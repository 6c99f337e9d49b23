//! Body of one request, written down as far as it can be the model.

use std::path::Path;

use super::http::{Client, Trouble, unreadable};
use super::part::Part;
use super::{Entry, PullProgress, StoreError};

/// Bytes that are read and written at once.
const BLOCK: usize = 128 << 10;

/// Makes one request, and writes its body. Ends well when the server has sent everything.
pub(super) fn receive(
    client: &Client,
    url: &str,
    entry: &Entry,
    part: &mut Part,
    etag: &mut Option<String>,
    progress: &mut impl FnMut(PullProgress),
) -> Result<(), Trouble> {
    let cannot_write = |path: &Path, error| Trouble::Fatal(StoreError::io("write", path)(error));
    let too_long =
        |came| Trouble::Fatal(StoreError::Length { url: url.to_owned(), expected: entry.bytes, came });
    let Some(mut answer) = client.get(url, part.len(), etag.as_deref())? else {
        part.clear().map_err(|error| cannot_write(part.path(), error))?;
        *etag = None;
        return Err(Trouble::broken("it has nothing from there on, so it starts again"));
    };
    if let Some(total) = answer.total.filter(|total| *total != entry.bytes) {
        return Err(too_long(total));
    }
    if answer.start != part.len() {
        // A server that knows no ranges, or a file that has changed.
        part.clear().map_err(|error| cannot_write(part.path(), error))?;
        if answer.start != 0 {
            return Err(Trouble::broken("it sent another part than it was asked for"));
        }
    }
    *etag = answer.etag.take();
    let mut block = vec![0; BLOCK];
    loop {
        let count = match answer.body.read(&mut block) {
            Ok(0) if part.len() == entry.bytes => return Ok(()),
            Ok(0) => return Err(Trouble::broken("the connection ended too early")),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(url, error)),
        };
        let came = part.len() + count as u64;
        if came > entry.bytes {
            // Not the file, so the part before is not, either.
            part.clear().map_err(|error| cannot_write(part.path(), error))?;
            return Err(too_long(came));
        }
        part.append(&block[..count]).map_err(|error| cannot_write(part.path(), error))?;
        progress(PullProgress::Received { bytes: part.len(), total: entry.bytes });
    }
}
