"""The page of examples/browser in headless Chromium, with a recording as its microphone.

    browser.py page|library|shared|minutes|switch CHROMIUM BASE SERVER RECORDING FOLDER PICTURES

SERVER is the process that serves BASE: `page` ends it to see what works without a network. With `switch` BASE is that of
`hearken serve --web`. FOLDER has what the page is given. Prints one JSON object.
"""
import json, os, pathlib, signal, sys, time, urllib.request

# What drives Chromium lies in tests/, for all pages.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from chromium import PATIENCE, opened

MODE, CHROMIUM, BASE, SERVER, RECORDING, FOLDER, PICTURES = sys.argv[1:]

STATUS = "document.getElementById('status').textContent"
CAPTIONS = "[...document.querySelectorAll('#captions li span')].map(line => line.textContent)"
READY = f"{STATUS}.startsWith('Ready') && !document.getElementById('listen').disabled"


def picture(page, name, width=900, height=700):
    page.picture(pathlib.Path(PICTURES) / name, (width, height))


def see_page(page):
    seen = {}
    page.wait("document.getElementById('address')?.value")
    picture(page, "web-start.png")
    page.run("window.stages = new Set(); new MutationObserver(() => window.stages.add("
             f"{STATUS}.split(':')[0])).observe(document.getElementById('status'), {{ childList: true }});"
             "document.getElementById('load').click(); 0")
    page.wait(READY)
    seen["stages"] = page.run("[...window.stages]")
    seen["isolated"] = page.run("crossOriginIsolated")
    # Blobs that are saved are kept instead.
    page.run("window.saved = {}; window.blobs = {}; const make = URL.createObjectURL;"
             "URL.createObjectURL = blob => { const url = make.call(URL, blob); window.blobs[url] = blob; return url };"
             "HTMLAnchorElement.prototype.click = function () { window.saved[this.download] = window.blobs[this.href] };"
             "window.tentative = []; window.level = 0; window.heard = null; window.said = null;"
             "new MutationObserver(() => { const text = document.getElementById('tentative').textContent;"
             " if (text) { window.tentative.push(text); window.said ??= performance.now() } }).observe(document.getElementById('running'),"
             " { childList: true, subtree: true, characterData: true });"
             "new MutationObserver(() => { const { value } = document.getElementById('level'); window.level = Math.max(window.level, value);"
             " if (value > 0.05) window.heard ??= performance.now()"
             " }).observe(document.getElementById('level'), { attributes: true }); 0")
    page.run("document.getElementById('listen').click(); 0")
    page.wait(f"{CAPTIONS}.length >= 1")
    picture(page, "web-listening.png")
    # The recording ends, and its silence ends the utterance.
    page.wait(f"{CAPTIONS}.join(' ').split(' ').length >= {os.environ['WORDS']}")
    page.run("document.getElementById('listen').click(); 0")
    page.wait(READY)
    for name in ["srt", "vtt", "txt"]:
        page.run(f"document.getElementById('{name}').click(); 0")
        page.wait(f"'captions.{name}' in window.saved")
    seen["saved"] = dict(page.run("Promise.all(Object.entries(window.saved).map(async ([name, blob]) => [name, await blob.text()]))"))
    seen["captions"], seen["tentative"] = page.run(CAPTIONS), page.run("window.tentative")
    seen["level"] = page.run("window.level")
    # From the first block of sound that is speech to the first text [ms].
    seen["first_text"] = page.run("window.said - window.heard")
    picture(page, "web-light.png")
    picture(page, "web-narrow.png", 380, 800)
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    picture(page, "web-narrow-dark.png", 380, 800)
    picture(page, "web-dark.png")
    # A file that is no model: an error, and the page lives.
    seen["hostile"] = []
    for name in ["text.bin", "cut.bin", "changed.bin"]:
        page.run("document.getElementById('model-file').value = ''; 0")
        page.choose("model-file", pathlib.Path(FOLDER) / name)
        page.wait("document.getElementById('status').classList.contains('bad')")
        seen["hostile"].append(page.run(STATUS))
        page.run("document.getElementById('status').classList.remove('bad'); 0")
    picture(page, "web-error.png")
    # A recording as a file, with the model that is kept here, and without a network.
    page.wait("navigator.serviceWorker.ready.then(() => true)")
    complaints = list(page.complaints)
    os.kill(int(SERVER), signal.SIGTERM)
    page.open("about:blank")
    page.open(BASE + "page/")
    page.wait("document.querySelectorAll('#kept li').length >= 1 && document.readyState === 'complete'")
    page.run("document.querySelector('#kept button').click(); 0")
    page.wait(READY)
    page.choose("recording", pathlib.Path(FOLDER) / "talk.wav")
    page.wait(f"{READY} && {CAPTIONS}.length >= 1")
    seen["offline"] = page.run(CAPTIONS)
    return seen | {"complaints": complaints}


