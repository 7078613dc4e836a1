"""A cross-encoder of the user's choice, through sentence-transformers: question and passage are read together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from index.errors import ModelError


class CrossEncoder:
    """Loads nothing heavy until it first scores. Raises ModelError where the folder is no cross-encoder."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no cross-encoder (no config.json); set reader to a model folder, bundled or none.")
        if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
            raise ModelError(f"the cross-encoder in {folder} holds no model.safetensors (pickled weights are refused).")
        self._folder = folder
        self._model: Any = None

    def score(self, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers; higher is better."""
        if self._model is None:
            self._model = self._loaded()
        return [float(each) for each in self._model.predict([(question, text) for text in texts], show_progress_bar=False)]

    def _loaded(self) -> Any:
        from sentence_transformers import CrossEncoder as Loaded

        try:
            model = Loaded(str(self._folder), device="cpu", local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"the cross-encoder in {self._folder} cannot be loaded ({reason}).") from error
        if model.config.num_labels != 1:
            raise ModelError(
                f"the model in {self._folder} gives {model.config.num_labels} scores a passage, a cross-encoder gives 1."
            )
        return model
