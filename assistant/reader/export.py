"""Ships a training run's best weights: into the package, with the record that vouches for them.

python -m assistant.reader.export RUN_FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open

from assistant.reader.model import BUNDLED_RECORD, BUNDLED_WEIGHTS
from assistant.reader.trained import Fit
from index.errors import AssistantError
from index.models import sha256

MOST_BYTES = 30_000_000
UNFITTED = Fit(carries=0.2, answers=0.3, holds=0.1, confidence=(-1.9, 0.4, 0.4, 1.7), cosine=4.0, first=1.0, words=1.0)


def export(best: Path, weights: Path = BUNDLED_WEIGHTS, record: Path = BUNDLED_RECORD) -> None:
    """best: a run's best.safetensors. Raises OSError, SafetensorError and ValueError."""
    with safe_open(best, "numpy") as file:
        told = {name: json.loads(value) for name, value in file.metadata().items()}
    if best.stat().st_size > MOST_BYTES:
        raise ValueError(f"{best} is larger than {MOST_BYTES:,} bytes")
    weights.with_suffix(".new").write_bytes(best.read_bytes())
    weights.with_suffix(".new").replace(weights)
    fit = asdict(UNFITTED)
    with suppress(OSError, ValueError, KeyError):
        # What was fitted on earlier weights is nearer than nothing.
        fit = json.loads(record.read_text(encoding="utf-8"))["fit"]
    text = json.dumps({"sha256": sha256(weights), **told, "fit": fit}, indent=1)
    record.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Puts a training run's best weights into the package.")
    parser.add_argument("run", type=Path, help="folder of the run")
    given = parser.parse_args()
    try:
        export(given.run / "best.safetensors")
    except (OSError, ValueError, SafetensorError, AssistantError) as error:
        sys.exit(f"export: {error}")


if __name__ == "__main__":
    main()