def see_switch(page):
    """From the server's own page to the one that recognizes here, a recording there, and back."""
    page.open(BASE)
    page.wait("!document.getElementById('where').hidden")
    picture(page, "web-server.png")
    page.run("document.getElementById('here').click(); 0")
    page.wait("location.pathname === '/here/page/' && document.readyState === 'complete' && "
              "document.getElementById('there')?.hidden === false")
    page.complaints.clear()
    page.choose("model-file", pathlib.Path(FOLDER) / "model.bin")
    page.wait(READY)
    page.choose("recording", pathlib.Path(FOLDER) / "talk.wav")
    page.wait(f"{READY} && {CAPTIONS}.length >= 1")
    seen = {"captions": page.run(CAPTIONS), "complaints": list(page.complaints), "isolated": page.run("crossOriginIsolated")}
    page.run("document.getElementById('there').click(); 0")
    page.wait("location.pathname === '/' && document.getElementById('where')?.hidden === false")
    return seen


def transcribed(page, options):
    """The speech as a recording, by a page of one's own; then what it took."""
    return page.run(f"""(async () => {{
        const {{ Transcriber }} = await import("{BASE}src/index.js");
        const transcriber = new Transcriber({{ model: "{BASE}models/model.bin", ...{options} }});
        const bytes = await (await fetch("{BASE}speech.f32")).arrayBuffer();
        const transcript = await transcriber.transcribe(new Float32Array(bytes), {{ sampleRate: 8000 }});
        const usage = await transcriber.usage();
        const srt = await transcriber.file("srt");
        transcriber.close();
        return {{ transcript, srt, ...usage, isolated: crossOriginIsolated }};
    }})()""")


def see_shared(page):
    page.open(BASE + "blank.html")
    return transcribed(page, "{ workers: 3 }") | {"complaints": page.complaints}


def see_library(page):
    # What stands in the README, as a page of its own would have it.
    page.open(BASE + "readme.html")
    until = time.monotonic() + PATIENCE
    while not page.run("window.done === true"):
        assert time.monotonic() < until, (page.printed, page.complaints)
        time.sleep(0.1)
    readme = list(page.printed)
    page.printed.clear()
    transcript = transcribed(page, "{}")
    return {"readme": readme, "complaints": page.complaints} | transcript


def see_minutes(page):
    """Speech over and over, as one stream that comes as fast as it is recognized; memory after each time."""
    page.open(BASE + "readme.html")
    page.run(f"""(async () => {{
        const {{ Transcriber }} = await import("{BASE}src/index.js");
        window.transcriber = new Transcriber({{ model: "{BASE}models/model.bin", language: "en", sampleRate: 8000 }});
        window.speech = new Float32Array(await (await fetch("{BASE}speech.f32")).arrayBuffer());
        window.events = window.transcriber[Symbol.asyncIterator]();
        window.pushed = 0;
        window.words = 0;
    }})()""")
    memory = []
    for _ in range(int(os.environ["ROUNDS"])):
        memory.append(page.run("""(async () => {
            // A moment of silence ends the last utterance.
            for (const samples of [speech, new Float32Array(16000)]) {
                transcriber.push(samples);
                pushed += samples.length / 8000;
            }
            for (;;) {
                const { value: event } = await events.next();
                if (event.type === "dropped") throw new Error(event.reason);
                if (event.type !== "final") continue;
                words += event.words.length;
                if (event.end > pushed - 4) break;
            }
            return (await transcriber.usage()).memory;
        })()"""))
    return {"memory": memory, "words": page.run("words"), "seconds": page.run("pushed"), "complaints": page.complaints}


microphone = [
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={RECORDING}%noloop", "--window-size=900,700",
]
with opened(CHROMIUM, BASE + "page/", *microphone) as page:
    print(json.dumps({"page": see_page, "library": see_library, "shared": see_shared, "minutes": see_minutes, "switch": see_switch}[MODE](page)))
