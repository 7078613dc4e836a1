"""Language models behind a server: how one is asked, and what is told when it does not answer.

The two libraries, openai and anthropic, name their errors alike; `_sdk` is the one in use.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from importlib import import_module
from threading import Event as Flag
from typing import Any, ClassVar

from assistant.answering.answers import Usage, Waiting
from assistant.answering.chat_api import LENGTH, WHOLE, Ended, Message, Place, Step, in_background, place_of
from assistant.inert import one_line, shortened
from index.errors import AssistantError, BrokenStream, ContextOverflow, GeneratorError

WELL_KNOWN = {
    "Ollama": "http://localhost:11434/v1",
    "llama.cpp": "http://localhost:8080/v1",
    "vLLM": "http://localhost:8000/v1",
    "LM Studio": "http://localhost:1234/v1",
}
"""Where servers on this machine listen unless told otherwise."""
# Servers on a desk know no keys; the library wants one.
_NO_KEY = "none"
_CONNECT_SECONDS = 5.0
_TRIES = 3
_LONGEST_WAIT = 60.0
_WAIT_WITHOUT_WORD = 2.0
_LONGEST_REASON = 200
_HEADERS = frozenset(
    "host accept accept-encoding connection content-length content-type transfer-encoding user-agent anthropic-version".split()
)
_KEY_HEADERS = frozenset({"authorization", "x-api-key", "openai-organization", "openai-project"})
# Of HTTP: these may complain of the length of what was sent, as may an error within a stream.
_TOO_LONG = (None, 400, 413, 422)
_OVERFLOWS = (
    "context_length", "context length", "context window", "context size", "maximum context", "too many tokens", "too long"
)  # fmt: skip


# Servers on a desk read what they were started with, whatever the model could: Ollama 4,096 tokens unless told otherwise.
_DESK_WINDOW = 4_096
_OTHER_WINDOW = 8_192
_WINDOWS = {
    "gpt-4.1": 1_000_000, "gpt-4o": 128_000, "gpt-4-turbo": 128_000, "gpt-5": 272_000, "o1": 128_000, "o3": 200_000,
    "o4": 200_000, "claude": 200_000, "llama-3.1": 128_000, "llama-3.2": 128_000, "llama-3.3": 128_000, "mistral-large": 128_000,
    "mistral-small": 32_000, "mixtral": 32_000, "qwen2.5": 32_000, "qwen3": 32_000, "deepseek": 64_000, "gemini": 1_000_000,
    "gemma-3": 128_000, "command-r": 128_000,
}  # fmt: skip


class ServedChat(ABC):
    """A ChatModel. Raises GeneratorError where the address is none, or a hosted server needs a key that is not there."""

    _SDK: ClassVar[str]
    _HOSTED: ClassVar[str]
    _ADDRESS_VARIABLE: ClassVar[str]
    _KEY_VARIABLE: ClassVar[str]

    def __init__(self, model: str, *, base_url: str | None, window: int | None, timeout: float, sends_key: bool = True) -> None:
        """base_url: None for the one that the environment names, else the hosted one. window: None for what is known of the
        model. timeout: seconds without a sign of life. sends_key: whether that address may have the key of the environment.
        """
        self.name = model
        self.address = base_url or os.environ.get(self._ADDRESS_VARIABLE) or self._HOSTED
        self.place: Place = place_of(self.address)
        self.window = window or (_DESK_WINDOW if self.place.is_local else _known_window(model))
        self._timeout = timeout
        self._key = (os.environ.get(self._KEY_VARIABLE) if sends_key else None) or _NO_KEY
        self._client: Any = None
        if self._is_hosted and self._key == _NO_KEY:
            raise GeneratorError(
                f"{self.place.host} needs a key: set {self._KEY_VARIABLE}, or set base_url to a server of yours, such as "
                "http://localhost:11434/v1 (see: assistant models)."
            )

    @property
    def _is_hosted(self) -> bool:
        return self.address.rstrip("/") == self._HOSTED

    def stream(self, messages: Sequence[Message], *, most_tokens: int, stopped: Flag) -> Iterator[Step]:
        # The library takes a second to load, which is no silence of the server.
        self.prepare()
        return in_background(
            lambda left: self._tried(messages, most_tokens, left), stopped=stopped, timeout=self._timeout, place=self.place
        )

    def models(self) -> list[str]:
        """What the server has. Raises GeneratorError."""
        try:
            return sorted(one_line(str(each.id)) for each in self._connected(_CONNECT_SECONDS).models.list())
        except AssistantError:
            raise
        except Exception as error:
            raise self._told(error) from error

    def prepare(self) -> None:
        self._endpoint()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @abstractmethod
    def _once(self, messages: Sequence[Message], most_tokens: int) -> Generator[Step]:
        """Asks once; raises whatever the library raises."""

    @abstractmethod
    def _endpoint(self) -> Any:
        """What takes a request; the libraries load much of themselves only when it is first asked for."""

    @abstractmethod
    def _client_for(self, http_client: Any) -> Any: ...

    def _sdk(self) -> Any:
        try:
            return import_module(self._SDK)
        except ImportError as error:
            raise GeneratorError(f"the library {self._SDK} is not installed; install it with: pip install {self._SDK}") from error

    def _connected(self, timeout: float | None = None) -> Any:
        if self._client is None:
            self._sdk()
            import httpx2

            # Words go to the host that the person was shown, and to no other: not further on, nor readable by way of a proxy;
            # and nothing but them: the libraries add headers of their own, and of other variables of the environment.
            self._client = self._client_for(
                httpx2.Client(
                    # Silence is told of where it is waited for.
                    timeout=httpx2.Timeout(self._timeout + _CONNECT_SECONDS, connect=_CONNECT_SECONDS),
                    follow_redirects=False,
                    trust_env=self.address.startswith("https:") and not self.place.is_local,
                    event_hooks={"request": [self._strip]},
                )
            )
        return self._client if timeout is None else self._client.with_options(timeout=timeout)

    def _strip(self, request: Any) -> None:
        kept = _HEADERS if self._key == _NO_KEY else _HEADERS | _KEY_HEADERS
        for name in [name for name in request.headers if name.lower() not in kept]:
            del request.headers[name]

    def _tried(self, messages: Sequence[Message], most_tokens: int, left: Flag) -> Generator[Step]:
        """Waits and tries again where the server asks for it, or stumbles, before its first word."""
        for attempt in range(1, _TRIES + 1):
            begun = False
            try:
                with closing(self._once(messages, most_tokens)) as steps:
                    for step in steps:
                        begun = begun or isinstance(step, str)
                        yield step
                return
            except AssistantError:
                raise
            except Exception as error:
                sdk = self._sdk()
                status = getattr(error, "status_code", 0)
                stumbles = isinstance(error, sdk.RateLimitError) or (isinstance(status, int) and status >= 500)
                wait = _asked_wait(error.response.headers) if stumbles else None  # type: ignore[attr-defined]
                if begun or not stumbles or attempt == _TRIES or (wait or 0.0) > _LONGEST_WAIT:
                    raise self._told(error, wait=wait, begun=begun) from error
            wait = _WAIT_WITHOUT_WORD if wait is None else wait
            yield Waiting(wait)
            if left.wait(wait):
                return

    def _told(self, error: Exception, *, wait: float | None = None, begun: bool = False) -> GeneratorError:
        """What happened, and what to do, in one sentence."""
        sdk = self._sdk()
        host, model = self.place.host, one_line(self.name)
        reason = shortened(one_line(_reason(error)), _LONGEST_REASON)
        if begun:
            return self.broke_off(reason)
        if getattr(error, "status_code", None) in _TOO_LONG and _overflows(reason):
            return ContextOverflow(f"the passages are longer than {model} reads.")
        if isinstance(error, sdk.AuthenticationError | sdk.PermissionDeniedError):
            return GeneratorError(f"{host} does not take the key; check {self._KEY_VARIABLE}.")
        if isinstance(error, sdk.NotFoundError):
            return GeneratorError(f"{host} knows no model “{model}”, or base_url is not its address; see: assistant models")
        if isinstance(error, sdk.RateLimitError):
            return GeneratorError(
                f"{host} {f'asks to wait {wait:.0f} seconds' if wait else 'is asked too often'}; ask again later."
            )
        if isinstance(error, sdk.APIStatusError):
            if 300 <= error.status_code < 400:
                return GeneratorError(f"{host} sends on to another address, which is not followed; set base_url to that one.")
            return GeneratorError(f"{host} answers with error {error.status_code}: {reason or 'no reason given'}.")
        if isinstance(error, sdk.APITimeoutError):
            return GeneratorError(f"{host} does not answer in time; is the server running? See: assistant models")
        if isinstance(error, sdk.APIConnectionError):
            mend = "start the server" if self.place.is_local else "check the network and base_url"
            return GeneratorError(f"nothing answers at {host}; {mend}, or choose another (see: assistant models).")
        return GeneratorError(f"{host} does not answer as a chat server does ({reason or type(error).__name__}); check base_url.")

    def broke_off(self, reason: str = "") -> BrokenStream:
        return BrokenStream(f"{self.place.host} broke off in the middle of the answer{f' ({reason})' if reason else ''}.")


class OpenAIChat(ServedChat):
    """Any server that speaks OpenAI's chat completions: Ollama, llama.cpp, vLLM, LM Studio, or a hosted one."""

    _SDK = "openai"
    _HOSTED = "https://api.openai.com/v1"
    _ADDRESS_VARIABLE = "OPENAI_BASE_URL"
    _KEY_VARIABLE = "OPENAI_API_KEY"

    def _client_for(self, http_client: Any) -> Any:
        return self._sdk().OpenAI(base_url=self.address, api_key=self._key, max_retries=0, http_client=http_client)

    def _endpoint(self) -> Any:
        return self._connected().chat.completions

    def _once(self, messages: Sequence[Message], most_tokens: int) -> Generator[Step]:
        # The hosted models refuse what every other server knows, and the other way round.
        options: dict[str, Any] = (
            {"max_completion_tokens": most_tokens} if self._is_hosted else {"max_tokens": most_tokens, "temperature": 0.0}
        )
        response = self._endpoint().create(
            model=self.name,
            messages=[each._asdict() for each in messages],
            stream=True,
            stream_options={"include_usage": True},
            **options,
        )
        begun, ended = False, ""
        with response:
            for chunk in response:
                if chunk.usage is not None:
                    yield Usage(chunk.usage.prompt_tokens or 0, chunk.usage.completion_tokens or 0)
                for choice in (chunk.choices or [])[:1]:
                    words = str(choice.delta.content or "")
                    begun = begun or bool(words)
                    yield words
                    ended = ended or str(choice.finish_reason or "")
        if begun and not ended:
            raise self.broke_off()
        yield _ended(ended)


