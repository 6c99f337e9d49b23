//! The file of a kept stream: a log of records.
//!
//! After [`MAGIC`], whose digits are the version, each record is its length and its CRC-32 (4 bytes
//! each, little-endian), then its content as postcard has it. A log is read up to the first record
//! that is not whole: what a process that was killed did not complete it told nobody.

use std::mem;

use hearken::session::{Checkpoint, SessionEvent};
use serde::{Deserialize, Serialize};

use super::super::replay_buffer::ReplayBuffer;

/// The first bytes of a file.
const MAGIC: &[u8; 8] = b"hkstrm01";
/// The part of them that all versions have.
const KIND: usize = 6;
/// Maximum number of channels of a stream.
const MAX_CHANNELS: usize = 8;

/// A record of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Record {
    /// The first one; a later one takes its place.
    Header(Header),
    /// All that was kept until then: in place of the records before.
    Kept(Kept),
    /// Events and audio since the record before.
    Step(Step),
}

/// Owner and options of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Name of its tenant.
    pub(crate) tenant: String,
    /// Hash of the key with which its client came last.
    pub(crate) key: Option<String>,
    /// Name of the model.
    pub(crate) model: String,
    /// The client's first message.
    pub(crate) start: String,
}

/// A stream's progress since the record before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Number of channels of the client's audio.
    pub(crate) channels: u16,
    /// Progress of each session.
    pub(crate) sessions: Vec<Checkpoint>,
    /// Events of the sessions, by their index.
    pub(crate) events: Vec<(usize, SessionEvent)>,
    /// Numbered messages to the client.
    pub(crate) messages: Vec<String>,
    /// Number of the last message that the client is known to have.
    pub(crate) forgotten: u64,
}

/// Everything that is kept of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Number of channels of the client's audio.
    pub(crate) channels: u16,
    /// Sessions: one, or one for each channel.
    pub(crate) sessions: Vec<Checkpoint>,
    /// Messages that the client may lack.
    pub(crate) history: ReplayBuffer,
}

/// Why a file is not the log of a stream.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("it is not the file of a stream")]
    Foreign,
    #[error("another version of hearken wrote it")]
    Version,
    #[error("its beginning is damaged")]
    Header,
    #[error("its records contradict each other")]
    Records,
}

impl Kept {
    fn apply(&mut self, step: Step) {
        self.channels = step.channels;
        for (index, later) in step.sessions.into_iter().enumerate().take(MAX_CHANNELS) {
            match self.sessions.get_mut(index) {
                Some(session) => session.absorb(later),
                None => self.sessions.push(later),
            }
        }
        for (index, event) in step.events {
            if let Some(session) = self.sessions.get_mut(index) {
                session.note(&event);
            }
        }
        for message in step.messages {
            self.history.push(&message);
        }
        self.history.forget_until(step.forgotten);
    }

    fn check(&self) -> Result<(), Damage> {
        let channels = (1..=MAX_CHANNELS).contains(&usize::from(self.channels));
        let sessions = (1..=MAX_CHANNELS).contains(&self.sessions.len());
        if !channels || !sessions || self.sessions.iter().any(|session| session.check().is_err()) {
            return Err(Damage::Records);
        }
        Ok(())
    }
}

impl Record {
    /// Appends the record to `bytes`, which are a log's from its beginning, or from any record on.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        // Our own types are encoded.
        let content = postcard::to_allocvec(self).unwrap_or_default();
        bytes.extend((content.len() as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(&content).to_le_bytes());
        bytes.extend(content);
    }

    /// Takes the next whole record off the bytes.
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (content, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        // A fuzzer does not find checksums.
        if !cfg!(fuzzing) && crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (record, behind) = postcard::take_from_bytes(content).ok()?;
        *bytes = rest;
        behind.is_empty().then_some(record)
    }
}

/// Returns the beginning of a log.
pub(super) fn begin(header: Header) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    Record::Header(header).write(&mut bytes);
    bytes
}

/// Returns a log of these two records, and gives the second one back.
pub(super) fn compact(header: Header, kept: Kept) -> (Vec<u8>, Kept) {
    let mut bytes = begin(header);
    let mut record = Record::Kept(kept);
    record.write(&mut bytes);
    let Record::Kept(kept) = &mut record else { return (bytes, Kept::default()) };
    (bytes, mem::take(kept))
}

/// Reads a log.
pub(super) fn read(bytes: &[u8]) -> Result<(Header, Kept), Damage> {
    let (magic, mut rest) = bytes.split_first_chunk::<8>().ok_or(Damage::Foreign)?;
    if magic != MAGIC {
        let same_kind = magic[..KIND] == MAGIC[..KIND];
        return Err(if same_kind { Damage::Version } else { Damage::Foreign });
    }
    let Some(Record::Header(mut header)) = Record::read(&mut rest) else { return Err(Damage::Header) };
    let mut kept = Kept::default();
    while let Some(record) = Record::read(&mut rest) {
        match record {
            Record::Header(later) => header = later,
            Record::Kept(whole) => kept = whole,
            Record::Step(step) => kept.apply(step),
        }
    }
    kept.check()?;
    Ok((header, kept))
}

