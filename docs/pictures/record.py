#!/usr/bin/env python3
"""Runs a command in a terminal of its own and draws what the screen shows: at the end, or as soon as a text stands there.

Needs the PyPI package pyte; `make pictures` installs it.
"""
import argparse, os, pty, select, signal
from html import escape

import pyte

COLORS = {"default": "#d0d0d0", "red": "#f07178", "green": "#a5d66a", "brown": "#e6c07b", "blue": "#61afef",
           "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#ffffff", "black": "#5c6370", "brightblack": "#7f8794"}
CELL, LINE, MARGIN = 8.4, 18, 14


class Screen(pyte.HistoryScreen):
    """One that shows dim type, which pyte does not know, as grey."""

    def select_graphic_rendition(self, *attributes, **rest):
        grey = {2: 90, 22: 39}
        super().select_graphic_rendition(*(grey.get(one, one) for one in attributes), **rest)


def stands(screen, text, dim):
    """Whether a row has this text, and with `dim` also some that is dim."""
    rows = [screen.buffer[y].values() for y, row in enumerate(screen.display) if text in row]
    return any(not dim or any(cell.fg == "brightblack" and cell.data.strip() for cell in row) for row in rows)


def record(columns, command, until=None, dim=False):
    """The screen, row by row, without the empty rows at the end."""
    screen = Screen(columns, 60)
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(columns), LINES="60")
        os.execvp(command[0], command)
    import fcntl, struct, termios
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    found = False
    while True:
        # A drawing may come in parts: it is whole when nothing follows for a moment.
        ready, _, _ = select.select([terminal], [], [], 0.02 if found else None)
        if not ready:
            os.kill(pid, signal.SIGTERM)
            break
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        stream.feed(data)
        found = found or bool(until) and stands(screen, until, dim)
    os.waitpid(pid, 0)
    if until and not found:
        raise SystemExit(f"“{until}” never stood on the screen as it should")
    rows = [[screen.buffer[y][x] for x in range(columns)] for y in range(60)]
    while rows and all(cell.data == " " for cell in rows[-1]):
        rows.pop()
    return rows


def draw(rows, columns, title):
    width, height = columns * CELL + 2 * MARGIN, (len(rows) + 1) * LINE + 2 * MARGIN
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
           f'font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14">')
    yield f'<rect width="100%" height="100%" rx="8" fill="#1e2127"/>'
    yield (f'<text x="{MARGIN}" y="{MARGIN + LINE * 0.75:.0f}" fill="#ffffff" '
           f'xml:space="preserve">{escape("$ " + title)}</text>')
    for number, row in enumerate(rows, 1):
        x = 0
        while x < columns:
            run = x
            style = (row[x].fg, row[x].bold)
            while run < columns and (row[run].fg, row[run].bold) == style:
                run += 1
            text = "".join(cell.data for cell in row[x:run]).rstrip()
            if text.strip():
                fill = COLORS.get(style[0], "#" + style[0] if len(style[0]) == 6 else COLORS["default"])
                weight = ' font-weight="bold"' if style[1] else ""
                yield (f'<text x="{MARGIN + x * CELL:.1f}" y="{MARGIN + (number + 0.75) * LINE:.0f}" fill="{fill}"{weight} '
                       f'xml:space="preserve">{escape(text)}</text>')
            x = run
    yield "</svg>"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--until", metavar="TEXT", help="draw, and end the command, when this stands on the screen")
    parser.add_argument("--dim", action="store_true", help="only when its row has dim type, too")
    parser.add_argument("--title", help="the command as the picture shows it")
    parser.add_argument("out")
    parser.add_argument("columns", type=int)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    rows = record(args.columns, args.command, args.until, args.dim)
    with open(args.out, "w", encoding="utf-8") as file:
        file.write("\n".join(draw(rows, args.columns, args.title or " ".join(args.command))) + "\n")
