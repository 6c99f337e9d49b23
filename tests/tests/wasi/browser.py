"""The page of examples/browser in headless Chromium, with a recording as its microphone.

    browser.py page|library|minutes|switch CHROMIUM BASE SERVER RECORDING FOLDER PICTURES

SERVER is the process that serves BASE: `page` ends it to see what works without a network. With `switch` BASE is that of
`hearken serve --web`. FOLDER has what the page is given. Prints one JSON object. Speaks the DevTools protocol itself.
"""
import base64, itertools, json, os, pathlib, signal, subprocess, sys, tempfile, time, urllib.request

from websockets.sync.client import connect

MODE, CHROMIUM, BASE, SERVER, RECORDING, FOLDER, PICTURES = sys.argv[1:]
PATIENCE = 120


class Page:
    def __init__(self, port):
        tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
        self.socket = connect(next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"], max_size=None)
        self.numbers = itertools.count(1)
        self.complaints, self.printed = [], []

    def send(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=PATIENCE))
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(message["params"])
            if message.get("method") == "Runtime.consoleAPICalled":
                self.printed.append(" ".join(str(argument.get("value")) for argument in message["params"]["args"]))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def run(self, script):
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script):
        until = time.monotonic() + PATIENCE
        while not (value := self.run(script)):
            assert time.monotonic() < until, (script, self.run("document.body.innerText"), self.complaints)
            time.sleep(0.1)
        return value

    def open(self, address):
        self.send("Page.navigate", url=address)
        self.wait(f"location.href.startsWith({json.dumps(address)}) && document.readyState === 'complete'")

    def picture(self, name, width=900, height=700):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        image = self.send("Page.captureScreenshot", format="png")["data"]
        (pathlib.Path(PICTURES) / name).write_bytes(base64.b64decode(image))

    def choose(self, field, path):
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=f"#{field}")["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])


STATUS = "document.getElementById('status').textContent"
CAPTIONS = "[...document.querySelectorAll('#captions li span')].map(line => line.textContent)"
READY = f"{STATUS}.startsWith('Ready') && !document.getElementById('listen').disabled"


def see_page(page):
    seen = {}
    page.wait("document.getElementById('address')?.value")
    page.picture("web-start.png")
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
    page.picture("web-listening.png")
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
    page.picture("web-light.png")
    page.picture("web-narrow.png", 380, 800)
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.picture("web-narrow-dark.png", 380, 800)
    page.picture("web-dark.png")
    # A file that is no model: an error, and the page lives.
    seen["hostile"] = []
    for name in ["text.bin", "cut.bin", "changed.bin"]:
        page.run("document.getElementById('model-file').value = ''; 0")
        page.choose("model-file", pathlib.Path(FOLDER) / name)
        page.wait("document.getElementById('status').classList.contains('bad')")
        seen["hostile"].append(page.run(STATUS))
        page.run("document.getElementById('status').classList.remove('bad'); 0")
    page.picture("web-error.png")
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
    page.picture("web-server.png")
    page.run("document.getElementById('here').click(); 0")
    page.wait("location.pathname === '/here/page/' && document.readyState === 'complete' && "
              "document.getElementById('there')?.hidden === false")
    page.complaints.clear()
    page.choose("model-file", pathlib.Path(FOLDER) / "model.bin")
    page.wait(READY)
    page.choose("recording", pathlib.Path(FOLDER) / "talk.wav")
    page.wait(f"{READY} && {CAPTIONS}.length >= 1")
    seen = {"captions": page.run(CAPTIONS), "complaints": list(page.complaints)}
    page.run("document.getElementById('there').click(); 0")
    page.wait("location.pathname === '/' && document.getElementById('where')?.hidden === false")
    return seen


def see_library(page):
    # What stands in the README, as a page of its own would have it.
    page.open(BASE + "readme.html")
    until = time.monotonic() + PATIENCE
    while not page.run("window.done === true"):
        assert time.monotonic() < until, (page.printed, page.complaints)
        time.sleep(0.1)
    readme = list(page.printed)
    page.printed.clear()
    transcript = page.run(f"""(async () => {{
        const {{ Transcriber }} = await import("{BASE}src/index.js");
        const transcriber = new Transcriber({{ model: "{BASE}models/model.bin" }});
        const bytes = await (await fetch("{BASE}speech.f32")).arrayBuffer();
        const transcript = await transcriber.transcribe(new Float32Array(bytes), {{ sampleRate: 8000 }});
        const memory = await transcriber.memory();
        const srt = await transcriber.file("srt");
        transcriber.close();
        return {{ transcript, srt, memory }};
    }})()""")
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
            return transcriber.memory();
        })()"""))
    return {"memory": memory, "words": page.run("words"), "seconds": page.run("pushed"), "complaints": page.complaints}


# What is left of a browser may still write while its folder is removed.
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    browser = subprocess.Popen([
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={RECORDING}%noloop",
        "--no-proxy-server", "--window-size=900,700", "--remote-debugging-port=0", BASE + "page/",
    ], stderr=subprocess.DEVNULL)
    try:
        port_file, until = pathlib.Path(profile) / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not port_file.exists() or not port_file.read_text().strip():
            assert time.monotonic() < until, "Chromium does not start"
            time.sleep(0.1)
        page = Page(port_file.read_text().split()[0])
        for domain in ["Page", "Runtime", "Log", "DOM"]:
            page.send(f"{domain}.enable")
        print(json.dumps({"page": see_page, "library": see_library, "minutes": see_minutes, "switch": see_switch}[MODE](page)))
    finally:
        browser.kill()
        browser.wait()
