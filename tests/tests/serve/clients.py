"""Clients of OpenAI, Deepgram, Vosk and Wyoming against a running server.

    clients.py CASE BASE KEY RECORDING

Prints one JSON object: what the client gave its caller. The Rust tests know what it should be.
"""
import asyncio, base64, json, sys, threading, time, wave

import deepgram, openai, websockets
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment

CASE, BASE, KEY, RECORDING = sys.argv[1:]


def pcm(rate=None):
    """The samples of the recording, at its own rate or the nearest multiple of another."""
    with wave.open(RECORDING) as file:
        return file.getframerate(), file.readframes(file.getnframes())


def oai(**options):
    return openai.OpenAI(base_url=f"http://{BASE}/v1", api_key=KEY, max_retries=0, **options)


def dg():
    environment = DeepgramClientEnvironment(
        base=f"http://{BASE}", production=f"ws://{BASE}", agent=f"ws://{BASE}", agent_rest=f"http://{BASE}"
    )
    return DeepgramClient(api_key=KEY, environment=environment)


def openai_files():
    client, answers = oai(), {}
    for form in ["json", "text", "srt", "vtt", "verbose_json"]:
        with open(RECORDING, "rb") as file:
            answer = client.audio.transcriptions.create(file=file, model="whisper-1", response_format=form)
        answers[form] = answer if isinstance(answer, str) else answer.model_dump()
    with open(RECORDING, "rb") as file:
        answers["words"] = client.audio.transcriptions.create(
            file=file, model="whisper-1", language="en", temperature=0,
            response_format="verbose_json", timestamp_granularities=["word"],
        ).model_dump()
    answers["models"] = [model.id for model in client.models.list()]
    answers["model"] = client.models.retrieve(answers["models"][0]).model_dump()
    return answers


def openai_stream():
    deltas, text = [], None
    with open(RECORDING, "rb") as file:
        for event in oai().audio.transcriptions.create(file=file, model="whisper-1", stream=True):
            if event.type == "transcript.text.delta":
                deltas.append(event.delta)
            elif event.type == "transcript.text.done":
                text = event.text
    return {"deltas": deltas, "text": text}


def openai_errors():
    def fails(call):
        try:
            call()
        except openai.APIStatusError as error:
            return {"kind": type(error).__name__, "status": error.status_code, "code": error.code, "param": error.param}
        return None

    def create(client=None, **changes):
        arguments = {"model": "whisper-1", "file": open(RECORDING, "rb")} | changes
        return lambda: (client or oai()).audio.transcriptions.create(**arguments)

    wrong = openai.OpenAI(base_url=f"http://{BASE}/v1", api_key="wrong", max_retries=0)
    return {
        "key": fails(create(wrong)),
        "model": fails(create(model="gpt-9")),
        "language": fails(create(language="klingon")),
        "file": fails(create(file=("noise.wav", b"RIFF, but no audio" * 100))),
        "empty": fails(create(file=("empty.wav", b""))),
        "granularity": fails(create(timestamp_granularities=["word"])),
        "format": fails(create(response_format="docx")),
        "translate": fails(lambda: oai().audio.translations.create(file=open(RECORDING, "rb"), model="whisper-1")),
    }


def realtime_pace(send, block=0.1):
    """Sends the recording as a microphone would."""
    rate, samples = pcm()
    size, due = int(rate * block) * 2, time.monotonic()
    for at in range(0, len(samples), size):
        send(samples[at:at + size])
        due += block
        time.sleep(max(0, due - time.monotonic()))


def openai_realtime():
    rate, _ = pcm()
    kinds, transcripts, deltas = [], [], {}
    with oai().realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session={
            "type": "transcription",
            "audio": {"input": {
                "format": {"type": "audio/pcm", "rate": rate},
                "transcription": {"model": "whisper-1", "language": "en"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
            }},
        })
        send = lambda audio: connection.input_audio_buffer.append(audio=base64.b64encode(audio).decode())
        sender = threading.Thread(target=realtime_pace, args=(send,))
        sender.start()
        for event in connection:
            kinds.append(event.type)
            if event.type.endswith("transcription.delta"):
                deltas[event.item_id] = deltas.get(event.item_id, "") + event.delta
            elif event.type.endswith("transcription.completed"):
                transcripts.append([event.transcript, deltas.get(event.item_id)])
                if len(transcripts) == 3:
                    break
            elif event.type == "error":
                raise SystemExit(event.error)
        sender.join()
    return {"kinds": kinds, "transcripts": transcripts}


