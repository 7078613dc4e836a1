"""Where a sentence gives words to a person."""

from __future__ import annotations

import re

from index.speakers import OPINING, REPORTING, SPOKEN, family_name, folded, forms

# More ways to give somebody words than a question has.
CREDITING = (
    OPINING
    | forms(
        "acknowledge highlight question challenge criticize criticise dismiss cite count attribute interpret characterize "
        "portray identify distinguish contrast defend dispute refute underline underscore affirm allege imply infer judge label"
    )
    | set("sees seen understands reads finds found draws drew drawn written shown shows showed taken takes took".split())
)
# "Vu, by contrast, has argued".
_ASIDE = r"(?:\s*,\s[^,;:.]{2,40},)?(?:\s+(?:has|have|had|does|did|do|not|would|is|was))*"
_ADVERBS = r"(?:\s+(?:also|further|then|thus|himself|herself|only|never|explicitly|\w+ly))*"


def name_pattern(person: str) -> str:
    return "|".join(re.escape(folded(name)) for name in dict.fromkeys((person, family_name(person))))


def credited_at(person: str, text: str) -> int | None:
    """Where the text begins to give words to that person; None where it does not."""
    who = name_pattern(person)
    # A country or a city that speaks also acts: "Beijing viewed its relations with Washington otherwise".
    verbs = "|".join(sorted(CREDITING if " " in person else REPORTING, key=len, reverse=True))
    match = re.search(
        rf"(?<!\w)(?:{who})(?:\s+\([^()]*\))?(?:{_ASIDE}{_ADVERBS}\s+(?:{verbs})\b|'s?\s+(?:\w+\s+)?(?:{SPOKEN}|reading|interpretation|eyes|judge?ment|theory)\b|:)|"
        rf"\b(?:according to|as|for)\s+(?:{who})(?!\w)|\b(?:{verbs}) (?:by )?(?:{who})(?![\w'])",
        folded(text),
    )
    return match.start() if match else None
