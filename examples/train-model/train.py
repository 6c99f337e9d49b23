"""Trains: `train.py DATA OUT --speakers george,jackson,…`, on a GPU if there is one."""
import argparse, math, pathlib, time

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from model import ALIGNMENT_HEADS, LogMel, Size, Whisper
from windows import BLANK, END, FRAMES, IGNORE, TIME_0, Mixer

# Of the windows, by kind. Ordinary speech and what is no speech should give nothing; with more of them a model that is unsure
# is silent, with less of them it guesses.
SHARES = {"digits": 0.25, "strings": 0.15, "phrases": 0.40, "words": 0.06, "ordinary": 0.08, "nothing": 0.06}
# Steps until windows are as noisy as they get.
EASE = 800
# Deviation of the targets of times, in steps of 20 ms: neighbors are nearly right.
BLUR = 1.5
# Weights of what is taught beside the text: where to look, and the word and the phoneme of each frame. Without much
# weight on the frames' words the encoder learns no words for a thousand steps; with it, within three hundred. Phonemes
# are what it can learn from all that readers say, of words outside the vocabulary too, and what speakers share.
GUIDE, FRAMED, PHONED = 0.5, 2.0, 1.0


class Windows(torch.utils.data.IterableDataset):
    def __init__(self, arguments):
        self.arguments = arguments

    def __iter__(self):
        a = self.arguments
        worker = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        mixer = Mixer(a.data, a.speakers.split(","), a.shares, [a.seed, worker.id if worker else 0],
                      0 if a.start else EASE * a.batch // a.workers)
        while True:
            yield mixer.window()


def collate(windows):
    def stack(name):
        return torch.from_numpy(np.stack([getattr(window, name) for window in windows]))

    length = max(int((w.targets != IGNORE).nonzero()[0][-1]) + 1 for w in windows)
    return (
        stack("audio"), stack("tokens")[:, :length], stack("targets")[:, :length], stack("spans")[:, :length],
        stack("frames"), stack("phones"), stack("blank"),
    )


class Rows:
    """From Whisper's tokens to the rows of the small embedding."""

    def __init__(self, used, device):
        self.map = torch.full((60_000,), len(used))
        self.map[torch.tensor(used)] = torch.arange(len(used))
        self.time_0, self.end, self.blank = (int(self.map[token]) for token in (TIME_0, END, BLANK))
        self.map = self.map.to(device)

    def __call__(self, tokens):
        return self.map[tokens]


def losses(model, rows, mel, batch):
    _, tokens, targets, spans, frames, phones, blank = batch
    logits, attended, words, sounds = model(mel, rows(tokens))
    learned = targets != IGNORE
    wanted = rows(targets.clamp(min=0))
    # Where whisper.cpp rules out an empty answer, so does the loss.
    first = learned.int().argmax(1, keepdim=True)
    ruled_out = torch.zeros_like(logits)
    for row in (rows.end, rows.blank):
        ruled_out[..., row].scatter_(1, first, -1e4 * blank[:, None].float())
    logits = logits + ruled_out
    log = F.log_softmax(logits, -1)
    text = -log.gather(-1, wanted[..., None])[..., 0]
    times = learned & (wanted >= rows.time_0) & (wanted <= rows.time_0 + FRAMES)
    offsets = torch.arange(-4, 5, device=mel.device)
    weights = torch.exp(-0.5 * (offsets / BLUR) ** 2)
    near = (wanted[times][:, None] + offsets).clamp(rows.time_0, rows.time_0 + FRAMES)
    blurred = -(log[times].gather(-1, near) * weights).sum(-1) / weights.sum()
    text = (text[learned & ~times].sum() + blurred.sum()) / learned.sum()
    # Attention to where the word is: the mass inside its interval.
    guided = (spans[..., 0] >= 0) & learned
    at = torch.arange(FRAMES, device=mel.device)
    inside = (at >= spans[guided][:, :1] - 2) & (at < spans[guided][:, 1:] + 2)
    guide = sum(-((a[guided] * inside).sum(-1) + 1e-4).log().mean() for a in attended) / len(ALIGNMENT_HEADS)
    framed = F.cross_entropy(words.flatten(0, 1), frames.flatten(), ignore_index=IGNORE)
    phoned = F.cross_entropy(sounds.flatten(0, 1), phones.flatten(), ignore_index=IGNORE)
    return text, guide if guided.any() else text * 0, framed, phoned


class Muon:
    """Momentum made orthogonal, for the matrices inside the blocks (Jordan et al., 2024); on f32 master weights."""

    def __init__(self, parameters):
        # Those of one shape are stepped together.
        shapes = {}
        for parameter in parameters:
            shapes.setdefault(parameter.shape, []).append(parameter)
        self.groups = []
        for group in shapes.values():
            masters = torch.stack([p.detach().float() for p in group])
            self.groups.append((group, masters, torch.zeros_like(masters)))

    def step(self, rate):
        for group, masters, momentum in self.groups:
            gradient = torch.stack([p.grad for p in group]).float()
            momentum.lerp_(gradient, 0.05)
            update = orthogonal(gradient.lerp(momentum, 0.95))
            masters.mul_(1 - rate * 0.05).add_(update, alpha=-rate * max(1, update.shape[1] / update.shape[2]) ** 0.5)
            for parameter, master in zip(group, masters):
                parameter.data.copy_(master)
                parameter.grad = None

    def masters(self):
        return ((p, m) for group, masters, _ in self.groups for p, m in zip(group, masters))


def orthogonal(matrices, steps=5):
    """Newton–Schulz iteration to the nearest half-orthogonal matrices, with Jordan's coefficients."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


class Adam:
    """AdamW on f32 master weights, for everything else."""

    def __init__(self, parameters):
        self.parameters = list(parameters)
        self.copies = [p.detach().float().clone() for p in self.parameters]
        self.inner = torch.optim.AdamW(self.copies, betas=(0.9, 0.98), weight_decay=0.01)

    def step(self, rate):
        for parameter, master in self.masters():
            master.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        for group in self.inner.param_groups:
            group["lr"] = rate
        self.inner.step()
        for parameter, master in self.masters():
            parameter.data.copy_(master)

    def masters(self):
        return zip(self.parameters, self.copies)


def shares(text):
    return {kind: float(share) for kind, share in (each.split("=") for each in text.split(","))}


def rate(part):
    """Of the learning, after a `part` of all steps: up at once, then level, then down to nothing."""
    return min(1, (part + 0.002) / 0.02, (1 - part) / 0.6)


def save(model, optimizers, path):
    """The weights in full precision, not as the steps round them."""
    names = {id(p): n for n, p in model.named_parameters()}
    state = {n: p.float().cpu() for n, p in model.state_dict().items()}
    for optimizer in optimizers:
        for parameter, master in optimizer.masters():
            state[names[id(parameter)]] = master.detach().cpu().clone()
    torch.save({"model": state, "size": vars(model.size)}, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--speakers", required=True, help="whose real digits are learned")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="end by then, however few steps that are")
    parser.add_argument("--batch", type=int, default=16, help="windows of 10 s in a step")
    parser.add_argument("--from", dest="start", type=pathlib.Path, help="continue this checkpoint; best with --rate 0.1")
    parser.add_argument("--shares", type=shares, default=SHARES, help="of the windows: digits=0.4,phrases=0.4,…")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.0, help="factor of the learning rates")
    parser.add_argument("--workers", type=int, default=1, help="processes that make windows")
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Whisper(Size()).to(device)
    if arguments.start:
        model.load_state_dict(torch.load(arguments.start)["model"])
    inside = {n: p.ndim == 2 and ".blocks." in n for n, p in model.named_parameters()}
    muon = Muon([p for n, p in model.named_parameters() if inside[n]])
    adam = Adam([p for n, p in model.named_parameters() if not inside[n]])
    model.bfloat16().train()
    rows, mel = Rows(model.used, device), LogMel(device)
    vary = torch.Generator(device).manual_seed(arguments.seed)
    loader = iter(torch.utils.data.DataLoader(
        Windows(arguments), arguments.batch, num_workers=arguments.workers, collate_fn=collate, prefetch_factor=4,
        pin_memory=device == "cuda",
    ))
    log = open(arguments.out.with_suffix(".log"), "w", encoding="utf-8")
    smooth, begun = None, time.monotonic()
    for step in (bar := tqdm(range(arguments.steps), disable=None)):
        done = max(step / arguments.steps, (time.monotonic() - begun) / 60 / arguments.minutes)
        if done >= 1:
            break
        batch = [part.to(device, non_blocking=True) for part in next(loader)]
        with torch.no_grad():
            spectrum = mel(batch[0].float() / 32768, vary).bfloat16()
        parts = losses(model, rows, spectrum, batch)
        loss = parts[0] + GUIDE * parts[1] + FRAMED * parts[2] + PHONED * parts[3]
        loss.backward()
        scale = rate(done) * arguments.rate
        muon.step(0.02 * scale)
        adam.step(0.0015 * scale)
        if step % 10 == 0:
            now = torch.stack([part.detach().float() for part in parts])
            smooth = now if smooth is None else smooth.lerp(now, 0.2)
        if (step + 1) % 50 == 0:
            shown = smooth.tolist()
            bar.set_postfix_str("text {:.3f} attention {:.3f} frames {:.3f} phonemes {:.3f}".format(*shown))
            print(step + 1, round(time.monotonic() - begun), *(f"{s:.4f}" for s in shown), sep="\t", file=log, flush=True)
            if math.isnan(shown[0]):
                raise SystemExit("the loss is not a number: lower --rate")
        if (step + 1) % 1000 == 0:
            save(model, (muon, adam), arguments.out)
    save(model, (muon, adam), arguments.out)


if __name__ == "__main__":
    main()