def deepgram_file():
    with open(RECORDING, "rb") as file:
        audio = file.read()
    answer = dg().listen.v1.media.transcribe_file(
        request=audio, model="nova-3", smart_format=True, utterances=True, language="en-US"
    )
    return json.loads(answer.json())


def deepgram_live():
    rate, _ = pcm()
    messages = []
    closed = threading.Event()
    with dg().listen.v1.connect(
        model="nova-3", encoding="linear16", sample_rate=str(rate), interim_results="true",
        utterance_end_ms="1000", vad_events="true", endpointing="500",
    ) as connection:
        connection.on(EventType.MESSAGE, lambda message: messages.append(json.loads(message.json())))
        connection.on(EventType.CLOSE, lambda _: closed.set())
        listener = threading.Thread(target=connection.start_listening)
        listener.start()
        connection.send_keep_alive()
        realtime_pace(connection.send_media)
        connection.send_finalize()
        connection.send_close_stream()
        assert closed.wait(60), "it never closed"
        listener.join()
    return messages


def deepgram_flux():
    rate, _ = pcm()
    messages = []
    closed = threading.Event()
    with dg().listen.v2.connect(
        model="flux-general-en", encoding="linear16", sample_rate=str(rate),
        eot_threshold="0.6", eager_eot_threshold="0.5", eot_timeout_ms="5000", keyterm=["seven", "left"],
    ) as connection:
        connection.on(EventType.MESSAGE, lambda message: messages.append(json.loads(message.json())))
        connection.on(EventType.CLOSE, lambda _: closed.set())
        listener = threading.Thread(target=connection.start_listening)
        listener.start()
        connection.send_configure({"type": "Configure", "thresholds": {"eot_threshold": 0.2}})
        connection.send_configure({"type": "Configure", "thresholds": {"eager_eot_threshold": 0.55}, "keyterms": ["go"]})
        realtime_pace(connection.send_media)
        connection.send_force_end_turn()
        connection.send_close_stream()
        assert closed.wait(60), "it never closed"
        listener.join()
    return messages


def deepgram_errors():
    def fails(call):
        try:
            call()
        except deepgram.core.api_error.ApiError as error:
            return {"status": error.status_code, "body": error.body}
        except websockets.exceptions.InvalidStatus as error:
            return {"status": error.response.status_code, "body": json.loads(error.response.body)}
        return None

    def live(client, **options):
        with client.listen.v1.connect(**options):
            pass

    def flux(client, **options):
        raw = {"encoding": "linear16", "sample_rate": "16000"}
        with client.listen.v2.connect(model="flux-general-en", **raw, **options):
            pass

    environment = dg()._client_wrapper.get_environment()
    wrong = DeepgramClient(api_key="wrong", environment=environment)
    options = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000"}
    return {
        "key": fails(lambda: wrong.listen.v1.media.transcribe_file(request=b"x")),
        "live_key": fails(lambda: live(wrong, **options)),
        "flux_key": fails(lambda: flux(wrong)),
        "flux_threshold": fails(lambda: flux(dg(), eot_threshold="0.1")),
        "live_model": fails(lambda: live(dg(), **options | {"model": "gpt-9"})),
        "live_rate": fails(lambda: live(dg(), **options | {"sample_rate": "7"})),
        "url": fails(lambda: dg().listen.v1.media.transcribe_url(url="http://127.0.0.1/x.wav")),
        "audio": fails(lambda: dg().listen.v1.media.transcribe_file(request=b"no audio" * 100)),
    }


async def vosk_file():
    """What vosk-server's own test client does: it sends a fifth of a second, and waits for the answer."""
    answers = []
    async with websockets.connect(f"ws://{BASE}") as socket:
        with wave.open(RECORDING) as file:
            await socket.send('{ "config" : { "sample_rate" : %d } }' % file.getframerate())
            while audio := file.readframes(int(file.getframerate() * 0.2)):
                await socket.send(audio)
                answers.append(await socket.recv())
        await socket.send('{"eof" : 1}')
        last = await socket.recv()
        await asyncio.wait_for(socket.wait_closed(), 30)
        return {"answers": answers, "last": last, "code": socket.close_code}


