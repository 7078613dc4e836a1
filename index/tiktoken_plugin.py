"""Installed as tiktoken_ext/alliance_assistant.py, where tiktoken looks for encodings.

The vocabulary is `tekken_240911.json` of mistral-common: a byte-pair encoding of about 130,000 tokens. It is read from
that package's folder, so nothing is fetched from a network.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def _tekken() -> dict[str, Any]:
    spec = find_spec("mistral_common")
    if spec is None or spec.origin is None:
        raise ValueError("the package mistral-common, which carries the vocabulary, is not installed")
    head, _, vocabulary = (Path(spec.origin).parent / "data" / "tekken_240911.json").read_bytes().partition(b'"vocab":')
    config = json.loads(head.rstrip().removesuffix(b",") + b"}")["config"]
    count = config["default_vocab_size"] - config["default_num_special_tokens"]
    # Reading all of it as JSON takes three times as long, and each start waits for it.
    words = re.findall(rb'"rank":\s*(\d+),\s*"token_bytes":\s*"([^"]*)"', vocabulary)[:count]
    if len(words) != count:
        raise ValueError("the vocabulary of the package mistral-common is not in the form that is known")
    return {
        "name": "alliance_assistant_tekken",
        "pat_str": config["pattern"],
        "mergeable_ranks": {a2b_base64(word): int(rank) for rank, word in words},
        "special_tokens": {},
        "explicit_n_vocab": count,
    }


ENCODING_CONSTRUCTORS = {"alliance_assistant_tekken": _tekken}
