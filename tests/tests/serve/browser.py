"""The page at / in headless Chromium, with a recording as its microphone.

    browser.py CHROMIUM BASE RECORDING PICTURES

Prints one JSON object: what a person would see, and what they could save. Speaks the DevTools protocol itself.
"""
import base64, itertools, json, pathlib, subprocess, sys, tempfile, time, urllib.request

from websockets.sync.client import connect

CHROMIUM, BASE, RECORDING, PICTURES = sys.argv[1:]
PHRASES = 3
PATIENCE = 90


class Page:
    def __init__(self, port):
        tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
        self.socket = connect(next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"], max_size=None)
        self.numbers = itertools.count(1)
        self.complaints = []

    def send(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=PATIENCE))
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(message["params"])
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

    def picture(self, name):
        image = self.send("Page.captureScreenshot", format="png")["data"]
        (pathlib.Path(PICTURES) / name).write_bytes(base64.b64decode(image))

    def press(self, key, code):
        for kind in ["keyDown", "keyUp"]:
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text="\r" if key == "Enter" else "")


# What is left of a browser may still write while its folder is removed.
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    browser = subprocess.Popen([
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={RECORDING}%noloop",
        "--no-proxy-server", "--window-size=900,600", "--remote-debugging-port=0", f"http://{BASE}/",
    ], stderr=subprocess.DEVNULL)
    try:
        port_file, until = pathlib.Path(profile) / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not port_file.exists() or not port_file.read_text().strip():
            assert time.monotonic() < until, "Chromium does not start"
            time.sleep(0.1)
        page = Page(port_file.read_text().split()[0])
        for domain in ["Page", "Runtime", "Log"]:
            page.send(f"{domain}.enable")
        page.wait("document.getElementById('model')?.options.length > 1")
        # Blobs that are saved are kept instead.
        page.run("window.saved = {}; HTMLAnchorElement.prototype.click = function () {"
                 " window.saved[this.download] = this.href }; 0")
        page.run("window.blobs = {}; const make = URL.createObjectURL; URL.createObjectURL = blob => {"
                 " const url = make.call(URL, blob); window.blobs[url] = blob; return url }; 0")
        # Tentative words may stand for a moment only: whoever looks now and then could miss them.
        page.run("window.tentative = ''; new MutationObserver(() => {"
                 " window.tentative ||= document.getElementById('tentative').textContent"
                 " }).observe(document.getElementById('tentative'), { childList: true }); 0")
        # By keyboard alone: the button is the first thing there.
        page.press("Tab", 9)
        focus = page.run("document.activeElement.id")
        page.press("Enter", 13)
        tentative = page.wait("window.tentative")
        level = page.wait("document.getElementById('level').value")
        page.wait("document.querySelectorAll('#captions li').length >= 1")
        page.picture("listening.png")
        page.wait(f"document.querySelectorAll('#captions li').length >= {PHRASES}")
        page.run("document.getElementById('listen').click(); 0")
        page.wait("document.getElementById('status').textContent === 'Ready.'")
        for name in ["srt", "vtt"]:
            page.run(f"document.getElementById('{name}').click(); 0")
        saved = page.run("Promise.all(Object.entries(window.saved).map(async ([name, url]) =>"
                         " [name, await window.blobs[url].text()]))")
        page.picture("light.png")
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        page.picture("dark.png")
        tree = page.send("Accessibility.getFullAXTree")["nodes"]
        names = {node["role"]["value"]: node.get("name", {}).get("value") for node in tree if "role" in node}
        print(json.dumps({
            "focus": focus, "tentative": tentative, "level": level, "saved": dict(saved),
            "captions": page.run("[...document.querySelectorAll('#captions li span')].map(line => line.textContent)"),
            "devices": page.run("document.getElementById('device').options.length"),
            "roles": names, "complaints": page.complaints,
            "dark": page.run("getComputedStyle(document.documentElement).backgroundColor"),
        }))
    finally:
        browser.kill()
        browser.wait()