async def vosk_live():
    """A conference's bridge: chunks as they are spoken, and answers whenever they come."""
    rate, samples = pcm()
    answers = []
    async with websockets.connect(f"ws://{BASE}") as socket:
        await socket.send(json.dumps({"config": {"sample_rate": str(rate)}}))
        size, due, sent = rate // 10 * 2, time.monotonic(), 0

        async def listen():
            async for message in socket:
                answers.append(message)

        listener = asyncio.create_task(listen())
        for at in range(0, len(samples), size):
            await socket.send(samples[at:at + size])
            sent += 1
            due += 0.1
            await asyncio.sleep(max(0, due - time.monotonic()))
        await socket.send('{"eof" : 1}')
        await asyncio.wait_for(listener, 60)
    return {"answers": answers, "sent": sent}


async def wyoming_describe():
    from wyoming.client import AsyncClient
    from wyoming.info import Describe, Info

    async with AsyncClient.from_uri(f"tcp://{BASE}", read_timeout=60) as client:
        await client.write_event(Describe().event())
        info = Info.from_event(await client.read_event())
    program = info.asr[0]
    return {
        "name": program.name, "streaming": program.supports_transcript_streaming,
        "models": [{"name": model.name, "languages": model.languages} for model in program.models],
    }


async def wyoming_speech():
    """Two recordings over one connection, as a voice assistant sends them."""
    from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop, VadSensitivity
    from wyoming.audio import wav_to_chunks, AudioStop
    from wyoming.client import AsyncClient
    from wyoming.ping import Ping, Pong

    heard = []
    async with AsyncClient.from_uri(f"tcp://{BASE}", read_timeout=60) as client:
        await client.write_event(Ping(text="there?").event())
        assert Pong.from_event(await client.read_event()).text == "there?"
        for pace in [1, 0]:
            # Without names and terms: the small model takes any prompt for noise.
            request = Transcribe(language="en-US", vad_sensitivity=VadSensitivity.DEFAULT)
            await client.write_event(request.event())
            recording = {"chunks": [], "kinds": [], "before_stop": 0}

            async def listen():
                while event := await client.read_event():
                    recording["kinds"].append(event.type)
                    if TranscriptChunk.is_type(event.type):
                        recording["chunks"].append(TranscriptChunk.from_event(event).text)
                    elif Transcript.is_type(event.type):
                        recording["text"] = Transcript.from_event(event).text
                        recording["language"] = Transcript.from_event(event).language
                    elif TranscriptStop.is_type(event.type):
                        return

            listener = asyncio.create_task(listen())
            with wave.open(RECORDING) as file:
                for chunk in wav_to_chunks(file, 1024, start_event=True, stop_event=True):
                    if AudioStop.is_type(chunk.event().type):
                        recording["before_stop"] = len(recording["chunks"])
                    await client.write_event(chunk.event())
                    await asyncio.sleep(pace * 1024 / file.getframerate())
            await listener
            heard.append(recording)
    return heard


async def wyoming_discovery():
    """Waits for the server's announcement on the loopback interface, asks what it found for a description, and says on a
    line of its own that it did; then waits until the announcement is taken back."""
    from wyoming.client import AsyncClient
    from wyoming.info import Describe, Info
    from zeroconf import ServiceStateChange
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

    service = "_wyoming._tcp.local."
    changes = asyncio.Queue()
    network = AsyncZeroconf(interfaces=["127.0.0.1"])
    browser = AsyncServiceBrowser(
        network.zeroconf, service,
        handlers=[lambda zeroconf, service_type, name, state_change: changes.put_nowait((name, state_change))],
    )

    async def change(wanted):
        while True:
            name, state = await asyncio.wait_for(changes.get(), 60)
            # Other servers may be there as well.
            if name == f"{KEY}.{service}" and state == wanted:
                return name

    name = await change(ServiceStateChange.Added)
    found = AsyncServiceInfo(service, name)
    assert await found.async_request(network.zeroconf, 10_000)
    [host] = found.parsed_addresses()
    async with AsyncClient.from_uri(f"tcp://{host}:{found.port}", read_timeout=60) as client:
        await client.write_event(Describe().event())
        program = Info.from_event(await client.read_event()).asr[0].name
    print("found", flush=True)
    await change(ServiceStateChange.Removed)
    await browser.async_cancel()
    await network.async_close()
    return {"address": f"{host}:{found.port}", "name": program}


result = globals()[CASE]()
print(json.dumps(asyncio.run(result) if asyncio.iscoroutine(result) else result))
