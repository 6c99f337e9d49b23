//! Header of a model file, checked against its bounds.

use hearken_proto::compute::Element;
use hearken_proto::window::SAMPLES_PER_POSITION;

use super::{ModelError, memory};

/// Largest model width. Whisper's large has 1280; above this one layer's activations alone exceed
/// the sandbox.
const MAX_STATE: i32 = 4096;
/// Most layers on either side. Large has 32; whisper.cpp's graphs hold 4096 nodes, and a decoder
/// layer takes 62.
const MAX_LAYERS: i32 = 48;
/// Longest encoder context: whisper.cpp computes features of 30 s, 50 positions a second.
const MAX_AUDIO_CTX: i32 = 1500;
/// Shortest encoder context, 1 s: less holds no word.
const MIN_AUDIO_CTX: i32 = 50;
/// Longest decoder context. All of Whisper's have 448; whisper.cpp reserves a row of logits for
/// each position.
const MAX_TEXT_CTX: i32 = 448;
/// Shortest decoder context: whisper.cpp's batches hold this many tokens, and prefixes and prompts
/// must fit.
const MIN_TEXT_CTX: i32 = 64;
/// Most attention heads. Large has 20.
const MAX_HEADS: i32 = 64;
/// Vocabulary sizes for which whisper.cpp's numbers of special tokens and languages come out right:
/// English, multilingual, and multilingual with Cantonese.
const VOCABULARIES: [i32; 3] = [51_864, 51_865, 51_866];

/// A model's dimensions, as its header states them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Dims {
    /// Tokens: 51,864 (English), 51,865 or 51,866 (multilingual).
    pub n_vocab: u32,
    /// Positions of the encoder, 20 ms each: 50..=1500.
    pub n_audio_ctx: u32,
    /// Width of the encoder, 1..=4096.
    pub n_audio_state: u32,
    /// Attention heads of the encoder, 1..=64.
    pub n_audio_head: u32,
    /// Layers of the encoder, 1..=48.
    pub n_audio_layer: u32,
    /// Positions of the decoder, 64..=448 tokens.
    pub n_text_ctx: u32,
    /// Width of the decoder: the encoder's.
    pub n_text_state: u32,
    /// Attention heads of the decoder, 1..=64.
    pub n_text_head: u32,
    /// Layers of the decoder, 1..=48.
    pub n_text_layer: u32,
    /// Mel bands of the features: 80 or 128.
    pub n_mels: u32,
}

/// The type of a model's large weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ftype {
    /// 32-bit floats: small tensors only. whisper.cpp 1.8.3 aborts at the first convolution of a
    /// model whose large weights are, so such models are refused.
    F32,
    /// 16-bit floats.
    F16,
    /// 4 bits, one scale in 32.
    Q4_0,
    /// 4 bits, one scale and minimum in 32.
    Q4_1,
    /// 5 bits, one scale in 32.
    Q5_0,
    /// 5 bits, one scale and minimum in 32.
    Q5_1,
    /// 8 bits, one scale in 32.
    Q8_0,
    /// 2 bits, super-blocks of 256.
    Q2K,
    /// 3 bits, super-blocks of 256.
    Q3K,
    /// 4 bits, super-blocks of 256.
    Q4K,
    /// 5 bits, super-blocks of 256.
    Q5K,
    /// 6 bits, super-blocks of 256.
    Q6K,
}

