"""Trains: `train.py DATA OUT --speakers george,jackson … [--from CHECKPOINT]`.

Two stages, so that folds share what they may share. The first runs at a constant rate on speakers that every fold may
hear. The second continues a checkpoint of the first with a fold's own speakers, while the rate falls to zero.
"""
import argparse, math, pathlib, time

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from model import ALIGNMENT_HEADS, LogMel, Size, Whisper
from windows import END, FRAMES, IGNORE, TIME_0, BLANK, Mixer

SHARES = {"digits": 0.40, "phrases": 0.40, "words": 0.06, "ordinary": 0.08, "nothing": 0.06}
# Steps until windows are as noisy as they get.
EASE = 800
# Deviation of the targets of times, in steps of 20 ms: neighbours are nearly right.
BLUR = 1.5
# Weights of what is taught beside the text. Without much weight on the frames' words the encoder learns no words for
# a thousand steps; with it, within three hundred.
GUIDE, FRAMED = 0.5, 2.0


class Windows(torch.utils.data.IterableDataset):
    def __init__(self, arguments):
        self.arguments = arguments

    def __iter__(self):
        a = self.arguments
        worker = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        mixer = Mixer(a.data, a.speakers.split(","), SHARES, [a.seed, worker.id if worker else 0],
                      0 if a.start else EASE * a.batch // a.workers)
        while True:
            yield mixer.window()


def collate(windows):
    stack = lambda name, kind: torch.from_numpy(np.stack([getattr(w, name) for w in windows])).to(kind)
    length = max(int((w.targets != IGNORE).nonzero()[0][-1]) + 1 for w in windows)
    return (
        stack("audio", torch.float32), stack("tokens", torch.long)[:, :length], stack("targets", torch.long)[:, :length],
        stack("spans", torch.long)[:, :length], stack("frames", torch.long), stack("blank", torch.bool),
    )


class Rows:
    """From Whisper's tokens to the rows of the small embedding."""

    def __init__(self, used):
        self.map = torch.full((60_000,), len(used))
        self.map[torch.tensor(used)] = torch.arange(len(used))
        self.time_0, self.end, self.blank = (int(self.map[token]) for token in (TIME_0, END, BLANK))

    def __call__(self, tokens):
        return self.map[tokens]


def losses(model, rows, mel, batch):
    _, tokens, targets, spans, frames, blank = batch
    logits, attended, words = model(mel, rows(tokens))
    learned = targets != IGNORE
    wanted = rows(targets.clamp(min=0))
    # Where whisper.cpp rules out an empty answer, so does the loss.
    if blank.any():
        first = learned.int().argmax(1)[blank]
        ruled_out = torch.zeros_like(logits)
        which = blank.nonzero()[:, 0]
        for row in (rows.end, rows.blank):
            ruled_out[which, first, row] = -1e4
        logits = logits + ruled_out
    log = F.log_softmax(logits, -1)
    text = -log.gather(-1, wanted[..., None])[..., 0]
    times = learned & (wanted >= rows.time_0) & (wanted <= rows.time_0 + FRAMES)
    offsets = torch.arange(-4, 5)
    weights = torch.exp(-0.5 * (offsets / BLUR) ** 2)
    near = (wanted[times][:, None] + offsets).clamp(rows.time_0, rows.time_0 + FRAMES)
    blurred = -(log[times].gather(-1, near) * weights).sum(-1) / weights.sum()
    text = (text[learned & ~times].sum() + blurred.sum()) / learned.sum()
    # Attention to where the word is: the mass inside its interval.
    guided = (spans[..., 0] >= 0) & learned
    at = torch.arange(FRAMES)
    inside = (at >= spans[guided][:, :1] - 2) & (at < spans[guided][:, 1:] + 2)
    guide = sum(-((a[guided] * inside).sum(-1) + 1e-4).log().mean() for a in attended) / len(ALIGNMENT_HEADS)
    framed = F.cross_entropy(words.flatten(0, 1), frames.flatten(), ignore_index=IGNORE)
    return text, guide if guided.any() else text * 0, framed


class Muon:
    """Momentum made orthogonal, for the matrices inside the blocks (Jordan et al., 2024); on f32 master weights."""

    def __init__(self, parameters):
        self.parameters = [(p, p.detach().float().clone(), torch.zeros_like(p, dtype=torch.float32)) for p in parameters]

    def step(self, rate):
        for parameter, master, momentum in self.parameters:
            gradient = parameter.grad.float()
            momentum.lerp_(gradient, 0.05)
            update = orthogonal(gradient.lerp(momentum, 0.95))
            master.mul_(1 - rate * 0.05).add_(update, alpha=-rate * max(1, update.shape[0] / update.shape[1]) ** 0.5)
            parameter.data.copy_(master)
            parameter.grad = None


def orthogonal(matrix, steps=5):
    """Newton–Schulz iteration to the nearest half-orthogonal matrix, with Jordan's coefficients."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).float()


class Adam:
    """AdamW on f32 master weights, for everything else."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.masters = [p.detach().float().clone() for p in self.parameters]
        self.inner = torch.optim.AdamW(self.masters, betas=(0.9, 0.98), weight_decay=0.01)

    def step(self, rate):
        for parameter, master in zip(self.parameters, self.masters):
            master.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        for group in self.inner.param_groups:
            group["lr"] = rate
        self.inner.step()
        for parameter, master in zip(self.parameters, self.masters):
            parameter.data.copy_(master)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--speakers", required=True, help="speakers of the real digits, with commas")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=16, help="windows of 10 s in a step")
    parser.add_argument("--from", dest="start", type=pathlib.Path, help="checkpoint to continue; the rate falls to zero")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="factor of the learning rates")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    checkpoint = torch.load(arguments.start) if arguments.start else None
    size = Size(**checkpoint["size"]) if checkpoint else Size()
    model = Whisper(size)
    if checkpoint:
        model.load_state_dict(checkpoint["model"])
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and ".blocks." in n]
    others = [p for n, p in model.named_parameters() if not (p.ndim == 2 and ".blocks." in n)]
    muon, adam = Muon(matrices), Adam(others)
    model.bfloat16()
    model.train()
    if checkpoint:
        for (_, _, momentum), saved in zip(muon.parameters, checkpoint["muon"]):
            momentum.copy_(saved)
        adam.inner.load_state_dict(checkpoint["adam"])
    rows, mel = Rows(model.used), LogMel()
    vary = torch.Generator().manual_seed(arguments.seed)
    loader = iter(torch.utils.data.DataLoader(
        Windows(arguments), arguments.batch, num_workers=arguments.workers, collate_fn=collate, prefetch_factor=4,
    ))
    log = open(arguments.out.with_suffix(".log"), "w", encoding="utf-8")
    smooth, begun = None, time.monotonic()
    for step in (bar := tqdm(range(arguments.steps), disable=None)):
        batch = next(loader)
        with torch.no_grad():
            spectrum = mel(batch[0], vary).bfloat16()
        parts = losses(model, rows, spectrum, batch)
        loss = parts[0] + GUIDE * parts[1] + FRAMED * parts[2]
        loss.backward()
        if arguments.start:
            rate = 1 - step / arguments.steps
        else:
            rate = min(1, (step + 1) / 150)
        muon.step(0.02 * rate * arguments.rate)
        adam.step(0.0015 * rate * arguments.rate)
        now = [float(part.detach()) for part in parts]
        smooth = now if smooth is None else [0.97 * s + 0.03 * n for s, n in zip(smooth, now)]
        bar.set_postfix_str("text {:.3f} attention {:.3f} frames {:.3f}".format(*smooth))
        if (step + 1) % 50 == 0:
            print(step + 1, round(time.monotonic() - begun), *(f"{s:.4f}" for s in smooth), sep="\t", file=log, flush=True)
        if (step + 1) % 400 == 0 or step + 1 == arguments.steps:
            state = {n: p.float() for n, p in model.state_dict().items()}
            # The weights in full precision, not as the steps round them.
            names = {id(p): n for n, p in model.named_parameters()}
            for parameter, master, _ in muon.parameters:
                state[names[id(parameter)]] = master
            for parameter, master in zip(adam.parameters, adam.masters):
                state[names[id(parameter)]] = master.detach()
            torch.save({
                "model": state, "size": vars(size), "muon": [m for _, _, m in muon.parameters], "adam": adam.inner.state_dict(),
            }, arguments.out)
        if math.isnan(now[0]):
            raise SystemExit("the loss is not a number: lower --rate")


if __name__ == "__main__":
    main()
