"""Whether words deny what other words say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from index.lexical import analyse

_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|neither|nor|cannot|without|\w+n['’]t|den(?:y|ies|ied)|reject(?:s|ed)?|refus(?:e|es|ed)|"
    r"lacks?|lacked|fail(?:s|ed)? to|doubt(?:s|ed)?|disagree[sd]?|disput(?:e|es|ed)|contest(?:s|ed|able)|"
    r"undermin(?:e|es|ed)|un(?:clear|known|certain|likely|resolved|able|convincing)|impossible|rul(?:e|es|ed|ing) out|"
    r"exclud(?:e|es|ed|ing)|forb(?:id|ids|idden|ade)|prohibit(?:s|ed)?|wrong|misleading|"
    r"question(?:s|ed) (?:whether|if|that|this))\b",
    re.IGNORECASE,
)
_CLAUSES = re.compile(r"[,;:()]|\b(?:so as|in order to|because|but|although|though|while|whereas|since|and yet)\b|\s[–—]\s")
_HOLDS_OPEN = re.compile(r"\b(?:whether|if)\b", re.IGNORECASE)
_ASKS = re.compile(r"^(?:(?:on|as to|but)\s+)?whether\b", re.IGNORECASE)
# So much of a clause is repeated by a claim that is the same but for a denial.
_WHOLE = 0.6
_OPPOSITES = {
    frozenset(pair.split())
    for pair in (
        "more less, more fewer, higher lower, most least, increased decreased, rose fell, before after, earlier later, "
        "first last, won lost, north south, east west, agree disagree, agrees disagrees, accepts rejects, supports opposes, "
        "formal informal, always never, began ended, large small, larger smaller, great small, stronger weaker, alike different, "
        "similar different, same different, ally enemy, allies enemies, possible impossible, likely unlikely, joined left, "
        "confirmed denied, offensive defensive, democratic authoritarian, upper lower, longer shorter, major minor, true false"
    ).split(",")
}


def is_turned_round(text: str, quoted: Sequence[str], terms: set[str]) -> bool:
    """Whether the claim denies what no quote denies; or does not, where the clause that resembles it most does; or has the
    opposite of a word there. terms: of the claim.
    """
    denies = bool(_NEGATION.search(text))
    # In what most resembles the claim; a denial elsewhere denies something else.
    like = max(quoted, key=lambda each: len(terms & set(analyse(each))))
    if denies and not _NEGATION.search(like):
        return True
    # What follows "On whether …," answers it, and may be no.
    clauses = [
        clause
        for each in quoted
        for clause in ([each] if _ASKS.search(each) and not _HOLDS_OPEN.search(text) else _CLAUSES.split(each))
        if clause.strip()
    ]
    nearest = max(clauses, key=lambda clause: len(terms & set(analyse(clause))), default="")
    if not denies and _NEGATION.search(nearest):
        return True
    # "They do not mean that it never allies" is not denied once.
    own = set(analyse(nearest))
    whole = len(own & set(analyse(text))) >= _WHOLE * len(own)
    if denies and whole and len(_NEGATION.findall(text)) == 1 and len(_NEGATION.findall(nearest)) == 2:
        return True
    said, told = (set(re.findall(r"[^\W\d_]+", each.casefold())) for each in (text, nearest))
    return any(len(pair & said - told) == 1 and len(pair & told - said) == 1 for pair in _OPPOSITES)
