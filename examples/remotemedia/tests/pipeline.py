"""Runs a pipeline with a plug-in in RemoteMedia's own runtime: pipeline.py LINES PLUGIN MANIFEST RATE CHANNELS SAMPLES.

SAMPLES holds 32-bit floats that end in speech. They go in as blocks of 100 ms, then the audio ends. LINES gets what comes out,
as lines of JSON, until the final text of the last utterance: the runtime has its own log on standard output.
"""

import array
import asyncio
import json
import os
import sys

import remotemedia.runtime as runtime


async def main(lines, plugin, manifest, rate, channels, path):
    types = runtime.load_plugin(plugin)
    print(json.dumps({"node_types": types, "version": runtime.get_runtime_version()}), file=lines, flush=True)
    session = await runtime.create_streaming_session(manifest)
    samples = array.array("f")
    with open(path, "rb") as file:
        samples.frombytes(file.read())
    block = rate // 10 * channels
    for start in range(0, len(samples), block):
        await session.send_input({
            "type": "audio", "samples": list(samples[start:start + block]), "sample_rate": rate, "channels": channels,
        })
    await session.send_input({"type": "json", "value": {"type": "flush"}})
    await session.signal_input_complete()
    end = len(samples) // channels * 1000 // rate
    while (output := await session.recv_output()) is not None:
        print(json.dumps(output), file=lines, flush=True)
        if output[1]["value"]["type"] == "final" and output[1]["value"]["audio_end_ms"] >= end - 10:
            break
    await session.close()


with open(sys.argv[1], "w") as lines:
    plugin, manifest, rate, channels, samples = sys.argv[2:]
    asyncio.run(main(lines, plugin, manifest, int(rate), int(channels), samples))
# The runtime's threads outlive the session, and one that lets go of the interpreter's lock while the interpreter ends aborts
# the process (`PyGILState_Release`, remotemedia-ffi 0.4.4): the process ends without ending the interpreter.
sys.stderr.flush()
os._exit(0)
