"""The page at /overlay in headless Chromium, of a broadcast that others speak in.

    overlay.py CHROMIUM BASE NAME KEY PICTURE

Prints "watching" when it does, waits for a line of standard input, and then prints one JSON object: what is seen.
"""
import json, pathlib, sys, urllib.parse

# What drives Chromium lies in tests/, for all pages.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from chromium import opened

CHROMIUM, BASE, NAME, KEY, PICTURE = sys.argv[1:]

options = urllib.parse.urlencode({"name": NAME, "key": KEY, "size": 36, "color": "yellow", "lines": 3, "seconds": 0})
with opened(CHROMIUM, f"http://{BASE}/overlay#{options}", "--window-size=960,540") as page:
    # Nothing is behind the captions: the picture's is.
    page.send("Emulation.setDefaultBackgroundColorOverride", color={"r": 40, "g": 90, "b": 120, "a": 255})
    page.wait("document.getElementById('captions') !== null")
    print("watching", flush=True)
    sys.stdin.readline()
    page.wait("document.querySelector('#captions p') && !document.querySelector('#captions .tentative')")
    page.picture(PICTURE)
    style = "getComputedStyle(document.getElementById('captions'))"
    print(json.dumps({
        "lines": page.run("[...document.querySelectorAll('#captions p')].map(line => line.textContent)"),
        "size": page.run(f"{style}.fontSize"), "color": page.run(f"{style}.color"),
        "background": page.run("getComputedStyle(document.body).backgroundColor"), "complaints": page.complaints,
    }))
