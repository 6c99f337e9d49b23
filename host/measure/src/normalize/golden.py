#!/usr/bin/env python3
"""What the reference makes of generated text: lines of ["english" | "basic" | "characters", text, normalized].

    pip install openai-whisper==20250625 --no-deps && pip install regex more-itertools
    golden.py 600 > golden.jsonl

More, or other texts (a file with one on each line), compare as much as one likes:

    golden.py 200000 texts.txt > /tmp/more.jsonl
    HEARKEN_GOLDEN=/tmp/more.jsonl cargo nextest run --release --workspace --lib -E 'test(normalize)'
"""
import importlib.util, json, random, sys, types, pathlib, sysconfig

# The normalizers alone: the package itself imports torch.
whisper = types.ModuleType("whisper")
whisper.__path__ = [str(pathlib.Path(sysconfig.get_paths()["purelib"]) / "whisper")]
sys.modules["whisper"] = whisper
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer
from whisper.normalizers.english import EnglishNumberNormalizer

english, basic, characters = EnglishTextNormalizer(), BasicTextNormalizer(), BasicTextNormalizer(split_letters=True)
numbers = sorted(EnglishNumberNormalizer().words)
spellings = sorted(english.standardize_spellings.mapping)
contractions = """won't can't let's ain't y'all wanna gotta gonna i'ma imma woulda coulda shoulda ma'am mr. mrs. st. dr.
    prof. capt. gov. ald. gen. sen. rep. pres. rev. hon. asst. assoc. lt. col. jr. sr. esq. he'd it's she's they're
    we'll don't isn't you've i'm 's 'd been gone done got who'd 'tis o'clock rock'n'roll""".split()
words = "the a of house uh um hmm mm mhm mmm ninth july km mm th st nd rd s b747 rc232 per cent half sixes tens".split()
symbols = list("-+£€$¢%.,;:!?'\"()[]<>&/@#_~…–—") + ["...", "½", "²", "№", "％", "＄"]
letters = list("éüñçøßœÆŁđðþÞΣςİıǅﬁ한 日本語テキスト ไทย ก็ ស្ a\u0301 e\u0323\u0302 हिन्दी שלום a\x1cb \u00a0 \u2028 Ⅷ")


def digits(rng):
    number = str(rng.choice([0, 1, 5, 10, 100, rng.randrange(10), rng.randrange(100), rng.randrange(10**6), 10**rng.randrange(40)]))
    return rng.choice([number, number, f"{number}.{rng.randrange(100)}", f"{int(number):,}", f"0.{rng.randrange(100):02}",
                       f"{number}.0", f"00{number}", f"{number}.", f".{number}"])


def money(rng):
    return rng.choice("$€£¢") + digits(rng)


def glued(rng):
    return "".join(piece(rng) for _ in range(rng.randrange(2, 4)))


def piece(rng):
    kind = rng.choices(range(8), [50, 14, 5, 8, 8, 8, 5, 2])[0]
    if kind == 7:
        return glued(rng)
    word = [lambda: rng.choice(numbers), lambda: digits(rng), lambda: money(rng), lambda: rng.choice(contractions),
            lambda: rng.choice(spellings), lambda: rng.choice(words + ["and", "and a half", "point", "double", "one"]),
            lambda: rng.choice(symbols + letters)][kind]()
    return rng.choices([word, word.capitalize(), word.upper(), word + rng.choice(",.;:!?%"), "(" + word, word + ")"],
                       [80, 5, 3, 8, 2, 2])[0]


def texts(count):
    rng = random.Random(1)
    for _ in range(count):
        separator = rng.choices([" ", "  ", "-", "\t", ""], [90, 3, 4, 2, 1])[0]
        yield separator.join(piece(rng) for _ in range(rng.randrange(1, 9)))


def write(kind, normalizer, text):
    try:
        print(json.dumps([kind, text, normalizer(text)], ensure_ascii=False))
    except (AssertionError, ValueError, TypeError, IndexError) as error:
        print(f"the reference fails on {text!r}: {error!r}", file=sys.stderr)


if __name__ == "__main__":
    given = [line.rstrip("\n") for path in sys.argv[2:] for line in open(path, encoding="utf-8")]
    for number, text in enumerate([*texts(int(sys.argv[1])), *given]):
        write("english", english, text)
        if number % 6 == 0:
            write("basic", basic, text)
            write("characters", characters, text)
