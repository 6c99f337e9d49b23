"""Whisper in WebAssembly and beside it, side by side: bench.py FOLDER ROUNDS RECORDING MODEL…

FOLDER is cargo's target. Engines take turns, and the best of ROUNDS counts. Hearken's programs transcribe the recording once and
three times in one process: half of the difference in CPU time is a transcription without start, compiling and loading. The others,
and the page in Chromium, look at the clock themselves, once the model is loaded; the better of two counts, where a transcription
does not take a minute. LEAVE_OUT names engines (a regular expression) that are not measured. Prints a table for each model, and the
texts on standard error.
"""

import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import wave

MANY = 3
LEAVE_OUT = re.compile(os.environ.get("LEAVE_OUT") or "$^")

target, rounds, recording, *models = sys.argv[1:]
target = pathlib.Path(target).resolve()
here = pathlib.Path(__file__).resolve().parent
root = here.parents[2]
recording = pathlib.Path(recording).resolve()
with wave.open(str(recording)) as file:
    seconds = file.getnframes() / file.getframerate()

node = [f"{target}/runtimes/bin/node", "--no-warnings"]
script = [*node, f"{root}/tests/tests/wasi/node.mjs"]
wasmtime = [f"{target}/runtimes/bin/python", f"{root}/tests/tests/wasi/wasmtime_py.py"]
hearken = f"{target}/release/hearken"
peers = target / "peers-wasm"
candle, rten = (peers / f"wasm32-wasip1/release/bench-{name}.wasm" for name in ("candle", "rten"))
packages = root / "examples/browser/bench/node_modules"
threads = os.cpu_count()


def command(runtime, module):
    return lambda count: [*runtime, module, "work=.", "--model", "work/model.bin", "-l", "en", *["work/talk.wav"] * count]


def peer(runtime, module):
    return lambda count: [*runtime, module, "work=.", "work/model.bin", "work/talk.wav", str(count)]


def encoder(runtime, module):
    inside = "work/" if module else ""
    paths = [f"{inside}{name}" for name in ["encoder.onnx", "model.bin", "talk.wav"]]
    return lambda count: [*runtime, *([module, "work=."] if module else []), *paths, str(count)]


def native(compute):
    return lambda count: [hearken, "file", "--threads", "1", "--compute", compute, "-l", "en", "--model", "model.bin", *["talk.wav"] * count]


def packed(*files):
    """Bytes to download, as a server would compress them."""
    files = [path for path in files if path.is_file()]
    return sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) if files else None


