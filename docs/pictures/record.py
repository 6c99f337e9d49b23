#!/usr/bin/env python3
"""Runs a command in a terminal of its own and draws what the screen shows at the end.

Usage: record.py OUT.svg COLUMNS COMMAND…     (needs the PyPI package pyte; `make pictures` installs it)
"""
import os, pty, select, sys
from html import escape

import pyte

COLOURS = {"default": "#d0d0d0", "red": "#f07178", "green": "#a5d66a", "brown": "#e6c07b", "blue": "#61afef",
           "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#ffffff", "black": "#5c6370"}
CELL, LINE, MARGIN = 8.4, 18, 14


def record(columns, command):
    """The screen, row by row, without the empty rows at the end."""
    screen = pyte.HistoryScreen(columns, 60)
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(columns), LINES="60")
        os.execvp(command[0], command)
    import fcntl, struct, termios
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    while True:
        select.select([terminal], [], [])
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        stream.feed(data)
    os.waitpid(pid, 0)
    rows = [[screen.buffer[y][x] for x in range(columns)] for y in range(60)]
    while rows and all(cell.data == " " for cell in rows[-1]):
        rows.pop()
    return rows


def draw(rows, columns, command):
    width, height = columns * CELL + 2 * MARGIN, (len(rows) + 1) * LINE + 2 * MARGIN
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
           f'font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14">')
    yield f'<rect width="100%" height="100%" rx="8" fill="#1e2127"/>'
    title = escape("$ " + " ".join(command))
    yield f'<text x="{MARGIN}" y="{MARGIN + LINE * 0.75:.0f}" fill="#ffffff" xml:space="preserve">{title}</text>'
    for number, row in enumerate(rows, 1):
        x = 0
        while x < columns:
            run = x
            style = (row[x].fg, row[x].bold)
            while run < columns and (row[run].fg, row[run].bold) == style:
                run += 1
            text = "".join(cell.data for cell in row[x:run]).rstrip()
            if text.strip():
                fill = COLOURS.get(style[0], "#" + style[0] if len(style[0]) == 6 else COLOURS["default"])
                weight = ' font-weight="bold"' if style[1] else ""
                yield (f'<text x="{MARGIN + x * CELL:.1f}" y="{MARGIN + (number + 0.75) * LINE:.0f}" fill="{fill}"{weight} '
                       f'xml:space="preserve">{escape(text)}</text>')
            x = run
    yield "</svg>"


if __name__ == "__main__":
    out, columns, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(draw(record(columns, command), columns, command)) + "\n")
