"""Texts for comparing embedding engines: sentences of many kinds, and hostile ones by the thousand.

The same ones in every run.
"""

import random

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "How do I reset my password?",
    "def add(a, b):\n    return a + b",
    "SELECT name FROM users WHERE id = 42;",
    "Die Straße ist heute wegen Bauarbeiten gesperrt.",
    "Où est la bibliothèque, s'il vous plaît ?",
    "今日はとても良い天気ですね。",
    "北京是中国的首都。",
    "Привет, как дела сегодня?",
    "שלום עולם, מה שלומך?",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "안녕하세요 세계",
    "I love this 😍🎉 so much!!!",
    "Order #12345 shipped on 2024-03-01 for $99.95.",
    "naïve café résumé Ångström",
    "a",
    "",
    "Pneumonoultramicroscopicsilicovolcanoconiosis is a long word.",
)
_PARTS = (
    *(
        "café",
        "ÅNGSTRÖM",
        "Straße",
        "don't",
        "x" * 99,
        "x" * 100,
        "x" * 101,
        "北京",
        "日本語",
        "हिन्दी",
    ),
    *(
        "עברית",
        "العربية",
        "👍🏽",
        "👩‍👩‍👧",
        "\u200b",
        "\x00a\x01",
        "İstanbul",
        "ΣΑΣ",
        "e\u0301",
        "１２３",
    ),
    *(
        "…",
        "$5.00",
        "a_b",
        "\ufeff",
        "\xa0",
        "한국어",
        "##ing",
        "\t",
        "\r\n",
        "\ufffd",
        "ﬁ",
        "½",
        "−",
        "«»",
    ),
)


def sentences(count: int) -> list[str]:
    """Each sentence, then two to six of them together, at most a window long."""
    rng = random.Random(7)
    made = [" ".join(rng.choices(SENTENCES, k=2 + number % 5)) for number in range(count)]
    return [*SENTENCES, *made][:count]


def hostile(count: int) -> list[str]:
    rng = random.Random(11)
    kinds = (_of_all_planes, _of_scripts, _of_parts, _of_controls)
    return [kinds[number % len(kinds)](rng) for number in range(count)]


def _of_all_planes(rng: random.Random) -> str:
    drawn = (rng.randrange(0x20, 0x110000) for _ in range(30))
    return "".join(chr(code) for code in drawn if not 0xD800 <= code < 0xE000)


def _of_scripts(rng: random.Random) -> str:
    begin = rng.choice([0x20, 0xC0, 0x370, 0x400, 0x590, 0x900, 0xE00, 0x1E00, 0x3040, 0xAC00])
    codes = (begin + rng.randrange(96) if rng.random() < 0.8 else 0x20 for _ in range(40))
    return "".join(map(chr, codes))


def _of_parts(rng: random.Random) -> str:
    return " ".join(rng.choices(_PARTS, k=rng.randrange(12)))


def _of_controls(rng: random.Random) -> str:
    return "".join(chr(rng.randrange(0x250)) for _ in range(rng.randrange(60)))