/// Reads a log that somebody made to do harm, for fuzzing.
#[cfg(any(test, fuzzing))]
pub(crate) fn attack(bytes: &[u8]) {
    if let Ok((header, kept)) = read(bytes) {
        let (bytes, kept) = compact(header, kept);
        let (_, again) = read(&bytes).expect("what was read can be written");
        assert_eq!(again.sessions.len(), kept.sessions.len());
    }
}

/// Returns logs that are in order, from which a fuzzer starts.
#[cfg(any(test, fuzzing))]
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let header = Header {
        tenant: "local".to_owned(),
        key: None,
        model: "hearken".to_owned(),
        start: r#"{"encoding":"s16le","sample_rate":16000,"channels":1}"#.to_owned(),
    };
    let step = |forgotten| Step {
        channels: 1,
        sessions: vec![Checkpoint::default()],
        events: vec![(0, SessionEvent::SpeechStarted { position: 0 })],
        messages: vec![r#"{"seq":1,"frames":0,"type":"speech_started","at":0.0}"#.to_owned()],
        forgotten,
    };
    let mut log = begin(header.clone());
    Record::Step(step(0)).write(&mut log);
    let (_, kept) = read(&log).expect("it is in order");
    let (compacted, _) = compact(header, kept);
    Record::Step(step(1)).write(&mut log);
    vec![log, compacted]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(kept: &Kept) -> Vec<&str> {
        let after = kept.history.after(kept.history.forgotten());
        after.unwrap_or_else(|rejection| panic!("{rejection}")).collect()
    }

    #[test]
    fn a_log_that_is_cut_anywhere_is_read_up_to_its_last_whole_record() {
        let log = &seeds()[0];
        let mut rest = &log[MAGIC.len()..];
        let ends: Vec<usize> =
            std::iter::from_fn(|| Record::read(&mut rest).map(|_| log.len() - rest.len())).collect();
        let [_, first, second] = ends[..] else { panic!("a header and two steps: {ends:?}") };
        assert_eq!(second, log.len());
        for end in 0..log.len() {
            match read(&log[..end]) {
                Ok((_, kept)) if end >= first => assert_eq!(messages(&kept).len(), 1, "{end}"),
                Err(_) if end < first => {}
                other => panic!("{end}: {other:?}"),
            }
        }
        let (_, kept) = read(log).unwrap();
        assert_eq!((messages(&kept).len(), kept.history.next()), (1, 3), "the first one is acknowledged");
    }

    #[test]
    fn a_changed_byte_costs_its_record_and_those_behind() {
        let log = &seeds()[0];
        for at in 0..log.len() {
            let mut changed = log.clone();
            changed[at] ^= 1;
            if let Ok((_, kept)) = read(&changed) {
                assert!(messages(&kept).len() <= 1 && kept.history.next() <= 2, "{at}");
            }
        }
    }

    #[test]
    fn a_log_of_another_version_or_kind_is_named() {
        let mut log = seeds()[0].clone();
        log[7] = b'2';
        assert_eq!(read(&log), Err(Damage::Version));
        log[0] = b'x';
        assert_eq!(read(&log), Err(Damage::Foreign));
        assert_eq!(read(b"hk"), Err(Damage::Foreign));
    }

    #[test]
    fn a_length_beyond_the_file_is_no_memory() {
        let mut log =
            begin(Header { tenant: String::new(), key: None, model: String::new(), start: String::new() });
        let claimed = log.len();
        // A list of 2^63 elements, as postcard counts: with a checksum that is right.
        let content = [&[2, 1][..], &[0x80; 8], &[0x80, 1]].concat();
        log.extend((content.len() as u32).to_le_bytes());
        log.extend(crc32fast::hash(&content).to_le_bytes());
        log.extend(content);
        assert_eq!(read(&log), Err(Damage::Records), "nothing was kept");
        log.truncate(claimed);
        log.extend([0xff; 8]);
        assert_eq!(read(&log), Err(Damage::Records));
    }

    #[test]
    fn a_compacted_log_is_the_same_stream() {
        let log = &seeds()[0];
        let (header, kept) = read(log).unwrap();
        let (compacted, given_back) = compact(header.clone(), kept.clone());
        assert_eq!(given_back, kept);
        assert_eq!(read(&compacted), Ok((header, kept)));
        seeds().iter().for_each(|seed| attack(seed));
    }
}
