"""A language model in this process: the folder of a transformers model. Slow on a processor; nothing leaves the program."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any

from assistant.answering.answers import Usage
from assistant.answering.chat_api import LENGTH, WHOLE, Message, Place, Step, in_background
from assistant.inert import one_line
from index.errors import ContextOverflow, GeneratorError


class LocalChat:
    """A ChatModel. Loads the model at the first question.

    Raises GeneratorError where the folder holds no such model.
    """

    place = Place("this process", is_local=True)

    def __init__(self, folder: Path, *, window: int, timeout: float, device: str) -> None:
        """device: what torch calls it."""
        self.name = folder.name
        self.window = window
        self._folder = folder
        self._timeout = timeout
        self._device = device
        self._loaded: tuple[Any, Any] | None = None
        self._lock = Lock()
        if not (folder / "config.json").is_file():
            raise GeneratorError(
                f"{folder} is no folder of a transformers model (it holds no config.json); set chat_model to one that is."
            )

    def stream(self, messages: Sequence[Message], *, most_tokens: int, stopped: Flag) -> Iterator[Step]:
        return in_background(
            lambda left: self._written(messages, most_tokens, left), stopped=stopped, timeout=self._timeout, place=self.place
        )

    def _load(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            # Only tensors are read, and no code that comes with a model is run.
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                self._folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
            )
            torch_model: Any = model
            return tokenizer, torch_model.to(self._device).eval()
        except Exception as error:
            # Whatever is wrong with a folder of somebody's choice.
            raise GeneratorError(f"the model in {self._folder} cannot be loaded: {_first_line(error)}") from error

    def prepare(self) -> None:
        with self._lock:
            self._model_and_tokenizer()

    def close(self) -> None: ...

    def _model_and_tokenizer(self) -> tuple[Any, Any]:
        """To be asked for under the lock."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _written(self, messages: Sequence[Message], most_tokens: int, left: Flag) -> Generator[Step]:
        with self._lock:
            tokenizer, model = self._model_and_tokenizer()
            import torch
            from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

            class Stopped(StoppingCriteria):
                def __call__(self, ids: Any, scores: Any, **_: Any) -> Any:
                    return torch.full((ids.shape[0],), left.is_set(), dtype=torch.bool, device=ids.device)

            if not tokenizer.chat_template:
                raise GeneratorError(f"the model in {self._folder} has no chat template: it was not made for conversation.")
            plain = [{"role": each.role, "content": _without(tokenizer.all_special_tokens, each.content)} for each in messages]
            try:
                inputs = tokenizer.apply_chat_template(
                    plain, add_generation_prompt=True, return_tensors="pt", return_dict=True
                ).to(self._device)
            except Exception as error:
                raise GeneratorError(f"the chat template of {self.name} refuses the question: {_first_line(error)}") from error
            read = int(inputs["input_ids"].shape[1])
            longest = getattr(model.config, "max_position_embeddings", None)
            if longest and read + most_tokens > longest:
                raise ContextOverflow(f"the passages are longer than {self.name} reads ({longest} tokens).")
            streamer: Any = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
            outcome: list[Any] = []

            def generate() -> None:
                try:
                    with torch.no_grad():
                        outcome.append(
                            model.generate(
                                **inputs,
                                max_new_tokens=most_tokens,
                                do_sample=False,
                                streamer=streamer,
                                stopping_criteria=StoppingCriteriaList([Stopped()]),
                            )
                        )
                except Exception as error:  # noqa: BLE001 - raised where it is waited for
                    outcome.append(error)
                    streamer.end()

            writer = Thread(target=generate, daemon=True, name="local model")
            writer.start()
            yield from streamer
            writer.join()
            if isinstance(outcome[0], Exception):
                raise GeneratorError(f"the model in {self._folder} failed: {_first_line(outcome[0])}") from outcome[0]
            written = int(outcome[0].shape[1]) - read
            yield Usage(read, written)
            yield LENGTH if written >= most_tokens else WHOLE


def _first_line(error: Exception) -> str:
    return one_line((str(error).splitlines() or [""])[0]) or type(error).__name__


def _without(tokens: Sequence[str], text: str) -> str:
    """The text with the model's control tokens broken in two: in a source they are only letters."""
    for token in tokens:
        text = text.replace(token, f"{token[:1]} {token[1:]}")
    return text
