"""A page in headless Chromium, by the DevTools protocol: for the tests of all pages."""
import base64, contextlib, itertools, json, pathlib, subprocess, tempfile, time, urllib.request

from websockets.sync.client import connect

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

    def picture(self, path, size=None):
        if size:
            width, height = size
            self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        image = self.send("Page.captureScreenshot", format="png")["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(image))

    def choose(self, field, path):
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=f"#{field}")["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def press(self, key, code):
        for kind in ["keyDown", "keyUp"]:
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text="\r" if key == "Enter" else "")


@contextlib.contextmanager
def opened(chromium, address, *flags):
    """A browser with one page. What is left of it may still write while its folder is removed."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen([
            chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}", "--no-proxy-server", "--remote-debugging-port=0", *flags, address,
        ], stderr=subprocess.DEVNULL)
        try:
            port_file, until = pathlib.Path(profile) / "DevToolsActivePort", time.monotonic() + PATIENCE
            while not port_file.exists() or not port_file.read_text().strip():
                assert time.monotonic() < until, "Chromium does not start"
                time.sleep(0.1)
            page = Page(port_file.read_text().split()[0])
            for domain in ["Page", "Runtime", "Log", "DOM"]:
                page.send(f"{domain}.enable")
            yield page
        finally:
            browser.kill()
            browser.wait()
