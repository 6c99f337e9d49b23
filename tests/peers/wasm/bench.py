"""Whisper in WebAssembly and beside it, by CPU time: bench.py FOLDER ROUNDS RECORDING MODEL…

FOLDER is cargo's target. Engines take turns. Each transcribes the recording once and three times in one process; half of the
difference is a transcription without start, compiling and loading. The better of ROUNDS counts. Prints a table for each model.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import wave

MANY = 3

target, rounds, recording, *models = sys.argv[1:]
target = os.path.abspath(target)
here = os.path.dirname(os.path.abspath(__file__))
with wave.open(recording) as file:
    seconds = file.getnframes() / file.getframerate()

node = [f"{target}/runtimes/bin/node", "--no-warnings", f"{here}/../../tests/wasi/node.mjs"]
wasmtime = [f"{target}/runtimes/bin/python", f"{here}/../../tests/wasi/wasmtime_py.py"]
hearken = f"{target}/release/hearken"
rten = f"{target}/peers-wasm/wasm32-wasip1/release/bench-rten.wasm"
candle = f"{target}/peers-wasm/wasm32-wasip1/release/bench-candle.wasm"


def command(runtime, module):
    return lambda count: [*runtime, module, "work=.", "--model", "work/model.bin", "-l", "en", *["work/talk.wav"] * count]


def peer(runtime, module):
    return lambda count: [*runtime, module, "work=.", "work/model.bin", "work/talk.wav", str(count)]


def encoder(runtime, module):
    inside = "work/" if module else ""
    paths = [f"{inside}{name}" for name in ["encoder.onnx", "model.bin", "talk.wav"]]
    return lambda count: [*runtime, *([module, "work=."] if module else []), *paths, str(count)]


def native(*options):
    return lambda count: [hearken, "file", "--threads", "1", *options, "-l", "en", "--model", "model.bin", *["talk.wav"] * count]


ENGINES = {
    "A: hearken, wasmtime, products by the host": native("--compute", "fast"),
    "A: hearken, wasmtime, guest only": native("--compute", "guest"),
    "A: hearken.wasm, V8 (Node)": command(node, f"{target}/wasi/hearken.wasm"),
    "A: hearken.wasm, wasmtime of PyPI": command(wasmtime, f"{target}/wasi/hearken.wasm"),
    "D: candle 0.11.1, native": lambda count: [f"{target}/peers-wasm/release/bench-candle", "model.bin", "talk.wav", str(count)],
    "D: candle 0.11.1, V8 (Node)": peer(node, candle),
    "D: candle 0.11.1, wasmtime of PyPI": peer(wasmtime, candle),
    "D: rten 0.27.0, native, encoder alone": encoder([f"{target}/peers-wasm/release/bench-rten"], None),
    "D: rten 0.27.0, V8 (Node), encoder alone": encoder(node, rten),
    "D: rten 0.27.0, wasmtime of PyPI, encoder alone": encoder(wasmtime, rten),
}


def measured(arguments, folder):
    """CPU time [s], most resident memory [MiB], linear memory [MiB] and output of a process."""
    environment = dict(os.environ, HEARKEN_MEMORY="1", RAYON_NUM_THREADS="1", CANDLE_NUM_THREADS="1", RTEN_NUM_THREADS="1")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(arguments, cwd=folder, stdout=out, stderr=log, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        log.seek(0)
        output, said = out.read().decode(), log.read().decode()
    if process.returncode:
        raise RuntimeError(f"{arguments}: {said}")
    linear = [line.split(": ")[1] for line in said.splitlines() if line.startswith("linear memory: ")]
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10, int(linear[0]) >> 20 if linear else None, output


for model in models:
    best = {}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(model, f"{folder}/model.bin")
        shutil.copy(recording, f"{folder}/talk.wav")
        python = f"{target}/peers-wasm/python/bin/python"
        subprocess.run([python, f"{here}/onnx_encoder.py", "model.bin", "encoder.onnx"], cwd=folder, check=True)
        for _ in range(int(rounds)):
            for name, arguments in ENGINES.items():
                once = measured(arguments(1), folder)
                many = measured(arguments(MANY), folder)
                cost = (many[0] - once[0]) / (MANY - 1)
                if name not in best or cost < best[name][0]:
                    best[name] = (cost, *once)
    fastest = best["A: hearken.wasm, V8 (Node)"][0]
    print(f"\n{os.path.basename(model)}, {seconds:.1f} s\n")
    print("| engine | CPU time | real time | to hearken.wasm | once, with start | resident | linear |\n|---|---|---|---|---|---|---|")
    for name, (cost, once, resident, linear, output) in best.items():
        print(f"| {name} | {cost:.2f} s | {seconds / cost:.1f} × | {cost / fastest:.1f} | {once:.1f} s | {resident} MiB | {linear or '–'} |")
    for name, (*_, output) in best.items():
        line = output.strip().splitlines()[-1]
        text = json.loads(line)["text"] if line.startswith("{") else " ".join(output.split())
        print(f"{name}: {text}", file=sys.stderr)
