//! Compiled code and snapshots on disk, so that a guest is compiled and a model is prepared once.
//!
//! One file for each: a header, the blocks that are not zero, and a BLAKE3 hash of everything
//! before it. Files are native code, so the folder belongs to its user alone and is refused
//! otherwise. It is opened once: its path may come to mean another one. Whatever does not read back
//! exactly is removed and made anew; what cannot be read for another reason stays.

use std::collections::hash_map::RandomState;
use std::fs::{DirBuilder, File};
use std::hash::BuildHasher;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fsync, openat, renameat, statat, unlinkat};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::image::{BLOCK, Draft, Image, blocks};

/// Hash of everything that an entry was made from.
pub(crate) type Key = blake3::Hash;

/// The first bytes of a file; the digits are the version of its layout.
const MAGIC: &[u8; 8] = b"hksnaps2";
/// Ends the list of blocks.
const END: u32 = u32::MAX;
/// Of snapshots, too: what an earlier version left has to leave by its age.
const EXTENSION: &str = "cwasm";
/// Longest description of a model that is believed: one with as many weights as may be has a
/// quarter of this.
const MAX_INFO: u32 = 1 << 20;
/// Largest image: a guest's whole memory, and more.
const MAX_IMAGE: u64 = 5 << 30;

/// A folder of compiled code and snapshots.
pub(crate) struct Cache {
    /// For people.
    path: PathBuf,
    folder: OwnedFd,
    max_bytes: u64,
}

impl Cache {
    /// Opens the folder, or makes it, for this user alone.
    pub(crate) fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let opened = File::open(folder)?;
        // Of what was opened, not of what has its name now.
        if !is_ours(&opened)? {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "others can write to it; `chmod 700` it",
            ));
        }
        Ok(Self { path: folder.to_owned(), folder: opened.into(), max_bytes })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.path
    }

    fn open_file(&self, name: &str, how: OFlags) -> io::Result<File> {
        let how = how | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(openat(&self.folder, name, how, Mode::RUSR | Mode::WUSR)?.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.folder, name, AtFlags::empty())?)
    }

    /// Takes a snapshot out, or `None` if it is not there or not whole.
    pub(crate) fn get<I: DeserializeOwned>(&self, key: &Key) -> Option<(Image, I)> {
        let name = file_name(key);
        let file = self.open_file(&name, OFlags::RDONLY).ok()?;
        let found = match is_ours(&file) {
            Ok(true) => read(&file, key),
            Ok(false) => Err(damaged()),
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => {
                // The time of the last use decides what is evicted. If it cannot be set, eviction
                // is less just.
                let _ = file.set_modified(SystemTime::now());
                Some(found)
            }
            Err(error) => {
                // Too many open files, say, will be over some time, and the snapshot is as good
                // then.
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) {
                    let _ = self.remove(&name);
                }
                None
            }
        }
    }

    /// Puts bytes in, with what is known of them. Others see all of it or nothing.
    pub(crate) fn put<I: Serialize>(&self, key: &Key, bytes: &[u8], info: &I) -> io::Result<()> {
        // Not the process's number: it may be the same in each container that shares the folder.
        let unique = RandomState::new().hash_one(std::process::id());
        let draft = format!("{}.{unique:016x}.part", key.to_hex());
        let result = self
            .open_file(&draft, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
            .and_then(|file| write(file, key, bytes, &hearken_proto::encode(info)))
            .and_then(|()| Ok(renameat(&self.folder, &*draft, &self.folder, file_name(key))?));
        if result.is_err() {
            let _ = self.remove(&draft);
        }
        result?;
        // So that it is there after a power cut; some file systems cannot, and need not.
        let _ = fsync(&self.folder);
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
        let keep = file_name(keep);
        for entry in entries {
            if total <= self.max_bytes {
                break;
            }
            if entry.name != keep && self.remove(&entry.name).is_ok() {
                total -= entry.bytes;
            }
        }
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            // Another process may remove files meanwhile.
            let Ok(status) = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let used =
                SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(status.st_mtime).unwrap_or(0));
            match name.rsplit_once('.') {
                Some((_, EXTENSION)) => {
                    let bytes = u64::try_from(status.st_blocks).unwrap_or(0) * 512;
                    entries.push(Entry { name: name.to_owned(), bytes, used });
                }
                // Left by a process that died while writing.
                Some((_, "part")) if used.elapsed().is_ok_and(|age| age.as_secs() > 3600) => {
                    let _ = self.remove(name);
                }
                _ => {}
            }
        }
        Ok(entries)
    }
}

fn file_name(key: &Key) -> String {
    format!("{}.{EXTENSION}", key.to_hex())
}

/// Returns true if a file, or a folder, belongs to this user and nobody else can write it.
fn is_ours(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok(metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0)
}

