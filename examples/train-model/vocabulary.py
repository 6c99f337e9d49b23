"""What the model knows: its words, and phrases in which they occur.

Words are written as a person would write them in the middle of a sentence: names of days, months and letters have a
capital, everything else has none, and there is no punctuation.
"""
import random

DIGITS = "zero one two three four five six seven eight nine".split()
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
LETTERS = (
    "Alpha Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliet Kilo Lima Mike November Oscar Papa Quebec Romeo "
    "Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
COLORS = "red green blue white black yellow".split()
ROOMS = "kitchen bedroom bathroom garden office house".split()
SIDES = "left right front rear side center".split()

# Phrases of command: a word in braces is one of SLOTS.
COMMANDS = """
yes|no|okay|maybe|please|thank you|yes please|no thank you|hello|goodbye|good morning|good night|cancel|help|again
start|stop|play|pause|next|previous|continue|repeat|begin|end|finish|ready|wait|go|go home|go back|come here|come back
turn {switch} the {device}|turn the {device} {switch}|turn {switch} the {color} light|turn {switch} the {room} light
switch {switch} the {device} in the {room}|light {switch}|the light is {color}|set the light to {color}|all lights {switch}
open the {opening}|close the {opening}|lock the {opening}|unlock the {opening}|open|close|lock the house|is the {opening} open
volume up|volume down|volume {small}|louder|quieter|mute|unmute|make it louder|make it quieter|turn it up|turn it down
set a timer for {small} minutes|set a timer for {number} seconds|set an alarm for {time}|stop the timer|stop the alarm
wake me at {time}|wake me up at {time}|how much time is left|what time is it|what day is it|what is the weather today
what is the weather tomorrow|is it cold|is it warm|set the temperature to {number} degrees|{number} degrees|warmer|colder
{number} percent|set the volume to {number} percent|{number} point {digit}|plus {number}|{number} minus {number}
{number} and {number} is {number}|{number} times {number}|number {number}|room {number}|channel {number}|page {number}
play the music|play the next song|play the last song|play the radio|stop the music|play a song|another song|play it again
call home|call {letter}|call the office|answer the phone|hang up|send a message|read the message|delete the message
new message|save|save it|delete it|undo|redo|copy|paste|cut|select all|new line|find the file|close the file|print the page
scroll up|scroll down|zoom in|zoom out|next page|last page|first page|show the map|hide the window|show me the {device}
move {way}|turn {way}|look {way}|go {way}|step {way}|{way}|move {way} {small} steps|stop here|stop now|faster|slower
{side} {side}|{side} channel|{side} {side} channel|front {side}|rear {side}|side {side}|hand {side}|{side} hand
take a picture|take a photo|start the camera|start recording|stop recording|search|search again|tell me the time
tell me a story|read the book|water the garden|water|fire|help me please|the door is open|the window is closed
here and there|now or never|on and off|up and down|in and out|black and white|day and night|good day|that is right|true|false
""".replace("\n", "|")

SLOTS = {
    "switch": "on off".split(),
    "device": "light lamp radio television music camera timer alarm".split(),
    "color": COLORS,
    "room": ROOMS,
    "opening": "door window garage".split(),
    "way": "left right up down forward backward back".split(),
    "side": SIDES,
    "digit": DIGITS,
    "letter": LETTERS,
    "small": DIGITS[1:] + ["ten"],
}


def number(rng):
    """A number from 10 to 999, mostly below 100."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(TEENS)
    if kind < 0.75:
        tens = rng.choice(TENS)
        return tens if rng.random() < 0.3 else f"{tens} {rng.choice(DIGITS[1:])}"
    hundreds = f"{rng.choice(DIGITS[1:])} hundred"
    if rng.random() < 0.3:
        return hundreds
    return f"{hundreds} {rng.choice(['and ', ''])}{number_below_100(rng)}"


def number_below_100(rng):
    return rng.choice([rng.choice(DIGITS[1:]), rng.choice(TEENS), f"{rng.choice(TENS)} {rng.choice(DIGITS[1:])}"])


def time(rng):
    hour = rng.choice(DIGITS[1:] + TEENS[:3])
    return rng.choice([
        f"{hour} o'clock", f"half past {hour}", f"quarter to {hour}", f"quarter past {hour}", f"{hour} thirty",
        f"{hour} {rng.choice(['fifteen', 'twenty', 'forty five', 'oh five', 'ten'])}", "noon", "midnight",
        f"{hour} in the {rng.choice(['morning', 'evening', 'afternoon'])}", f"{hour} minutes past {hour}",
    ])


def date(rng):
    ordinal = rng.choice(ORDINALS + ["twenty " + rng.choice(ORDINALS[:9]), "thirtieth", "thirty first"])
    month = rng.choice(MONTHS)
    return rng.choice([
        f"{rng.choice(DAYS)}", f"{month}", f"{month} {ordinal}", f"the {ordinal} of {month}", f"on {rng.choice(DAYS)}",
        f"{rng.choice(DAYS)} {rng.choice(['morning', 'evening', 'afternoon', 'night'])}", f"{rng.choice(DAYS)} {month} {ordinal}",
        f"{rng.choice(['next', 'last'])} {rng.choice(DAYS + ['week', 'month', 'year'])}", f"{rng.choice(['today', 'tomorrow', 'yesterday', 'tonight'])}",
        f"{rng.choice(['today', 'tomorrow'])} at {time(rng)}", f"{rng.choice(DAYS)} at {time(rng)}", f"in {rng.choice(SLOTS['small'])} {rng.choice(['days', 'weeks', 'hours'])}",
    ])


def spelling(rng):
    return " ".join(rng.choices(LETTERS, k=rng.randint(1, 5)))


def digits(rng):
    names = DIGITS + (["oh"] if rng.random() < 0.15 else [])
    return " ".join(rng.choices(names, k=rng.randint(1, 7)))


def command(rng):
    text = rng.choice([each for each in COMMANDS.split("|") if each])
    while "{" in text:
        before, slot, after = text.split("{", 1)[0], text.split("{", 1)[1].split("}")[0], text.split("}", 1)[1]
        value = {"number": number, "time": time}.get(slot, lambda rng: rng.choice(SLOTS[slot]))(rng)
        text = before + value + after
    return text


def phrase(rng):
    """A phrase of the model's words; every kind of phrase comes often enough to be learned."""
    kind = rng.random()
    if kind < 0.18:
        return digits(rng)
    if kind < 0.30:
        return number(rng)
    if kind < 0.40:
        return spelling(rng)
    if kind < 0.50:
        return date(rng)
    if kind < 0.56:
        return time(rng)
    if kind < 0.64:
        # Any words in any order, so that a word is known without its usual neighbors.
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 5)))
    return command(rng)


def words():
    """All words, sorted."""
    rng, found = random.Random(0), set(DIGITS + TEENS + TENS + LETTERS + DAYS + MONTHS + ORDINALS)
    for text in COMMANDS.split("|"):
        found.update(word for word in text.split() if "{" not in word)
    for values in SLOTS.values():
        found.update(values)
    for _ in range(3000):
        found.update(time(rng).split() + date(rng).split() + number(rng).split() + digits(rng).split())
    return sorted(found)


WORDS = words()

if __name__ == "__main__":
    print(len(WORDS), "words:", " ".join(WORDS))
