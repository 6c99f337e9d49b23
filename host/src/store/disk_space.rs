//! Room on the disk.

use std::path::Path;

use super::StoreError;

/// Disk space that stays free, in bytes.
const SPARE: u64 = 16 << 20;

/// Fails if `needs` bytes more of the model `name` do not fit the folder's disk.
pub(super) fn expect(folder: &Path, name: &str, needs: u64) -> Result<(), StoreError> {
    let disk = rustix::fs::statvfs(folder).map_err(|error| StoreError::io("read", folder)(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if needs.saturating_add(SPARE) > free {
        let (name, folder) = (name.to_owned(), folder.to_owned());
        return Err(StoreError::NoSpace { name, folder, needs, free });
    }
    Ok(())
}
