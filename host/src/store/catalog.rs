//! The official models: whisper.cpp's files on Hugging Face.

use std::borrow::Cow;

use super::{Entry, StoreError};

/// The commit of `ggerganov/whisper.cpp` on Hugging Face that the entries are of, so that their
/// content never changes.
macro_rules! at_revision {
    ($name:literal) => {
        concat!("ggerganov/whisper.cpp/resolve/5359861c739e955e79d9a303bcbc70fb988958b1/ggml-", $name, ".bin")
    };
}

/// Dimensions of a Whisper, as a file's header has them, but for the type.
#[derive(Clone, Copy)]
struct Shape {
    n_vocab: i32,
    n_state: i32,
    n_head: i32,
    n_audio_layer: i32,
    n_text_layer: i32,
    n_mels: i32,
}

/// The sizes of OpenAI's release (Radford et al., 2022, table 1; large-v3 and turbo from their
/// model cards).
const fn multilingual(n_state: i32, n_head: i32, layers: i32) -> Shape {
    Shape { n_vocab: 51_865, n_state, n_head, n_audio_layer: layers, n_text_layer: layers, n_mels: 80 }
}

const TINY: Shape = multilingual(384, 6, 4);
const BASE: Shape = multilingual(512, 8, 6);
const SMALL: Shape = multilingual(768, 12, 12);
const MEDIUM: Shape = multilingual(1024, 16, 24);
const LARGE: Shape = multilingual(1280, 20, 32);
const LARGE_V3: Shape = Shape { n_vocab: 51_866, n_mels: 128, ..LARGE };
const TURBO: Shape = Shape { n_text_layer: 4, ..LARGE_V3 };

impl Shape {
    const fn english(self) -> Self {
        Self { n_vocab: 51_864, ..self }
    }
}

/// `ftype` of the headers: type, and ggml's quantization version 2 times 1000 where there is one.
/// Files of 5 bits that were made before that version state version 1 and are the same otherwise;
/// tiny.en-q5_1 and base-q5_1 are such ones.
const F16: i32 = 1;
const Q8_0: i32 = 2007;
const Q5_0: i32 = 2008;
const Q5_1: i32 = 2009;

macro_rules! entry {
    ($name:literal, $shape:expr, $ftype:expr, $bytes:literal, $sha256:literal) => {
        entry($name, at_revision!($name), $shape, $ftype, $bytes, $sha256)
    };
}

const fn entry(
    name: &'static str,
    path: &'static str,
    shape: Shape,
    ftype: i32,
    bytes: u64,
    sha256: &'static str,
) -> Entry {
    let Shape { n_vocab, n_state, n_head, n_audio_layer, n_text_layer, n_mels } = shape;
    Entry {
        name: Cow::Borrowed(name),
        path: Cow::Borrowed(path),
        bytes,
        sha256: Cow::Borrowed(sha256),
        fields: Some([
            n_vocab,
            1500,
            n_state,
            n_head,
            n_audio_layer,
            448,
            n_state,
            n_head,
            n_text_layer,
            n_mels,
            ftype,
        ]),
    }
}

