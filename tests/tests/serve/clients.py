"""The official clients of OpenAI and Deepgram against a running server.

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

    environment = dg()._client_wrapper.get_environment()
    wrong = DeepgramClient(api_key="wrong", environment=environment)
    options = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000"}
    return {
        "key": fails(lambda: wrong.listen.v1.media.transcribe_file(request=b"x")),
        "live_key": fails(lambda: live(wrong, **options)),
        "live_model": fails(lambda: live(dg(), **options | {"model": "gpt-9"})),
        "live_rate": fails(lambda: live(dg(), **options | {"sample_rate": "7"})),
        "url": fails(lambda: dg().listen.v1.media.transcribe_url(url="http://127.0.0.1/x.wav")),
        "audio": fails(lambda: dg().listen.v1.media.transcribe_file(request=b"no audio" * 100)),
    }


print(json.dumps(globals()[CASE]()))
