//! Compiled snapshots on disk, so that a model is prepared once.
//!
//! One file for each: a header, the blocks that are not zero, and a BLAKE3 hash of everything before it. Files are
//! native code, so the folder belongs to its user alone and is refused otherwise. Whatever does not read back exactly
//! is removed and made anew.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, File};
use std::hash::BuildHasher;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hearken_proto::ModelInfo;

use super::Snapshot;
use super::image::{BLOCK, Draft, Image, blocks};

/// What a snapshot is of and was made with.
pub(crate) type Key = blake3::Hash;

/// The first bytes of a file; the digits are the version of its layout.
const MAGIC: &[u8; 8] = b"hkcwasm1";
/// Ends the list of blocks.
const END: u32 = u32::MAX;
const EXTENSION: &str = "cwasm";
/// Longest description of a model that is believed: one with as many weights as may be has a quarter of this.
const MAX_INFO: u32 = 1 << 20;
/// Largest image: the guest's whole memory and its code.
const MAX_IMAGE: u64 = 5 << 30;

/// A folder of compiled snapshots.
pub(crate) struct Cache {
    folder: PathBuf,
    max_bytes: u64,
}

impl Cache {
    /// Opens the folder, or makes it, for this user alone.
    pub(crate) fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let metadata = fs::metadata(folder)?;
        let user = rustix::process::geteuid().as_raw();
        if metadata.uid() != user || metadata.mode() & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "others can write to it; `chmod 700` it",
            ));
        }
        Ok(Self { folder: folder.to_owned(), max_bytes })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.to_hex().as_str()).with_extension(EXTENSION)
    }

    /// Takes a snapshot out, or `None` if it is not there or not whole.
    pub(crate) fn get(&self, key: &Key) -> Option<(Image, ModelInfo)> {
        let path = self.path(key);
        let file = File::open(&path).ok()?;
        match read(&file, key) {
            Ok(found) => {
                // The time of the last use decides what is evicted. If it cannot be set, eviction is less just.
                let _ = file.set_modified(SystemTime::now());
                Some(found)
            }
            Err(_) => {
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Puts a snapshot in. Others see all of it or nothing.
    pub(crate) fn put(&self, key: &Key, snapshot: &Snapshot) -> io::Result<()> {
        // Not the process's number: it may be the same in each container that shares the folder.
        let unique = RandomState::new().hash_one(std::process::id());
        let draft = self.folder.join(format!("{}.{unique:016x}.part", key.to_hex()));
        let result = write(&draft, key, snapshot).and_then(|()| fs::rename(&draft, self.path(key)));
        if result.is_err() {
            let _ = fs::remove_file(&draft);
        }
        result?;
        self.evict(key)
    }

    /// Bytes on disk and number of snapshots.
    pub(crate) fn usage(&self) -> io::Result<(u64, usize)> {
        let entries = self.entries()?;
        Ok((entries.iter().map(|entry| entry.bytes).sum(), entries.len()))
    }

    /// Removes what was not used for longest until the rest fits, but never `keep`.
    fn evict(&self, keep: &Key) -> io::Result<()> {
        let mut entries = self.entries()?;
        entries.sort_by_key(|entry| entry.used);
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let keep = self.path(keep);
        for entry in entries {
            if total <= self.max_bytes {
                break;
            }
            if entry.path != keep && fs::remove_file(&entry.path).is_ok() {
                total -= entry.bytes;
            }
        }
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            // Another process may remove files meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            match extension {
                Some(EXTENSION) => entries.push(Entry { path, bytes: metadata.blocks() * 512, used }),
                // Left by a process that died while writing.
                Some("part") if used.elapsed().is_ok_and(|age| age.as_secs() > 3600) => {
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
        Ok(entries)
    }
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Hashes what passes through.
struct Hashing<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T> Hashing<T> {
    fn new(inner: T, key: &Key) -> Self {
        let mut hasher = blake3::Hasher::new();
        // A file under another snapshot's name is no better than a damaged one.
        hasher.update(key.as_bytes());
        Self { inner, hasher }
    }
}

impl<T: Read> Hashing<T> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.take_into(&mut bytes)?;
        Ok(bytes)
    }

    fn take_into(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.hasher.update(bytes);
        Ok(())
    }
}

impl<T: Write> Hashing<T> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.inner.write_all(bytes)
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "damaged snapshot")
}