class AnthropicChat(ServedChat):
    """Anthropic's messages."""

    _SDK = "anthropic"
    _HOSTED = "https://api.anthropic.com"
    _ADDRESS_VARIABLE = "ANTHROPIC_BASE_URL"
    _KEY_VARIABLE = "ANTHROPIC_API_KEY"

    def _client_for(self, http_client: Any) -> Any:
        return self._sdk().Anthropic(base_url=self.address, api_key=self._key, max_retries=0, http_client=http_client)

    def _endpoint(self) -> Any:
        return self._connected().messages

    def _once(self, messages: Sequence[Message], most_tokens: int) -> Generator[Step]:
        response = self._endpoint().create(
            model=self.name,
            system="\n\n".join(each.content for each in messages if each.role == "system"),
            messages=[each._asdict() for each in messages if each.role != "system"],
            max_tokens=most_tokens,
            stream=True,
        )
        read = 0
        begun, ended = False, ""
        with response:
            for event in response:
                if event.type == "message_start":
                    read = event.message.usage.input_tokens
                elif event.type == "content_block_delta":
                    words = str(event.delta.text) if event.delta.type == "text_delta" else ""
                    begun = begun or bool(words)
                    yield words
                elif event.type == "message_delta":
                    ended = ended or str(event.delta.stop_reason or "")
                    yield Usage(read, event.usage.output_tokens)
        if begun and not ended:
            raise self.broke_off()
        yield _ended(ended)


def _ended(told: str) -> Ended:
    if told in ("", "stop", "end_turn", "stop_sequence"):
        return WHOLE
    return LENGTH if told in ("length", "max_tokens") else Ended(one_line(told))


def _known_window(model: str) -> int:
    """Of hosted models, by the family that a name tells: "meta-llama/Llama-3.1-8B" is one of llama-3.1."""
    name = model.rpartition("/")[2].casefold()
    return next((tokens for family, tokens in _WINDOWS.items() if name.startswith(family)), _OTHER_WINDOW)


def _reason(error: Exception) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        told = inner.get("message") if isinstance(inner, dict) else inner
        if told:
            return str(told)
    return str(getattr(error, "message", "") or error)


def _overflows(reason: str) -> bool:
    told = reason.casefold()
    return any(words in told for words in _OVERFLOWS)


def _asked_wait(headers: Any) -> float | None:
    """Seconds, as the Retry-After header has them or gives a date (RFC 9110, section 10.2.3)."""
    from email.utils import parsedate_to_datetime

    told = str(headers.get("retry-after") or "").strip()
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