/// All official models, **from the least to the most accurate**: by size, then multilingual after
/// English, then by type. The last one that is pulled is the one that is used when none is named.
///
/// Lengths and SHA-256 are those of the repository's large files at the commit in the paths, as
/// Hugging Face's interface states them (`api/models/ggerganov/whisper.cpp/tree/…`), taken over
/// from lists that other projects have published and that agree. The lengths also follow from the
/// dimensions: a test computes them.
#[rustfmt::skip]
pub static CATALOG: [Entry; 33] = [
    entry!("tiny.en-q5_1", TINY.english(), Q5_1, 32_166_155, "c77c5766f1cef09b6b7d47f21b546cbddd4157886b3b5d6d4f709e91e66c7c2b"),
    entry!("tiny.en-q8_0", TINY.english(), Q8_0, 43_550_795, "5bc2b3860aa151a4c6e7bb095e1fcce7cf12c7b020ca08dcec0c6d018bb7dd94"),
    entry!("tiny.en", TINY.english(), F16, 77_704_715, "921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f"),
    entry!("tiny-q5_1", TINY, Q5_1, 32_152_673, "818710568da3ca15689e31a743197b520007872ff9576237bda97bd1b469c3d7"),
    entry!("tiny-q8_0", TINY, Q8_0, 43_537_433, "c2085835d3f50733e2ff6e4b41ae8a2b8d8110461e18821b09a15c40c42d1cca"),
    entry!("tiny", TINY, F16, 77_691_713, "be07e048e1e599ad46341c8d2a135645097a538221678b7acdd1b1919c6e1b21"),
    entry!("base.en-q5_1", BASE.english(), Q5_1, 59_721_011, "4baf70dd0d7c4247ba2b81fafd9c01005ac77c2f9ef064e00dcf195d0e2fdd2f"),
    entry!("base.en-q8_0", BASE.english(), Q8_0, 81_781_811, "a4d4a0768075e13cfd7e19df3ae2dbc4a68d37d36a7dad45e8410c9a34f8c87e"),
    entry!("base.en", BASE.english(), F16, 147_964_211, "a03779c86df3323075f5e796cb2ce5029f00ec8869eee3fdfb897afe36c6d002"),
    entry!("base-q5_1", BASE, Q5_1, 59_707_625, "422f1ae452ade6f30a004d7e5c6a43195e4433bc370bf23fac9cc591f01a8898"),
    entry!("base-q8_0", BASE, Q8_0, 81_768_585, "c577b9a86e7e048a0b7eada054f4dd79a56bbfa911fbdacf900ac5b567cbb7d9"),
    entry!("base", BASE, F16, 147_951_465, "60ed5bc3dd14eea856493d334349b405782ddcaf0028d4b5df4088345fba2efe"),
    entry!("small.en-q5_1", SMALL.english(), Q5_1, 190_098_681, "bfdff4894dcb76bbf647d56263ea2a96645423f1669176f4844a1bf8e478ad30"),
    entry!("small.en-q8_0", SMALL.english(), Q8_0, 264_477_561, "67a179f608ea6114bd3fdb9060e762b588a3fb3bd00c4387971be4d177958067"),
    entry!("small.en", SMALL.english(), F16, 487_614_201, "c6138d6d58ecc8322097e0f987c32f1be8bb0a18532a3f88f734d1bbf9c41e5d"),
    entry!("small-q5_1", SMALL, Q5_1, 190_085_487, "ae85e4a935d7a567bd102fe55afc16bb595bdb618e11b2fc7591bc08120411bb"),
    entry!("small-q8_0", SMALL, Q8_0, 264_464_607, "49c8fb02b65e6049d5fa6c04f81f53b867b5ec9540406812c643f177317f779f"),
    entry!("small", SMALL, F16, 487_601_967, "1be3a9b2063867b937e64e2ec7483364a79917e157fa98c5d94b5c1fffea987b"),
    entry!("medium.en-q5_0", MEDIUM.english(), Q5_0, 539_225_533, "76733e26ad8fe1c7a5bf7531a9d41917b2adc0f20f2e4f5531688a8c6cd88eb0"),
    entry!("medium.en-q8_0", MEDIUM.english(), Q8_0, 823_382_461, "43fa2cd084de5a04399a896a9a7a786064e221365c01700cea4666005218f11c"),
    entry!("medium.en", MEDIUM.english(), F16, 1_533_774_781, "cc37e93478338ec7700281a7ac30a10128929eb8f427dda2e865faa8f6da4356"),
    entry!("medium-q5_0", MEDIUM, Q5_0, 539_212_467, "19fea4b380c3a618ec4723c3eef2eb785ffba0d0538cf43f8f235e7b3b34220f"),
    entry!("medium-q8_0", MEDIUM, Q8_0, 823_369_779, "42a1ffcbe4167d224232443396968db4d02d4e8e87e213d3ee2e03095dea6502"),
    entry!("medium", MEDIUM, F16, 1_533_763_059, "6c14d5adee5f86394037b4e4e8b59f1673b6cee10e3cf0b11bbdbee79c156208"),
    entry!("large-v1", LARGE, F16, 3_094_623_691, "7d99f41a10525d0206bddadd86760181fa920438b6b33237e3118ff6c83bb53d"),
    entry!("large-v2-q5_0", LARGE, Q5_0, 1_080_732_091, "3a214837221e4530dbc1fe8d734f302af393eb30bd0ed046042ebf4baf70f6f2"),
    entry!("large-v2-q8_0", LARGE, Q8_0, 1_656_129_691, "fef54e6d898246a65c8285bfa83bd1807e27fadf54d5d4e81754c47634737e8c"),
    entry!("large-v2", LARGE, F16, 3_094_623_691, "9a423fe4d40c82774b6af34115b8b935f34152246eb19e80e376071d3f999487"),
    entry!("large-v3-turbo-q5_0", TURBO, Q5_0, 574_041_195, "394221709cd5ad1f40c46e6031ca61bce88931e6e088c188294c6d5a55ffa7e2"),
    entry!("large-v3-turbo-q8_0", TURBO, Q8_0, 874_188_075, "317eb69c11673c9de1e1f0d459b253999804ec71ac4c23c17ecf5fbe24e259a1"),
    entry!("large-v3-turbo", TURBO, F16, 1_624_555_275, "1fc70f774d38eb169993ac391eea357ef47c88757ef72ee5943879b7e8e2bc69"),
    entry!("large-v3-q5_0", LARGE_V3, Q5_0, 1_081_140_203, "d75795ecff3f83b5faa89d1900604ad8c780abd5739fae406de19f23ecd98ad1"),
    entry!("large-v3", LARGE_V3, F16, 3_095_033_483, "64d182b440b98d5203c4f9bd541544d84c605196c4f7b845dfa11fb23594d1e2"),
];

