"""The preference pairs that trainers are recorded on: short, of unequal length, some with the traps of the boundary."""

# prompt, chosen, rejected
PAIRS = [
    ("Q: two plus two?\nA:", " four", " five, or so"),
    ("Q: the sea is\nA:", " blue and wide", " red"),
    ("Name a tree.", " Oak.", " A tree is a plant that grows"),
    ("Say hi", " hi", " no"),
    ("Translate: chat.", " Katze", " Hund, glaube ich"),
    ("é or e?", " é", " e"),
    ("Long prompt that has many more bytes than the others do:", " ok", " not ok at all"),
    ("1+1=", "2", "3"),
    ("Who wrote it?", " She did.", " He did."),
    ("Colour of snow?\n", "white", "whitish grey"),
    ("End with a stop", " here.", " here"),
    ("Count:", " 1 2 3 4 5", " 1 2"),
    ("Is it so?", " Yes, it is so.", " Yes, it was so."),
    ("x", " y", " z"),
    ("Repeat: ab", " ab", " ab ab ab ab ab"),
    ("Cheese?", " Please.", " Please do not."),
]

MARGINS = [round(0.1 * (i % 5), 1) for i in range(len(PAIRS))]


def texts(explicit=True):
    if explicit:
        return [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in PAIRS]
    return [{"chosen": p + c, "rejected": p + r} for p, c, r in PAIRS]


def chats():
    def turn(role, text):
        return {"role": role, "content": text.strip()}

    return [{"prompt": [turn("user", p)], "chosen": [turn("assistant", c)], "rejected": [turn("assistant", r)]} for p, c, r in PAIRS]


def completions():
    return [{"prompt": p, "completion": c} for p, c, _ in PAIRS]
