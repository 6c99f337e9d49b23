"""Writes a checkpoint, or the mean of several, as a whisper.cpp model file: `ggml.py CHECKPOINT… OUT --type f16|q8_0|q5_1`.

The format is that of whisper.cpp's models/convert-pt-to-ggml.py; the block types are those of ggml-quants.c.
"""
import argparse, pathlib, struct

import numpy as np
import torch
from whisper.audio import mel_filters

from model import N_VOCAB, TEXT_CONTEXT, Size, used_tokens
from windows import FRAMES, tokens_as_bytes

F32, F16, Q5_1, Q8_0 = 0, 1, 7, 8
# The number that the header states for each type; quantized files add 1000 times the version of the formats, 2.
TYPES = {"f16": (F16, 1), "q8_0": (Q8_0, 2007), "q5_1": (Q5_1, 2009)}
# Too small to be worth rounding, and read as f32.
EXACT = ("encoder.conv1.bias", "encoder.conv2.bias", "encoder.positional_embedding", "decoder.positional_embedding")


def q8_0(matrix):
    """Blocks of 32: a scale (f16) and 32 signed bytes."""
    blocks = matrix.reshape(-1, 32)
    scale = np.abs(blocks).max(1, keepdims=True) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    out = np.empty(len(blocks), np.dtype([("scale", "<f2"), ("values", "i1", 32)]))
    out["scale"], out["values"] = scale[:, 0], np.round(blocks * inverse)
    return out.tobytes()


def q5_1(matrix):
    """Blocks of 32: a scale and a least value (f16), the fifth bits, and 32 halves of bytes."""
    blocks = matrix.reshape(-1, 32)
    least = blocks.min(1, keepdims=True)
    scale = (blocks.max(1, keepdims=True) - least) / 31
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    values = np.clip(np.floor((blocks - least) * inverse + 0.5), 0, 31).astype(np.uint32)
    out = np.empty(len(blocks), np.dtype([("scale", "<f2"), ("least", "<f2"), ("high", "<u4"), ("low", "u1", 16)]))
    out["scale"], out["least"] = scale[:, 0], least[:, 0]
    out["high"] = ((values >> 4) << np.arange(32, dtype=np.uint32)).sum(1)
    out["low"] = (values[:, :16] & 15) | (values[:, 16:] & 15) << 4
    return out.tobytes()


PACK = {F32: lambda m: m.astype("<f4").tobytes(), F16: lambda m: m.astype("<f2").tobytes(), Q8_0: q8_0, Q5_1: q5_1}


def tensors(checkpoint):
    """The tensors that Whisper has, by OpenAI's names; the one row of all unused tokens is repeated for each."""
    size, state = Size(**checkpoint["size"]), {n: t.numpy() for n, t in checkpoint["model"].items()}
    rows = np.full(N_VOCAB, len(used_tokens()))
    rows[used_tokens()] = np.arange(len(used_tokens()))
    for name, tensor in state.items():
        if name.startswith("frame_"):
            continue
        if name == "decoder.token_embedding.weight":
            tensor = tensor[rows]
        elif name in ("encoder.conv1.bias", "encoder.conv2.bias"):
            tensor = tensor[:, None]
        yield name, tensor.astype(np.float32)


def write(checkpoint, path, kind):
    wanted, ftype = TYPES[kind]
    size = Size(**checkpoint["size"])
    with open(path, "wb") as out:
        out.write(struct.pack("<I", 0x67676D6C))
        out.write(struct.pack(
            "<11i", N_VOCAB, FRAMES, size.state, size.heads, size.encoder_layers, TEXT_CONTEXT, size.state, size.heads,
            size.decoder_layers, 80, ftype,
        ))
        filters = mel_filters("cpu", 80).numpy().astype("<f4")
        out.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        words = tokens_as_bytes()
        out.write(struct.pack("<i", len(words)))
        for word in words:
            out.write(struct.pack("<i", len(word)) + word)
        for name, tensor in tensors(checkpoint):
            if tensor.ndim < 2 or name in EXACT:
                stored = F32
            elif tensor.ndim == 2:
                stored = wanted
            else:
                stored = F16
            encoded = name.encode()
            out.write(struct.pack("<3i", tensor.ndim, len(encoded), stored))
            out.write(struct.pack(f"<{tensor.ndim}i", *reversed(tensor.shape)))
            out.write(encoded + PACK[stored](tensor))


def mean(checkpoints):
    """Of checkpoints that have learned from each other; often better than either (Wortsman et al., 2022)."""
    first = checkpoints[0]
    for name in first["model"]:
        first["model"][name] = sum(checkpoint["model"][name] for checkpoint in checkpoints) / len(checkpoints)
    return first


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", type=pathlib.Path, nargs="+", metavar="checkpoint")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--type", choices=TYPES, default="q8_0")
    arguments = parser.parse_args()
    write(mean([torch.load(path) for path in arguments.checkpoints]), arguments.out, arguments.type)


if __name__ == "__main__":
    main()