/// The official model of that name.
///
/// # Errors
///
/// [`StoreError::Unknown`] with the nearest names.
pub fn official(name: &str) -> Result<&'static Entry, StoreError> {
    CATALOG.iter().find(|entry| entry.name == name).ok_or_else(|| StoreError::unknown(name, []))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Header, ModelError};

    /// Bytes of the vocabularies in OpenAI's order, each entry with its length: the same in every
    /// file.
    const ENGLISH: u64 = 521_855;
    const MULTILINGUAL: u64 = 508_085;

    #[test]
    fn lengths_are_what_the_dimensions_give() {
        for entry in &CATALOG {
            let fields = entry.fields.unwrap();
            let vocabulary = if fields[0] == 51_864 { ENGLISH } else { MULTILINGUAL };
            // Magic, header, mel filters with their sizes, number of entries.
            let fixed = 4 + 44 + 8 + fields[9] as u64 * 201 * 4 + 4;
            let tensors = crate::model::tensor_bytes(fields);
            assert_eq!(entry.bytes, fixed + vocabulary + tensors, "{}", entry.name);
        }
    }

    #[test]
    fn every_entry_is_well_formed_and_there_once() {
        for (at, entry) in CATALOG.iter().enumerate() {
            let same = Entry::new(&entry.name, &entry.path, entry.bytes, &entry.sha256).unwrap();
            assert_eq!(same.file(), format!("ggml-{}.bin", entry.name));
            assert!(entry.path.ends_with(&same.file()));
            assert!(
                CATALOG[..at].iter().all(|other| other.name != entry.name && other.sha256 != entry.sha256)
            );
            assert_eq!(entry.name.contains(".en"), entry.multilingual() == Some(false), "{}", entry.name);
        }
    }

    #[test]
    fn models_that_do_not_fit_are_those_that_the_checker_refuses() {
        let refused: Vec<&str> =
            CATALOG.iter().filter(|entry| !entry.fits()).map(|entry| &*entry.name).collect();
        assert_eq!(refused, ["large-v1", "large-v2", "large-v3"]);
        for entry in &CATALOG {
            match Header::new(entry.fields.unwrap()) {
                Ok(header) => assert_eq!(entry.memory(), Some(header.guest_memory())),
                Err(ModelError::WeightsTooLarge { needed, .. }) => assert_eq!(entry.memory(), Some(needed)),
                Err(error) => panic!("{}: {error}", entry.name),
            }
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        let message = official("base-en").unwrap_err().to_string();
        assert!(message.contains("did you mean base.en"), "{message}");
        let message = official("tinny").unwrap_err().to_string();
        assert!(message.contains("tiny"), "{message}");
        let message = official("\u{1b}[2J").unwrap_err().to_string();
        assert!(!message.contains('\u{1b}') && message.contains("hearken models list"), "{message}");
    }
}
