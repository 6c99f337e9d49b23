"""Frameworks for voice agents against a running server: LiveKit Agents and Pipecat, each in its default settings.

    agents.py CASE URL KEY RECORDING

Prints one JSON object: what the framework gave its application. The Rust tests know what it should be.
"""
import asyncio, json, logging, os, sys, wave

CASE, URL, KEY, RECORDING = sys.argv[1:]
SOCKETS = URL.replace("http", "ws")
BLOCK = 0.1

# No counting of users, and standard output is the result's.
os.environ["DO_NOT_TRACK"] = "1"
logging.basicConfig(level=logging.ERROR)

with wave.open(RECORDING) as file:
    RATE, SAMPLES = file.getframerate(), file.readframes(file.getnframes())


async def speech(until=1.0):
    """The recording as a microphone gives it, up to this part of it."""
    size, clock = int(RATE * BLOCK) * 2, asyncio.get_running_loop().time
    due = clock()
    for at in range(0, int(len(SAMPLES) * until), size):
        yield SAMPLES[at:at + size]
        due += BLOCK
        await asyncio.sleep(max(0, due - clock()))


# LiveKit Agents


def frame(audio):
    from livekit import rtc

    return rtc.AudioFrame(audio, RATE, 1, len(audio) // 2)


async def recognized(stt):
    return (await stt.recognize(frame(SAMPLES))).alternatives[0].text


async def streamed(stt, finals=3, until=1.0, update=None):
    """Events of a stream, until there are this many final texts."""
    events = []
    stream = stt.stream()

    async def talk():
        async for audio in speech(until):
            stream.push_frame(frame(audio))
            if update and len(events) > 2:
                update()

    talking = asyncio.create_task(talk())
    if finals == 0:
        await talking
    else:
        async for event in stream:
            texts = [alternative.text for alternative in event.alternatives]
            events.append({"type": event.type.value, "text": texts[0] if texts else None})
            if sum(event["type"] == "final_transcript" and bool(event["text"]) for event in events) == finals:
                break
    talking.cancel()
    await stream.aclose()
    return events


async def refused(call):
    try:
        await call
    except Exception as error:
        while error.__cause__ is not None and not hasattr(error, "status_code") and not hasattr(error, "status"):
            error = error.__cause__
        return {"kind": type(error).__name__, "status": getattr(error, "status_code", getattr(error, "status", None))}
    return None


def quick():
    """Options of a connection that is not tried again."""
    from livekit.agents import APIConnectOptions

    return APIConnectOptions(max_retry=0, timeout=10)


async def refused_stream(stt):
    async def read():
        async with stt.stream(conn_options=quick()) as stream:
            stream.push_frame(frame(SAMPLES[:6400]))
            async for _ in stream:
                pass

    return await refused(read())


async def livekit(cases):
    from livekit.agents.utils import http_context

    async with http_context.open():
        return {name: await call() for name, call in cases.items()}


async def livekit_openai():
    from livekit.plugins import openai

    make = lambda key=KEY, **options: openai.STT(base_url=f"{URL}/v1", api_key=key, **options)
    return await livekit({
        "file": lambda: recognized(make()),
        "key": lambda: refused(make("wrong").recognize(frame(SAMPLES), conn_options=quick())),
    })


async def livekit_openai_realtime():
    from livekit.plugins import openai

    make = lambda key=KEY, **options: openai.STT(base_url=f"{URL}/v1", api_key=key, use_realtime=True, **options)
    # An option that changes while somebody speaks, as an agent's keyterms do.
    changing = make(model="gpt-transcribe")
    return await livekit({
        "detected": lambda: streamed(make()),
        "committed": lambda: streamed(make(model="gpt-live-transcribe")),
        "updated": lambda: streamed(changing, update=lambda: changing.update_options(prompt="A conference.")),
        "cut": lambda: streamed(make(), finals=0, until=0.12),
        "key": lambda: refused_stream(make("wrong")),
    })


async def livekit_deepgram():
    from livekit.plugins import deepgram

    make = lambda key=KEY: deepgram.STT(base_url=f"{URL}/v1/listen", api_key=key)
    return await livekit({
        "file": lambda: recognized(make()),
        "live": lambda: streamed(make()),
        "cut": lambda: streamed(make(), finals=0, until=0.12),
        "key": lambda: refused_stream(make("wrong")),
    })


async def livekit_deepgram_flux():
    from livekit.plugins import deepgram

    make = lambda key=KEY: deepgram.STTv2(base_url=f"{SOCKETS}/v2/listen", api_key=key)
    return await livekit({
        "live": lambda: streamed(make()),
        "cut": lambda: streamed(make(), finals=0, until=0.12),
        "key": lambda: refused_stream(make("wrong")),
    })


# Pipecat


async def pipeline(service, finals=3, until=1.0):
    """Frames of a service in a pipeline, until there are this many final texts, or an error."""
    from loguru import logger

    logger.remove()
    from pipecat.frames.frames import (
        ErrorFrame, InputAudioRawFrame, InterimTranscriptionFrame, TranscriptionFrame, VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
    )
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.workers.runner import WorkerRunner

    seen, done = [], asyncio.Event()

    class Watch(FrameProcessor):
        async def process_frame(self, frame, direction):
            await super().process_frame(frame, direction)
            if isinstance(frame, (InterimTranscriptionFrame, TranscriptionFrame)):
                seen.append({"type": type(frame).__name__, "text": frame.text})
            elif isinstance(frame, ErrorFrame):
                seen.append({"type": "ErrorFrame", "text": str(frame.error)})
            if sum(frame["type"] == "TranscriptionFrame" for frame in seen) == finals or isinstance(frame, ErrorFrame):
                done.set()
            await self.push_frame(frame, direction)

    # Errors go upstream.
    worker = PipelineWorker(
        Pipeline([Watch(), service, Watch()]), params=PipelineParams(audio_in_sample_rate=RATE),
        cancel_on_idle_timeout=False, enable_rtvi=False,
    )
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def on_pipeline_started(_worker, _frame):
        started.set()

    async def talk():
        await started.wait()
        # A detector of voice whose recording is silent between sentences.
        speaking, silent = False, 0
        async for audio in speech(until):
            voiced = any(audio)
            silent = 0 if voiced else silent + 1
            if voiced and not speaking:
                speaking = True
                await worker.queue_frame(VADUserStartedSpeakingFrame(start_secs=0.2))
            await worker.queue_frame(InputAudioRawFrame(audio, RATE, 1))
            if speaking and silent == 2:
                speaking = False
                await worker.queue_frame(VADUserStoppedSpeakingFrame(stop_secs=0.2))

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    talking = asyncio.create_task(talk())
    if finals == 0:
        await talking
    else:
        await asyncio.wait_for(done.wait(), 60)
    talking.cancel()
    await worker.cancel()
    await running
    return seen


async def pipecat(make):
    return {
        "live": await pipeline(make(KEY)),
        "cut": await pipeline(make(KEY), finals=0, until=0.12),
        "key": await pipeline(make("wrong")),
    }


async def pipecat_openai():
    from pipecat.services.openai.stt import OpenAISTTService

    return await pipecat(lambda key: OpenAISTTService(base_url=f"{URL}/v1", api_key=key))


async def pipecat_openai_realtime():
    from pipecat.services.openai.stt import OpenAIRealtimeSTTService

    return await pipecat(lambda key: OpenAIRealtimeSTTService(base_url=f"{SOCKETS}/v1/realtime", api_key=key))


async def pipecat_deepgram():
    from pipecat.services.deepgram.stt import DeepgramSTTService

    return await pipecat(lambda key: DeepgramSTTService(base_url=URL, api_key=key))


async def pipecat_deepgram_flux():
    from pipecat.services.deepgram.flux.stt import DeepgramFluxSTTService

    return await pipecat(lambda key: DeepgramFluxSTTService(url=f"{SOCKETS}/v2/listen", api_key=key))


result = asyncio.run(globals()[CASE]())
print(json.dumps(result), flush=True)
# Threads of the packages may still wait.
os._exit(0)