struct Entry {
    name: String,
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

fn write(file: File, key: &Key, bytes: &[u8], info: &[u8]) -> io::Result<()> {
    let mut file = Hashing::new(BufWriter::with_capacity(1 << 20, file), key);
    file.put(MAGIC)?;
    file.put(&(bytes.len() as u64).to_le_bytes())?;
    file.put(&(info.len() as u32).to_le_bytes())?;
    file.put(info)?;
    for (index, block) in blocks(bytes) {
        file.put(&index.to_le_bytes())?;
        file.put(block)?;
    }
    file.put(&END.to_le_bytes())?;
    let hash = file.hasher.finalize();
    file.inner.write_all(hash.as_bytes())?;
    file.inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn read<I: DeserializeOwned>(file: &File, key: &Key) -> io::Result<(Image, I)> {
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
    use std::fs;

    use hearken_proto::ModelInfo;

    use super::*;

    struct Snapshot {
        memory: Vec<u8>,
        info: ModelInfo,
    }

    fn snapshot(len: usize) -> Snapshot {
        let mut memory = vec![0; len];
        memory[len / 2] = 1;
        memory[len - 1] = 2;
        let info = ModelInfo {
            n_vocab: 1,
            n_audio_ctx: 2,
            multilingual: true,
            whisper_cpp: "1".to_owned(),
            weights: Vec::new(),
            workspace: 64..128,
        };
        Snapshot { memory, info }
    }

    fn bytes(image: &Image) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.file().unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn put(cache: &Cache, name: &str, snapshot: &Snapshot) {
        cache.put(&key(name), &snapshot.memory, &snapshot.info).unwrap();
    }

    fn get(cache: &Cache, key: &Key) -> Option<(Image, ModelInfo)> {
        cache.get(key)
    }

    fn key(name: &str) -> Key {
        blake3::hash(name.as_bytes())
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c"), u64::MAX).unwrap();
        assert!(get(&cache, &key("a")).is_none());
        let snapshot = snapshot(BLOCK * 9 + 5);
        put(&cache, "a", &snapshot);
        let (image, info) = get(&cache, &key("a")).unwrap();
        assert!(bytes(&image) == snapshot.memory);
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
        put(&cache, "a", &snapshot);
        assert_eq!(get(&cache, &key("a")).expect("kept").1, snapshot.info);
    }

    #[test]
    fn every_kind_of_damage_is_noticed_and_the_file_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), u64::MAX).unwrap();
        let path = folder.path().join(file_name(&key("a")));
        put(&cache, "a", &snapshot(BLOCK * 3));
        let good = fs::read(&path).unwrap();
        let step = good.len() / 97;
        for position in (0..good.len()).step_by(step).chain(0..32) {
            let mut bad = good.clone();
            bad[position] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            assert!(get(&cache, &key("a")).is_none(), "a flipped bit at {position} went unnoticed");
            assert!(!path.exists());
            fs::write(&path, &good[..position]).unwrap();
            assert!(get(&cache, &key("a")).is_none(), "truncation at {position} went unnoticed");
        }
        fs::write(folder.path().join(file_name(&key("b"))), &good).unwrap();
        assert!(get(&cache, &key("b")).is_none(), "another snapshot's file went unnoticed");
    }

    #[test]
    fn an_image_survives_the_loss_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), u64::MAX).unwrap();
        let snapshot = snapshot(BLOCK * 4);
        put(&cache, "a", &snapshot);
        let (image, _) = get(&cache, &key("a")).unwrap();
        File::options()
            .write(true)
            .open(folder.path().join(file_name(&key("a"))))
            .unwrap()
            .set_len(3)
            .unwrap();
        assert!(bytes(&image) == snapshot.memory);
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 3 * BLOCK as u64 * 3).unwrap();
        for (age, name) in [(300, "old"), (200, "mid"), (100, "new")] {
            put(&cache, name, &snapshot(BLOCK * 4));
            let file = File::options().write(true).open(folder.path().join(file_name(&key(name)))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        put(&cache, "last", &snapshot(BLOCK * 8));
        assert!(get(&cache, &key("last")).is_some());
        let one_fits = Cache::open(folder.path(), 1).unwrap();
        put(&one_fits, "alone", &snapshot(BLOCK * 4));
        assert!(get(&one_fits, &key("alone")).is_some());
        assert!(get(&one_fits, &key("old")).is_none() && get(&one_fits, &key("last")).is_none());
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(folder.path(), 1).is_err());
    }

    #[test]
    fn a_snapshot_that_cannot_be_read_just_now_is_kept() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), u64::MAX).unwrap();
        put(&cache, "a", &snapshot(BLOCK));
        // Room for the snapshot's file, and not for the memory that it is read into. Tests run in a
        // process each.
        let before = getrlimit(Resource::Nofile);
        let next = File::open("/dev/null").unwrap();
        let free = std::os::fd::AsRawFd::as_raw_fd(&next) as u64;
        drop(next);
        setrlimit(Resource::Nofile, Rlimit { current: Some(free + 1), ..before }).unwrap();
        let found = get(&cache, &key("a")).is_some();
        setrlimit(Resource::Nofile, before).unwrap();
        assert!(!found);
        assert!(get(&cache, &key("a")).is_some(), "it was thrown away");
    }

    #[test]
    fn another_folder_under_the_same_name_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("cache"), folder.path().join("elsewhere"));
        let cache = Cache::open(&here, u64::MAX).unwrap();
        put(&cache, "a", &snapshot(BLOCK));
        fs::rename(&here, &there).unwrap();
        let other = Cache::open(&here, u64::MAX).unwrap();
        put(&other, "b", &snapshot(BLOCK));
        assert!(get(&cache, &key("a")).is_some() && get(&cache, &key("b")).is_none());
        put(&cache, "c", &snapshot(BLOCK));
        assert_eq!((cache.usage().unwrap().1, other.usage().unwrap().1), (2, 1));
        assert!(there.join(file_name(&key("c"))).exists());
    }

    #[test]
    fn a_file_that_others_can_write_is_not_run() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), u64::MAX).unwrap();
        put(&cache, "a", &snapshot(BLOCK));
        let path = folder.path().join(file_name(&key("a")));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(get(&cache, &key("a")).is_none());
        let elsewhere = folder.path().join("elsewhere");
        put(&cache, "a", &snapshot(BLOCK));
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(get(&cache, &key("a")).is_none(), "a link is followed");
    }
}
