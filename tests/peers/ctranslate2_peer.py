"""CTranslate2 (the engine of faster-whisper) with the weights of a ggml file, as a program that is timed.

`ctranslate2_peer.py MODEL.bin int8|float32` says `ready`, then for each line with a number of tokens that it reads encodes
once, decodes so many tokens, and answers the nanoseconds that the encoder and all the tokens took. One thread.
"""

import struct
import sys
import tempfile
import time

import ctranslate2
import numpy as np
from ctranslate2.specs import whisper_spec

# What follows the text of a vocabulary, by the distance to its end, and the first timestamp's; languages lie between.
SPECIAL = {
    0: "<|endoftext|>", 1: "<|startoftranscript|>", 2: "<|en|>", 101: "<|translate|>", 102: "<|transcribe|>",
    103: "<|startoflm|>", 104: "<|startofprev|>", 105: "<|nospeech|>", 106: "<|notimestamps|>",
}  # fmt: skip
HPARAMS = [
    "vocab", "audio_ctx", "state", "heads", "audio_layers", "text_ctx", "text_state", "text_heads", "text_layers",
    "mels", "ftype",
]  # fmt: skip


def read_ggml(path):
    """Header, vocabulary (bytes) and tensors (f32 or f16) of a whisper.cpp model file."""
    with open(path, "rb") as file:

        def integers(count):
            return struct.unpack(f"<{count}i", file.read(4 * count))

        assert integers(1)[0] == 0x67676D6C, "not a ggml file"
        hparams = dict(zip(HPARAMS, integers(len(HPARAMS))))
        bands, bins = integers(2)
        file.seek(4 * bands * bins, 1)
        vocabulary = [file.read(integers(1)[0]) for _ in range(integers(1)[0])]
        tensors = {}
        while head := file.read(12):
            dims, length, kind = struct.unpack("<3i", head)
            shape = integers(dims)[::-1]
            name = file.read(length).decode()
            dtype = {0: np.float32, 1: np.float16}[kind]
            data = np.fromfile(file, dtype, int(np.prod(shape)))
            tensors[name] = data.reshape(shape).astype(np.float32)
    return hparams, vocabulary, tensors


def end_of_text(hparams):
    """The token that ends a text: the first behind the words'."""
    return 50_257 if hparams["vocab"] > 51_864 else 50_256


def specification(hparams, tensors):
    """The same weights under CTranslate2's names."""
    spec = whisper_spec.WhisperSpec(
        hparams["audio_layers"], hparams["heads"], hparams["text_layers"], hparams["text_heads"]
    )

    def norm(layer, name):
        layer.gamma, layer.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    def linear(layer, *names):
        weights = [tensors[f"{name}.weight"] for name in names]
        # Keys have no bias.
        biases = [tensors.get(f"{name}.bias", np.zeros(len(w), np.float32)) for name, w in zip(names, weights)]
        layer.weight, layer.bias = np.concatenate(weights), np.concatenate(biases)

    def block(layer, name, cross):
        linear(layer.self_attention.linear[0], *(f"{name}.attn.{part}" for part in ("query", "key", "value")))
        linear(layer.self_attention.linear[1], f"{name}.attn.out")
        norm(layer.self_attention.layer_norm, f"{name}.attn_ln")
        if cross:
            linear(layer.attention.linear[0], f"{name}.cross_attn.query")
            linear(layer.attention.linear[1], f"{name}.cross_attn.key", f"{name}.cross_attn.value")
            linear(layer.attention.linear[2], f"{name}.cross_attn.out")
            norm(layer.attention.layer_norm, f"{name}.cross_attn_ln")
        norm(layer.ffn.layer_norm, f"{name}.mlp_ln")
        linear(layer.ffn.linear_0, f"{name}.mlp.0")
        linear(layer.ffn.linear_1, f"{name}.mlp.2")

    encoder, decoder = spec.encoder, spec.decoder
    for index in (1, 2):
        layer = getattr(encoder, f"conv{index}")
        layer.weight = tensors[f"encoder.conv{index}.weight"]
        layer.bias = tensors[f"encoder.conv{index}.bias"].reshape(-1)
    encoder.position_encodings.encodings = tensors["encoder.positional_embedding"]
    norm(encoder.layer_norm, "encoder.ln_post")
    for index, layer in enumerate(encoder.layer):
        block(layer, f"encoder.blocks.{index}", cross=False)
    decoder.embeddings.weight = tensors["decoder.token_embedding.weight"]
    decoder.projection.weight = decoder.embeddings.weight
    decoder.position_encodings.encodings = tensors["decoder.positional_embedding"]
    decoder.scale_embeddings = False
    norm(decoder.layer_norm, "decoder.ln")
    for index, layer in enumerate(decoder.layer):
        block(layer, f"decoder.blocks.{index}", cross=True)

    text = end_of_text(hparams)
    names = [f"t{index}" for index in range(hparams["vocab"])]
    for offset, name in SPECIAL.items():
        names[text + offset] = name
    if text == 50_257:
        # The token before it is empty, which is how CTranslate2 knows a multilingual model.
        names[text - 1] = ""
    spec.register_vocabulary(names)
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
    spec.config.lang_ids, spec.config.alignment_heads = [text + 2], [(hparams["text_layers"] - 1, 0)]
    return spec


def load(hparams, tensors, precision):
    """CTranslate2's model, for one thread."""
    spec = specification(hparams, tensors)
    spec.validate()
    spec.optimize()
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        return ctranslate2.models.Whisper(
            folder, device="cpu", compute_type=precision, intra_threads=1, inter_threads=1
        )


def main():
    path, precision = sys.argv[1:]
    hparams, _, tensors = read_ggml(path)
    text = end_of_text(hparams)
    model = load(hparams, tensors, precision)
    frames = np.random.default_rng(1).standard_normal((1, hparams["mels"], 2 * hparams["audio_ctx"]))
    features = ctranslate2.StorageView.from_array(frames.astype(np.float32))

    def decode(encoded, count):
        """Nanoseconds and tokens. The end of the text is suppressed, so that the length is what was asked for."""
        start = time.perf_counter_ns()
        # CTranslate2 stops at half of the positions that it is given.
        result = model.generate(
            encoded, [[text + 1, text + 2, text + 102, text + 106]], beam_size=1, max_length=2 * count,
            suppress_tokens=[text], suppress_blank=False,
        )  # fmt: skip
        return time.perf_counter_ns() - start, len(result[0].sequences_ids[0])

    print("ready", flush=True)
    for line in sys.stdin:
        count = int(line)
        start = time.perf_counter_ns()
        encoded = model.encode(features)
        encoder = time.perf_counter_ns() - start
        # The start of the transcript and the first tokens are taken off, as in the other engines.
        few, some = decode(encoded, 4)
        many, all_tokens = decode(encoded, count + 4)
        print(encoder, (many - few) * count // (all_tokens - some), flush=True)


if __name__ == "__main__":
    main()
