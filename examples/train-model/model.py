"""Whisper's architecture (Radford et al., 2022), small, and the log-mel spectrogram that goes into it."""
import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from whisper.audio import mel_filters

from vocabulary import WORDS
from windows import BLANK, END, FRAMES, NEWLINE, NO_TIMES, PHONES, PREVIOUS, START, TIME_0, encode

N_VOCAB = 51_864
TEXT_CONTEXT = 448


@dataclasses.dataclass(frozen=True)
class Size:
    """Width and depth. A head is 64 wide; two decoder layers would be taken for a distilled model by whisper.cpp."""

    state: int = 192
    encoder_layers: int = 4
    decoder_layers: int = 3

    @property
    def heads(self):
        return self.state // 64


DROPOUT = 0.1
# Decoder heads (layer, head) that are taught where the words are.
ALIGNMENT_HEADS = ((1, 0), (2, 0))


def used_tokens():
    """The tokens that occur in training, in order. All others share one row of the embedding."""
    tokens = {END, START, PREVIOUS, NO_TIMES, NEWLINE, BLANK} | {TIME_0 + t for t in range(FRAMES + 1)}
    for word in WORDS:
        tokens.update(encode(" " + word))
    return sorted(tokens)


class Attention(nn.Module):
    def __init__(self, state, heads):
        super().__init__()
        self.heads = heads
        self.query, self.value, self.out = (nn.Linear(state, state) for _ in range(3))
        self.key = nn.Linear(state, state, bias=False)

    def _split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, 64).transpose(1, 2)

    def forward(self, x, source=None, causal=False, watch=None):
        """`watch` names a head whose weights are given back, (batch, queries, keys)."""
        source = x if source is None else source
        q, k, v = self._split(self.query(x)), self._split(self.key(source)), self._split(self.value(source))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        mixed = self.out(mixed.transpose(1, 2).flatten(2))
        if watch is None:
            return mixed, None
        return mixed, torch.softmax((q[:, watch] @ k[:, watch].transpose(1, 2)).float() / 8, -1)


class Block(nn.Module):
    def __init__(self, state, heads, cross):
        super().__init__()
        self.attn, self.attn_ln = Attention(state, heads), nn.LayerNorm(state)
        if cross:
            self.cross_attn, self.cross_attn_ln = Attention(state, heads), nn.LayerNorm(state)
        self.mlp = nn.Sequential(nn.Linear(state, 4 * state), nn.GELU(), nn.Linear(4 * state, state))
        self.mlp_ln = nn.LayerNorm(state)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, x, source=None, watch=None):
        x = x + self.drop(self.attn(self.attn_ln(x), causal=source is not None)[0])
        weights = None
        if source is not None:
            mixed, weights = self.cross_attn(self.cross_attn_ln(x), source, watch=watch)
            x = x + self.drop(mixed)
        return x + self.drop(self.mlp(self.mlp_ln(x))), weights


class Encoder(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.conv1 = nn.Conv1d(80, size.state, 3, padding=1)
        self.conv2 = nn.Conv1d(size.state, size.state, 3, stride=2, padding=1)
        for conv in (self.conv1, self.conv2):
            # As loud as the positions are; PyTorch's own start is a tenth of that, and learning waits until it has grown.
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        self.register_buffer("positional_embedding", sinusoids(FRAMES, size.state))
        self.blocks = nn.ModuleList(Block(size.state, size.heads, False) for _ in range(size.encoder_layers))
        self.ln_post = nn.LayerNorm(size.state)

    def forward(self, mel):
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2) + self.positional_embedding
        for block in self.blocks:
            x, _ = block(x)
        return self.ln_post(x)


class Decoder(nn.Module):
    def __init__(self, size, tokens):
        super().__init__()
        self.token_embedding = nn.Embedding(tokens + 1, size.state)
        self.positional_embedding = nn.Parameter(torch.randn(TEXT_CONTEXT, size.state) * 0.01)
        self.blocks = nn.ModuleList(Block(size.state, size.heads, True) for _ in range(size.decoder_layers))
        self.ln = nn.LayerNorm(size.state)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, rows, source):
        x = self.token_embedding(rows) + self.positional_embedding[: rows.shape[1]]
        watched = dict(ALIGNMENT_HEADS)
        attended = []
        for number, block in enumerate(self.blocks):
            x, weights = block(x, source, watched.get(number))
            if weights is not None:
                attended.append(weights)
        return self.ln(x) @ self.token_embedding.weight.T, attended