impl Ftype {
    /// Converts the header's number without its quantization version (`enum ggml_ftype`).
    fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            7 => Self::Q8_0,
            8 => Self::Q5_0,
            9 => Self::Q5_1,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            _ => return None,
        })
    }

    /// The header's number: quantized types have ggml's version 2 of their layouts in front.
    pub(crate) fn file_number(self) -> i32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2002,
            Self::Q4_1 => 2003,
            Self::Q8_0 => 2007,
            Self::Q5_0 => 2008,
            Self::Q5_1 => 2009,
            Self::Q2K => 2010,
            Self::Q3K => 2011,
            Self::Q4K => 2012,
            Self::Q5K => 2013,
            Self::Q6K => 2014,
        }
    }

    /// The number by which a tensor states this type (`enum ggml_type`), elements of a block, bytes
    /// of a block.
    pub(crate) fn tensor_type(self) -> (i32, u64, u64) {
        let of = |number, element: Element| (number, element.block_len(), element.block_bytes());
        match self {
            Self::F32 => of(0, Element::F32),
            Self::F16 => of(1, Element::F16),
            Self::Q4_0 => of(2, Element::Q4_0),
            Self::Q4_1 => of(3, Element::Q4_1),
            Self::Q5_0 => of(6, Element::Q5_0),
            Self::Q5_1 => of(7, Element::Q5_1),
            Self::Q8_0 => of(8, Element::Q8_0),
            Self::Q2K => (10, 256, 84),
            Self::Q3K => (11, 256, 110),
            Self::Q4K => (12, 256, 144),
            Self::Q5K => (13, 256, 176),
            Self::Q6K => (14, 256, 210),
        }
    }

    /// Usual name, as in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
            Self::Q2K => "q2_k",
            Self::Q3K => "q3_k",
            Self::Q4K => "q4_k",
            Self::Q5K => "q5_k",
            Self::Q6K => "q6_k",
        }
    }
}

impl std::fmt::Display for Ftype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A model's header. Only [`check`](super::check) makes one, so its dimensions are always within
/// their ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    dims: Dims,
    ftype: Ftype,
}

impl Header {
    /// Checks the eleven integers after the magic number.
    pub(crate) fn new(fields: [i32; 11]) -> Result<Self, ModelError> {
        let [n_vocab, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer, ..] = fields;
        let [.., n_text_ctx, n_text_state, n_text_head, n_text_layer, n_mels, ftype] = fields;
        if !VOCABULARIES.contains(&n_vocab) {
            return Err(outside("n_vocab", n_vocab, "51864, 51865 or 51866"));
        }
        within("n_audio_ctx", n_audio_ctx, MIN_AUDIO_CTX, MAX_AUDIO_CTX)?;
        within("n_audio_state", n_audio_state, 1, MAX_STATE)?;
        within("n_audio_head", n_audio_head, 1, MAX_HEADS)?;
        within("n_audio_layer", n_audio_layer, 1, MAX_LAYERS)?;
        within("n_text_ctx", n_text_ctx, MIN_TEXT_CTX, MAX_TEXT_CTX)?;
        within("n_text_head", n_text_head, 1, MAX_HEADS)?;
        within("n_text_layer", n_text_layer, 1, MAX_LAYERS)?;
        if n_text_state != n_audio_state {
            let allowed = format!("n_audio_state ({n_audio_state}): the decoder reads the encoder's output");
            return Err(outside("n_text_state", n_text_state, &allowed));
        }
        for (name, heads) in [("n_audio_state", n_audio_head), ("n_text_state", n_text_head)] {
            if n_audio_state % heads != 0 {
                return Err(outside(name, n_audio_state, &format!("divisible by its {heads} heads")));
            }
        }
        if n_mels != 80 && n_mels != 128 {
            return Err(outside("n_mels", n_mels, "80 or 128"));
        }
        // The number is version · 1000 + type. Version 2 is ggml's present block layout; 0 comes
        // from writers without versions; version 1 had other layouts, which whisper.cpp would
        // misread silently, but for those of 5 bits: whisper.cpp's official files of these state
        // version 1.
        let kind = Ftype::from_number(ftype.rem_euclid(1000)).filter(|kind| match ftype.div_euclid(1000) {
            0 | 2 => true,
            1 => matches!(kind, Ftype::Q5_0 | Ftype::Q5_1),
            _ => false,
        });
        let kind = kind.ok_or(ModelError::Ftype { ftype })?;
        let block = kind.tensor_type().1;
        if u64::from(n_audio_state.unsigned_abs()) % block != 0 {
            return Err(outside(
                "n_audio_state",
                n_audio_state,
                &format!("divisible by {block} to be {kind}"),
            ));
        }
        let dims = Dims {
            n_vocab: n_vocab.unsigned_abs(),
            n_audio_ctx: n_audio_ctx.unsigned_abs(),
            n_audio_state: n_audio_state.unsigned_abs(),
            n_audio_head: n_audio_head.unsigned_abs(),
            n_audio_layer: n_audio_layer.unsigned_abs(),
            n_text_ctx: n_text_ctx.unsigned_abs(),
            n_text_state: n_text_state.unsigned_abs(),
            n_text_head: n_text_head.unsigned_abs(),
            n_text_layer: n_text_layer.unsigned_abs(),
            n_mels: n_mels.unsigned_abs(),
        };
        let header = Self { dims, ftype: kind };
        let needed = header.guest_memory();
        if needed > memory::LIMIT {
            return Err(ModelError::TooLarge { needed, limit: memory::LIMIT });
        }
        let weights = memory::weights(&header);
        if weights > memory::PIECE {
            return Err(ModelError::WeightsTooLarge { weights, limit: memory::PIECE, needed });
        }
        Ok(header)
    }

