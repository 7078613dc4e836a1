"""Numbers in words and digits, in one form: what a written answer must have from its sources."""

from __future__ import annotations

import re
from decimal import MAX_PREC, Context, Decimal

_UNITS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen".split()
    )
}
_TENS = {word: 10 * value for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)}
_ORDINALS = {
    word: value
    for value, word in enumerate(
        "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth "
        "seventeenth eighteenth nineteenth twentieth".split(),
        start=3,
    )
}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000, "trillion": 1_000_000_000_000}
_MANY = {"dozen": 12}
_SMALL = {**_UNITS, **_TENS}
_WORDED = "|".join(sorted((*_UNITS, *_TENS, *_SCALES, *_MANY, *_ORDINALS), key=len, reverse=True))
_FIGURE = re.compile(
    r"(?P<digits>(?<![\w.,])\d{1,3}(?:[,\u00a0\u202f\u2009 ]\d{3})+(?![\d])(?:\.\d+)?|\d+(?:[.,]\d+)?)"
    r"(?:(?P<decade>['’]?s)\b|(?P<ordinal>st|nd|rd|th)\b|(?P<short>[kKmMbB])\b|[\s-]+(?P<scale>hundred|thousand|million|billion|"
    r"trillion)\b)?"
    rf"|\b(?P<worded>(?:{_WORDED})(?:(?:[\s-]+|\s+and\s+)(?:{_WORDED}))*)\b",
    re.IGNORECASE,
)
_SCALE_ZEROS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "k": 3, "m": 6, "b": 9}
# No digit of a number is ever rounded away.
_EXACT = Context(prec=MAX_PREC)


def figures(text: str) -> set[str]:
    """Each number that stands in the text, in plain digits: "40,000", "40 000" and "forty thousand" are all "40000"; "the 1970s"
    is "1970s". "One" is left out: it is seldom a number.
    """
    found: set[str] = set()
    for match in _FIGURE.finditer(text):
        if match["digits"]:
            scale = (match["scale"] or match["short"] or "").lower()
            value = _value(match["digits"]).scaleb(_SCALE_ZEROS.get(scale, 0), _EXACT)
            found.add(_plain(value) + ("s" if match["decade"] else ""))
        else:
            found |= {_plain(value) for value in _worded(match["worded"]) if value != 1}
    return found


def _value(digits: str) -> Decimal:
    whole = re.sub(r"[\s\u00a0\u202f\u2009]", "", digits)
    # A comma before exactly three digits parts thousands, any other the decimals.
    whole = re.sub(r",(?=\d{3}(?!\d))", "", whole)
    return Decimal(whole.replace(",", "."))


def _plain(value: Decimal) -> str:
    """Without zeros that say nothing."""
    whole, _, fraction = f"{value:f}".partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole.lstrip('0') or '0'}{'.' if fraction else ''}{fraction}"


def _worded(words: str) -> list[Decimal]:
    """ "two hundred and five" -> 205; words that make no one number, "two three", each by itself."""
    values: list[Decimal] = []
    total = current = Decimal(0)
    last = ""
    for word in re.findall(r"[a-z]+", words.lower()):
        if word == "and":
            continue
        if word in _SCALES or word in _MANY:
            scale = _SCALES.get(word) or _MANY[word]
            if scale == 100:
                current = (current or Decimal(1)) * 100
            else:
                total, current = total + (current or Decimal(1)) * scale, Decimal(0)
        else:
            value = _SMALL.get(word, _ORDINALS.get(word, 0))
            goes_on = not last or last in _SCALES or (last in _TENS and 0 < value < 10)
            if not goes_on:
                values.append(total + current)
                total = current = Decimal(0)
            current += value
        last = word
    return [*values, total + current]