def run(arguments, folder):
    """CPU time [s], most resident memory [MiB], linear memory [MiB] and output of a process."""
    environment = dict(os.environ, HEARKEN_MEMORY="1", RAYON_NUM_THREADS="1", CANDLE_NUM_THREADS="1", RTEN_NUM_THREADS="1")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        process = subprocess.Popen([str(part) for part in arguments], cwd=folder, stdout=out, stderr=log, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        log.seek(0)
        output, said = out.read().decode(), log.read().decode()
    if process.returncode:
        raise RuntimeError(f"{arguments}: {said}{output}")
    linear = [line.split(": ")[1] for line in said.splitlines() if line.startswith("linear memory: ")]
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10, int(linear[0]) >> 20 if linear else None, output


def last_json(output):
    line = output.strip().splitlines()[-1]
    return json.loads(line) if line.startswith("{") else {}


def memory_of(ended):
    return f"{ended[2]} MiB" if ended[2] else f"{ended[1]} MiB resident"


def timed(arguments):
    """A program that tells the times of the best of its runs."""

    def measure(folder):
        ended = run(arguments(2), folder)
        facts = last_json(ended[3])
        return {**facts, "cost": facts["total"], "memory": memory_of(ended)}

    return measure


def program(arguments, own=lambda folder: {}):
    """A program that transcribes as often as it is told; `own` are its stages, which another command has."""

    def measure(folder):
        known = own(folder)
        # The first run may compile, and make a snapshot, which are kept on disk for the second.
        once = min((run(arguments(1), folder) for _ in range(2)), key=lambda ended: ended[0])
        many = run(arguments(MANY), folder)
        return {**known, "text": " ".join(once[3].split()), "cost": (many[0] - once[0]) / (MANY - 1), "memory": memory_of(once)}

    return measure


def stages(compute):
    def measure(folder):
        facts = json.loads(run([hearken, "bench", "--json", "--threads", "1", "--compute", compute, "--model", "model.bin"], folder)[3])
        return {"encoder": facts["encoder_s"], "token": facts["token_s"]}

    return measure


def stages_of_v8(folder):
    return json.loads(run([*node, f"{here}/stages.mjs", target / "web", "model.bin", "talk.wav"], folder)[3])


def chromium(name, count, runs):
    bench = root / "examples/browser/bench/bench.mjs"

    def measure(folder):
        output = run([*node, bench, "model.bin", "talk.wav", 1, count, "chromium", name, runs], folder)[3]
        facts = json.loads(output.splitlines()[0])
        if "error" in facts:
            raise RuntimeError(facts["error"])
        own = {part: facts[part] / 1e3 for part in ("encoder", "token") if facts.get(part)}
        return {**own, "cost": min(facts["runs"]) / 1e3, "memory": f"{facts['memory']} MiB", "text": facts["text"]}

    return measure


wasi = target / "wasi"
page = [*sorted((target / "web/src").glob("*.js")), wasi / "hearken-guest.wasm", wasi / "hearken-listener.wasm"]
whisper_cpp = sorted(packages.glob("@timur00kh/whisper.wasm/dist/libmain-*.mjs"))
shout = [packages / "@transcribe/shout/src/shout/shout.wasm.js"]
LIVE, WHOLE, ENCODER = "live", "with the whole text", "no text: encoder alone"
# Name, measurement, files to download, when its first text comes, what it cannot do.
ENGINES = [
    ("A: hearken, wasmtime, products by the host", program(native("fast"), stages("fast")), [], LIVE, "needs hearken's host"),
    ("A: hearken, wasmtime, guest only", program(native("guest"), stages("guest")), [], LIVE, "needs hearken's host"),
    ("A: hearken-web, Chromium", chromium("hearken", 1, 2), page, LIVE, "–"),
    (f"A: hearken-web, Chromium, {threads} workers", chromium("hearken", threads, 2), page, LIVE, "needs isolation"),
    ("A: hearken-web, Chromium, plain SIMD", chromium("hearken, plain SIMD", 1, 2), page, LIVE, "–"),
    ("A: hearken.wasm, V8 (Node)", program(command(script, wasi / "hearken.wasm"), stages_of_v8), [wasi / "hearken.wasm"], WHOLE, "no live text"),
    ("A: hearken.wasm, wasmtime of PyPI", program(command(wasmtime, wasi / "hearken.wasm")), [wasi / "hearken.wasm"], WHOLE, "no live text"),
    *(
        (f"B: {name}, Chromium, {count} thread{'s' * (count > 1)}", chromium(name, count, 1), files, WHOLE, "no live text, WASI or Node; needs isolation")
        for name, files in (("whisper.cpp 1.9.4", whisper_cpp), ("transcribe.js 1.0.7", shout))
        for count in sorted({1, threads})
    ),
    ("D: candle 0.11.1, native", timed(lambda count: [peers / "release/bench-candle", "model.bin", "talk.wav", count]), [], WHOLE, "no live text"),
    ("D: candle 0.11.1, V8 (Node)", timed(peer(script, candle)), [candle], WHOLE, "no live text; own spectrogram needs threads"),
    ("D: candle 0.11.1, wasmtime of PyPI", timed(peer(wasmtime, candle)), [candle], WHOLE, "no live text; own spectrogram needs threads"),
    ("D: rten 0.27.0, native", timed(encoder([peers / "release/bench-rten"], None)), [], ENCODER, "reads ONNX alone"),
    ("D: rten 0.27.0, V8 (Node)", timed(encoder(script, rten)), [rten], ENCODER, "reads ONNX alone"),
    ("D: rten 0.27.0, wasmtime of PyPI", timed(encoder(wasmtime, rten)), [rten], ENCODER, "reads ONNX alone"),
]

for model in models:
    best, failed = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(model, f"{folder}/model.bin")
        shutil.copy(recording, f"{folder}/talk.wav")
        subprocess.run([peers / "python/bin/python", here / "onnx_encoder.py", "model.bin", "encoder.onnx"], cwd=folder, check=True)
        for turn in range(int(rounds)):
            for name, measure, *_ in ENGINES:
                if LEAVE_OUT.search(name):
                    failed[name] = "left out"
                    continue
                try:
                    facts = measure(folder)
                except RuntimeError as error:
                    failed[name] = str(error).strip().splitlines()[-1]
                    continue
                before = best.setdefault(name, facts)
                # Each figure is the best of all rounds.
                for part in ("cost", "encoder", "token"):
                    if facts.get(part) and before.get(part):
                        before[part] = min(before[part], facts[part])
                print(f"{turn + 1}/{rounds} {name}: {facts['cost']:.2f} s", file=sys.stderr)
    fastest = best["A: hearken-web, Chromium"]["cost"]
    print(f"\n{pathlib.Path(model).name}, {recording.name}, {seconds:.1f} s\n")
    print("| engine | × real time | to hearken-web | encoder | token | first text | download, gzip | memory | cannot |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, _, files, first, cannot in ENGINES:
        if name not in best:
            print(f"| {name} | {failed[name]} |||||||| |")
            continue
        facts = best[name]
        size = packed(*files)
        cells = [
            name, f"{seconds / facts['cost']:.2f}", f"{facts['cost'] / fastest:.2f}",
            f"{facts['encoder'] * 1e3:.0f} ms" if facts.get("encoder") else "–",
            f"{facts['token'] * 1e3:.1f} ms" if facts.get("token") else "–",
            first, f"{size / 1024:.0f} KiB" if size else "–", facts["memory"], cannot,
        ]
        print(f"| {' | '.join(cells)} |")
    for name, facts in best.items():
        print(f"{name}: {facts['text']}", file=sys.stderr)
