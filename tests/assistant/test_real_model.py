"""A real language model, though one that has learned nothing: a tiny Llama, behind a real server and in the process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from assistant.answering.answers import Usage
from assistant.answering.chat_api import LENGTH, WHOLE, ChatModel, Message
from assistant.answering.local_chat import LocalChat
from assistant.answering.served_chat import OpenAIChat
from index.errors import BrokenStream, ContextOverflow, GeneratorError
from tests.conftest import ROOT

MESSAGES = (Message("system", "You answer questions."), Message("user", "Is the treaty an alliance?"))
WINDOW = 2_048


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, and a tokenizer trained on the corpus; made in a second."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "corpus" / "debate").glob("*.md")]
    special = ["<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    fast.chat_template = (
        "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    fast.save_pretrained(folder)
    set_seed(7)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=WINDOW, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


class Served(NamedTuple):
    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def served(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`transformers serve` with that model."""
    pytest.importorskip("fastapi", reason="needs the extra test-llm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    program = [str(Path(sys.executable).with_name("transformers")), "serve", str(tiny_llama), "--host", "127.0.0.1"]
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*program, "--port", str(port), "--device", "cpu"],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        until = time.monotonic() + 180
        while time.monotonic() < until and server.poll() is None:
            with socket.socket() as knock:
                knock.settimeout(1)
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            threading.Event().wait(0.2)
        else:
            pytest.fail(f"transformers serve did not start:\n{log.read_text(errors='replace')[-3000:]}")
        yield Served(f"http://127.0.0.1:{port}/v1", server)
    finally:
        server.kill()
        server.wait()


@pytest.fixture(params=["served", "local"])
def model(request: pytest.FixtureRequest, tiny_llama: Path) -> Iterator[ChatModel]:
    if request.param == "local":
        yield LocalChat(tiny_llama, window=WINDOW, timeout=60, device="cpu")
    else:
        with closing(
            OpenAIChat(str(tiny_llama), base_url=request.getfixturevalue("served").url, window=WINDOW, timeout=60)
        ) as chat:
            yield chat


def test_words_come_one_after_the_other_and_are_counted(model: ChatModel) -> None:
    steps = list(model.stream(MESSAGES, most_tokens=40, stopped=threading.Event()))
    words = [step for step in steps if isinstance(step, str)]
    assert len(words) > 5 and "".join(words).strip()
    usage = next(step for step in steps if isinstance(step, Usage))
    assert 10 < usage.read < 200 and 0 < usage.written <= 40
    assert steps[-1] == (LENGTH if usage.written == 40 else WHOLE)


def test_the_same_question_gets_the_same_words(model: ChatModel) -> None:
    told = [
        "".join(step for step in model.stream(MESSAGES, most_tokens=20, stopped=threading.Event()) if isinstance(step, str))
        for _ in (1, 2)
    ]
    assert told[0] == told[1]


def test_stopping_ends_it_at_once(model: ChatModel) -> None:
    stopped = threading.Event()
    words = 0
    for step in model.stream(MESSAGES, most_tokens=1_500, stopped=stopped):
        words += isinstance(step, str)
        if words == 3:
            stopped.set()
    assert words < 300


def test_a_server_that_falls_silent_is_given_up(tiny_llama: Path, served: Served) -> None:
    with closing(OpenAIChat(str(tiny_llama), base_url=served.url, window=WINDOW, timeout=0.5)) as chat:
        steps = chat.stream(MESSAGES, most_tokens=1_500, stopped=threading.Event())
        try:
            with pytest.raises(BrokenStream, match="has sent nothing for 0 seconds: the answer broke off"):
                for step in steps:
                    if step:
                        served.process.send_signal(signal.SIGSTOP)
        finally:
            served.process.send_signal(signal.SIGCONT)


def test_a_prompt_that_is_too_long_for_the_model_is_said_to_be(tiny_llama: Path) -> None:
    chat = LocalChat(tiny_llama, window=WINDOW, timeout=60, device="cpu")
    with pytest.raises(ContextOverflow, match="2048 tokens"):
        list(chat.stream([Message("user", "treaty " * 3_000)], most_tokens=100, stopped=threading.Event()))


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match="no folder of a transformers model"):
        LocalChat(tmp_path, window=WINDOW, timeout=60, device="cpu")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(GeneratorError, match="cannot be loaded"):
        list(
            LocalChat(tmp_path, window=WINDOW, timeout=60, device="cpu").stream(
                MESSAGES, most_tokens=5, stopped=threading.Event()
            )
        )
