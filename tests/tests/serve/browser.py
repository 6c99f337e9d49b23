"""The page at / in headless Chromium, with a recording as its microphone.

    browser.py CHROMIUM BASE RECORDING PICTURES

Prints one JSON object: what a person would see, and what they could save.
"""
import json, pathlib, sys

# What drives Chromium lies in tests/, for all pages.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from chromium import opened

CHROMIUM, BASE, RECORDING, PICTURES = *sys.argv[1:4], pathlib.Path(sys.argv[4])
PHRASES = 3

microphone = [
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={RECORDING}%noloop", "--window-size=900,600",
]
with opened(CHROMIUM, f"http://{BASE}/", *microphone) as page:
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
    page.picture(PICTURES / "listening.png")
    page.wait(f"document.querySelectorAll('#captions li').length >= {PHRASES}")
    page.run("document.getElementById('listen').click(); 0")
    page.wait("document.getElementById('status').textContent === 'Ready.'")
    for name in ["srt", "vtt"]:
        page.run(f"document.getElementById('{name}').click(); 0")
    saved = page.run("Promise.all(Object.entries(window.saved).map(async ([name, url]) =>"
                     " [name, await window.blobs[url].text()]))")
    page.picture(PICTURES / "light.png")
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.picture(PICTURES / "dark.png")
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    names = {node["role"]["value"]: node.get("name", {}).get("value") for node in tree if "role" in node}
    print(json.dumps({
        "focus": focus, "tentative": tentative, "level": level, "saved": dict(saved),
        "captions": page.run("[...document.querySelectorAll('#captions li span')].map(line => line.textContent)"),
        "devices": page.run("document.getElementById('device').options.length"),
        "roles": names, "complaints": page.complaints,
        "dark": page.run("getComputedStyle(document.documentElement).backgroundColor"),
    }))