    /// The eleven integers after the magic number.
    pub(crate) fn fields(&self) -> [i32; 11] {
        let Dims {
            n_vocab,
            n_audio_ctx,
            n_audio_state,
            n_audio_head,
            n_audio_layer,
            n_text_ctx,
            n_text_state,
            n_text_head,
            n_text_layer,
            n_mels,
        } = self.dims;
        let [encoder, decoder] = [
            [n_vocab, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer],
            [n_text_ctx, n_text_state, n_text_head, n_text_layer, n_mels],
        ];
        let mut fields = [self.ftype.file_number(); 11];
        for (field, value) in fields.iter_mut().zip(encoder.into_iter().chain(decoder)) {
            // All of them were read as one of these.
            *field = value.cast_signed();
        }
        fields
    }

    /// The dimensions.
    pub fn dims(&self) -> &Dims {
        &self.dims
    }

    /// Type of the large weights.
    pub fn ftype(&self) -> Ftype {
        self.ftype
    }

    /// Returns true if it knows more languages than English.
    pub fn multilingual(&self) -> bool {
        self.dims.n_vocab > 51_864
    }

    /// Context of the model [samples at 16 kHz], 16,000..=480,000.
    pub fn context_samples(&self) -> u64 {
        u64::from(self.dims.n_audio_ctx) * u64::from(SAMPLES_PER_POSITION)
    }

    /// `tiny`, `base`, `small`, `medium` or `large` for a Whisper of that width and encoder depth,
    /// else `custom`. A shallower decoder (distilled, turbo) does not change the name.
    pub fn size_name(&self) -> &'static str {
        match (self.dims.n_audio_state, self.dims.n_audio_layer) {
            (384, 4) => "tiny",
            (512, 6) => "base",
            (768, 12) => "small",
            (1024, 24) => "medium",
            (1280, 32) => "large",
            _ => "custom",
        }
    }

    /// About how much of the sandbox's memory the model takes with one decoder at full context, in
    /// bytes: weights, key and value caches, compute buffers, logits, vocabulary and the recognizer
    /// itself. Computed from whisper.cpp 1.8.3's allocations with flash attention off, which takes
    /// more.
    pub fn guest_memory(&self) -> u64 {
        memory::estimate(self)
    }
}

fn outside(name: &'static str, value: i32, allowed: &str) -> ModelError {
    ModelError::Dimension { name, value: value.into(), allowed: allowed.to_owned() }
}

fn within(name: &'static str, value: i32, min: i32, max: i32) -> Result<(), ModelError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(outside(name, value, &format!("{min} to {max}"))) }
}