fn write(path: &Path, key: &Key, snapshot: &Snapshot) -> io::Result<()> {
    let mut file = Hashing::new(BufWriter::with_capacity(1 << 20, File::create_new(path)?), key);
    let info = hearken_proto::encode(&snapshot.info);
    file.put(MAGIC)?;
    file.put(&(snapshot.compiled.len() as u64).to_le_bytes())?;
    file.put(&(info.len() as u32).to_le_bytes())?;
    file.put(&info)?;
    for (index, block) in blocks(&snapshot.compiled) {
        file.put(&index.to_le_bytes())?;
        file.put(block)?;
    }
    file.put(&END.to_le_bytes())?;
    let hash = file.hasher.finalize();
    file.inner.write_all(hash.as_bytes())?;
    file.inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn read(file: &File, key: &Key) -> io::Result<(Image, ModelInfo)> {
    let mut file = Hashing::new(BufReader::with_capacity(1 << 20, file), key);
    if &file.take::<8>()? != MAGIC {
        return Err(damaged());
    }
    let len = u64::from_le_bytes(file.take()?);
    let info_len = u32::from_le_bytes(file.take()?);
    if len > MAX_IMAGE || info_len > MAX_INFO {
        return Err(damaged());
    }
    let mut info = vec![0; info_len as usize];
    file.take_into(&mut info)?;
    let draft = Draft::new()?;
    let mut block = vec![0; BLOCK];
    loop {
        let index = u32::from_le_bytes(file.take()?);
        if index == END {
            break;
        }
        let rest =
            len.checked_sub(u64::from(index) * BLOCK as u64).filter(|&rest| rest > 0).ok_or_else(damaged)?;
        let block = &mut block[..rest.min(BLOCK as u64) as usize];
        file.take_into(block)?;
        draft.write(index, block)?;
    }
    let expected = file.hasher.finalize();
    if expected.as_bytes() != &file.take::<32>()? {
        return Err(damaged());
    }
    // Only now is any of it believed.
    let info = hearken_proto::decode(&info).map_err(|_| damaged())?;
    Ok((draft.seal(len)?, info))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(len: usize) -> Snapshot {
        let mut compiled = vec![0; len];
        compiled[len / 2] = 1;
        compiled[len - 1] = 2;
        let info = ModelInfo {
            n_vocab: 1,
            n_audio_ctx: 2,
            multilingual: true,
            whisper_cpp: "1".to_owned(),
            weights: Vec::new(),
            workspace: 64..128,
        };
        Snapshot { compiled, info }
    }

    fn bytes(image: &Image) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.file().unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn key(name: &str) -> Key {
        blake3::hash(name.as_bytes())
    }

    #[test]
    fn what_goes_in_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c"), u64::MAX).unwrap();
        assert!(cache.get(&key("a")).is_none());
        let snapshot = snapshot(BLOCK * 9 + 5);
        cache.put(&key("a"), &snapshot).unwrap();
        let (image, info) = cache.get(&key("a")).unwrap();
        assert!(bytes(&image) == snapshot.compiled);
        assert_eq!(info, snapshot.info);
    }

    #[test]
    fn the_largest_description_comes_out() {
        use hearken_proto::compute::{Element, MAX_EXTENT, MAX_WEIGHTS, Weight};
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), u64::MAX).unwrap();
        let mut snapshot = snapshot(BLOCK);
        let address = u32::MAX.into();
        let weight = Weight {
            address,
            rows: MAX_EXTENT,
            depth: MAX_EXTENT,
            row_stride: address,
            element: Element::F16,
        };
        snapshot.info.weights = vec![weight; MAX_WEIGHTS];
        cache.put(&key("a"), &snapshot).unwrap();
        assert_eq!(cache.get(&key("a")).expect("kept").1, snapshot.info);
    }

    #[test]
    fn every_kind_of_damage_is_noticed_and_the_file_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), u64::MAX).unwrap();
        let path = cache.path(&key("a"));
        cache.put(&key("a"), &snapshot(BLOCK * 3)).unwrap();
        let good = fs::read(&path).unwrap();
        let step = good.len() / 97;
        for position in (0..good.len()).step_by(step).chain(0..32) {
            let mut bad = good.clone();
            bad[position] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            assert!(cache.get(&key("a")).is_none(), "a flipped bit at {position} went unnoticed");
            assert!(!path.exists());
            fs::write(&path, &good[..position]).unwrap();
            assert!(cache.get(&key("a")).is_none(), "truncation at {position} went unnoticed");
        }
        fs::write(cache.path(&key("b")), &good).unwrap();
        assert!(cache.get(&key("b")).is_none(), "another snapshot's file went unnoticed");
    }

    #[test]
    fn an_image_survives_the_loss_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), u64::MAX).unwrap();
        let snapshot = snapshot(BLOCK * 4);
        cache.put(&key("a"), &snapshot).unwrap();
        let (image, _) = cache.get(&key("a")).unwrap();
        File::options().write(true).open(cache.path(&key("a"))).unwrap().set_len(3).unwrap();
        assert!(bytes(&image) == snapshot.compiled);
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 3 * BLOCK as u64 * 3).unwrap();
        for (age, name) in [(300, "old"), (200, "mid"), (100, "new")] {
            cache.put(&key(name), &snapshot(BLOCK * 4)).unwrap();
            let file = File::options().write(true).open(cache.path(&key(name))).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
        cache.put(&key("last"), &snapshot(BLOCK * 8)).unwrap();
        assert!(cache.get(&key("last")).is_some());
        let one_fits = Cache::open(folder.path(), 1).unwrap();
        one_fits.put(&key("alone"), &snapshot(BLOCK * 4)).unwrap();
        assert!(one_fits.get(&key("alone")).is_some());
        assert!(one_fits.get(&key("old")).is_none() && one_fits.get(&key("last")).is_none());
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(folder.path(), 1).is_err());
    }
}
