"""Installed as tiktoken_ext/alliance_assistant.py, where tiktoken looks for encodings.

The vocabulary is `tekken_240911.json` of mistral-common: a byte-pair encoding of about 130,000 tokens. It is read from
that package's folder, so nothing is fetched from a network.
"""

from __future__ import annotations

import base64
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def _tekken() -> dict[str, Any]:
    spec = find_spec("mistral_common")
    if spec is None or spec.origin is None:
        raise ValueError("the package mistral-common, which carries the vocabulary, is not installed")
    data = json.loads((Path(spec.origin).parent / "data" / "tekken_240911.json").read_text(encoding="utf-8"))
    config = data["config"]
    words = data["vocab"][: config["default_vocab_size"] - config["default_num_special_tokens"]]
    return {
        "name": "alliance_assistant_tekken",
        "pat_str": config["pattern"],
        "mergeable_ranks": {base64.b64decode(word["token_bytes"]): word["rank"] for word in words},
        "special_tokens": {},
    }


ENCODING_CONSTRUCTORS = {"alliance_assistant_tekken": _tekken}