class Whisper(nn.Module):
    """`forward(mel, rows)`: mel (batch, 80, 1000), rows (batch, length) of the used tokens' numbers."""

    def __init__(self, size):
        super().__init__()
        self.size, self.used = size, used_tokens()
        self.encoder = Encoder(size)
        self.decoder = Decoder(size, len(self.used))
        # What is spoken in each encoder frame: taught beside, not exported.
        self.frame_words = nn.Linear(size.state, len(WORDS) + 2)
        self.frame_phones = nn.Linear(size.state, len(PHONES) + 1)

    def forward(self, mel, rows):
        source = self.encoder(mel)
        logits, attended = self.decoder(rows, source)
        logits = logits.float()
        # The shared row stands for every unused token, so its share of the soft-max is theirs together.
        unused = torch.full_like(logits[..., :1], float(np.log(N_VOCAB - len(self.used))))
        logits = torch.cat([logits[..., :-1], logits[..., -1:] + unused], -1)
        return logits, attended, self.frame_words(source).float(), self.frame_phones(source).float()


def sinusoids(length, channels):
    steps = np.log(10_000) / (channels // 2 - 1)
    scaled = torch.arange(length)[:, None] * torch.exp(-steps * torch.arange(channels // 2))[None]
    return torch.cat([scaled.sin(), scaled.cos()], 1)


class LogMel:
    """Whisper's log-mel spectrogram; in training with the vocal tract and the band changed as voices and lines differ."""

    WARPS = 17

    def __init__(self, device="cpu"):
        self.plain = mel_filters("cpu", 80).float()
        self.device, self.window = device, torch.hann_window(400, device=device)
        bins = torch.arange(201)
        warped = []
        for factor in torch.linspace(0.82, 1.22, self.WARPS):
            # Linear up to 4.8 kHz, then bent so that the highest bin stays (Eide & Gish, 1996).
            knee = 120 * min(1.0, 1 / float(factor))
            source = torch.where(bins < knee, bins * factor, factor * knee + (bins - knee) * (200 - factor * knee) / (200 - knee))
            warped.append(self._at(source))
        self.warped = torch.stack(warped).to(device)
        self.plain = self.plain.to(device)

    def _at(self, source):
        """Filters that read bin `source[i]` of the spectrum where the plain ones read bin i."""
        low = source.floor().clamp(0, 199).long()
        part = (source - low).clamp(0, 1)
        filters = torch.zeros_like(self.plain)
        filters.index_add_(1, low, self.plain * (1 - part))
        filters.index_add_(1, low + 1, self.plain * part)
        return filters

    def __call__(self, audio, vary=None):
        """(batch, samples) → (batch, 80, 1000). `vary` is a torch generator, or None for recognition."""
        power = torch.stft(audio, 400, 160, window=self.window, return_complex=True)[..., :-1].abs() ** 2
        mel = self.plain @ power if vary is None else self._varied(power, vary)
        log = mel.clamp(min=1e-10).log10()
        log = torch.maximum(log, log.amax((1, 2), keepdim=True) - 8)
        log = (log + 4) / 4
        return log if vary is None else self._masked(log, vary)

    def _random(self, vary, *shape):
        return torch.rand(*shape, generator=vary, device=self.device)

    def _varied(self, power, vary):
        batch = power.shape[0]
        # A smooth coloring of up to 10 dB, and a telephone's or a small microphone's band.
        knots = (self._random(vary, batch, 1, 7) - 0.5) * 20 * self._random(vary, batch, 1, 1)
        gain = F.interpolate(knots, 201, mode="linear", align_corners=True)[:, 0]
        bins = torch.arange(201, device=self.device)
        upper = torch.where(self._random(vary, batch) < 0.4, 85 + 60 * self._random(vary, batch), 300.0)
        lower = torch.where(self._random(vary, batch) < 0.3, 9 * self._random(vary, batch), 0.0)
        gain = gain - 6 * (bins - upper[:, None]).clamp(0, 12) - 6 * (lower[:, None] - bins).clamp(0, 8)
        power = power * 10 ** (gain / 10)[..., None]
        choice = (self._random(vary, batch) * self.WARPS).long()
        return torch.bmm(self.warped[choice], power)

    def _masked(self, log, vary):
        """SpecAugment (Park et al., 2019): two bands and two short stretches, each in half of the windows."""
        for axis, most in ((1, 14), (2, 20)) * 2:
            batch, length = log.shape[0], log.shape[axis]
            width = self._random(vary, batch, 1) * most * (self._random(vary, batch, 1) < 0.5)
            start = self._random(vary, batch, 1) * (length - width)
            at = torch.arange(length, device=self.device)
            hidden = ((at >= start) & (at < start + width)).unsqueeze(3 - axis)
            log = torch.where(hidden, log.mean((1, 2), keepdim=True), log)
        return log
