"""Ships a training run's best weights: into the package, with the record that vouches for them.

python -m assistant.reader.export RUN_FOLDER
python -m assistant.reader.export RUN_FOLDER --mean-with WEIGHTS
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from assistant.reader.model import BUNDLED_RECORD, BUNDLED_WEIGHTS
from assistant.reader.trained import Fit
from index.errors import AssistantError
from index.models import sha256

MOST_BYTES = 30_000_000
UNFITTED = Fit(carries=0.1, answers=0.5, holds=0.05, confidence=(-1.9, 0.4, 0.4, 1.7, 0.7), cosine=6.0, first=0.5, words=1.0)


def export(best: Path, weights: Path = BUNDLED_WEIGHTS, record: Path = BUNDLED_RECORD, *, mean_with: Path | None = None) -> None:
    """best: a run's best.safetensors. mean_with: the weights that the run started from; the mean of both ships, which forgets
    less of what the run did not show (Wortsman et al., CVPR 2022). Raises OSError, SafetensorError and ValueError.
    """
    with safe_open(best, "numpy") as file:
        told = {name: json.loads(value) for name, value in file.metadata().items()}
    if best.stat().st_size > MOST_BYTES:
        raise ValueError(f"{best} is larger than {MOST_BYTES:,} bytes")
    new = weights.with_suffix(".new")
    if mean_with is None:
        new.write_bytes(best.read_bytes())
    else:
        own, other = load_file(best), load_file(mean_with)
        # What the other does not have yet is the run's own.
        pairs = {name: (each.astype(np.float32), other.get(name, each)) for name, each in own.items()}
        save_file({name: ((one + two) / 2).astype(np.float16) for name, (one, two) in pairs.items()}, new)
        told["mean_with"] = sha256(mean_with)
    new.replace(weights)
    fit = asdict(UNFITTED)
    with suppress(OSError, ValueError, KeyError):
        # What was fitted on earlier weights is nearer than nothing.
        fit = json.loads(record.read_text(encoding="utf-8"))["fit"]
    text = json.dumps({"sha256": sha256(weights), **told, "fit": fit}, indent=1)
    record.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Puts a training run's best weights into the package.")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--mean-with", type=Path, metavar="WEIGHTS", help="ship the mean with these, which the run started from")
    given = parser.parse_args()
    try:
        export(given.run / "best.safetensors", mean_with=given.mean_with)
    except (OSError, ValueError, SafetensorError, AssistantError) as error:
        sys.exit(f"export: {error}")


if __name__ == "__main__":
    main()
