"""Settings: assistant.toml, then the environment, then the command line; the later wins."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, PlainSerializer, ValidationError, field_validator

import index
from assistant.corpora import APP, DEBATE, corpus_at, corpus_named, is_name
from assistant.retrieval.aliases import FILE as ALIASES
from index.errors import SettingsError
from index.loaders.jsonl import is_jsonl
from index.models import BUNDLED
from index.settings import IndexSettings, MilvusAddress

_FILE = "assistant.toml"
_PREFIX = "ASSISTANT_"
DEBUG = "ASSISTANT_DEBUG"
READER, RANKER, NO_READER = "bundled", "ranker", "none"
FOLDERS = ("corpus", "store", "evals", "exports", "history")
"""The settings that are paths: they tell where things lie, not what is done."""
ASIDE = (*FOLDERS, "theme", "motion")
"""The settings that no answer depends on."""
_OPTIONS = {"chat_model": "--model"}
"""Settings whose option has another name."""
_HOME = Path(index.__file__).resolve().parent.parent
BUNDLED_CORPUS = _HOME / "corpus"


def _place(told: object) -> object:
    try:
        return MilvusAddress.parse(str(told)) if MilvusAddress.is_meant(told) else told
    except SettingsError as error:
        raise ValueError(str(error).rstrip(".")) from error


class Settings(BaseModel):
    """Unknown keys and impossible values are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Path = BUNDLED_CORPUS
    """Folder of sources, or one file of JSON Lines; the alliance debate unless told otherwise."""
    also: tuple[str, ...] = ()
    """Further corpora, by name or path, that are searched as well; their documents are called "papers:article.pdf"."""
    store: Annotated[
        Path | InstanceOf[MilvusAddress] | None, BeforeValidator(_place), PlainSerializer(lambda place: place and str(place))
    ] = None
    """Folder of built files, beside the corpus unless told otherwise; or milvus://HOST:PORT/NAME, an index on a Milvus server."""
    model: str = BUNDLED
    """The bundled embedding model, or the folder of another sentence-transformers model."""
    precision: Literal["exact", "fast"] = "exact"
    """How it computes: as the model was made, or in 8-bit integers, which is faster and a little less exact."""
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    """Where it computes; anything but the processor loads torch at each start."""
    exports: Path | None = None
    """Folder of models made ready for this machine; the user's cache folder unless told otherwise."""
    chunk_tokens: int = Field(default=200, ge=32, le=2000)
    """Size of a chunk to aim at, in tokens of the embedding model."""
    max_file_mb: int = Field(default=20, ge=1, le=1000)
    """Larger files are refused."""
    followups: Literal["auto", "rules", "model", "none"] = "auto"
    """How a question that leans on the conversation is completed: by rules, by the language model with the rules where it fails,
    or not at all; auto is the model where one writes the answers."""
    retrieval: Literal["words", "dense", "fused", "reranked"] = "reranked"
    """Word search alone, dense search alone, both fused, or both fused and then ranked by the reader, where there is one."""
    generator: Literal["extractive", "openai", "anthropic", "local", "first-sentence", "abstain"] = "extractive"
    """Who writes the answer: the sources' own words; or a language model, of any server that speaks OpenAI's chat completions,
    of Anthropic, or in this process. The last two are baselines for evals."""
    chat_model: str = ""
    """The language model's name at its server, or for generator = local the folder of a transformers model."""
    base_url: str | None = None
    """Address of its server; unless told otherwise OPENAI_BASE_URL or ANTHROPIC_BASE_URL, else the hosted one."""
    window: int | None = Field(default=None, ge=1_000, le=10_000_000)
    """Tokens that the language model reads and writes together; known for some names, else 4096 on this machine and 8192
    elsewhere."""
    answer_tokens: int = Field(default=700, ge=50, le=100_000)
    """The most tokens of a written answer."""
    timeout: float = Field(default=120, ge=1, le=3600)
    """Seconds without a word from the language model after which it is given up."""
    repair: bool = False
    """Whether sentences that do not hold are told to the language model, once, to be mended."""
    price_read: float | None = Field(default=None, ge=0)
    """What a million tokens that the language model reads cost; with price_written the cost of each answer is told."""
    price_written: float | None = Field(default=None, ge=0)
    """What a million tokens that it writes cost."""
    reader: str = READER
    """The bundled reader; "ranker" lets it rank passages and nothing else; "none" for none at all; or the folder of a
    sentence-transformers cross-encoder to rank passages."""
    passages: int = Field(default=10, ge=1, le=50)
    """Passages read for an answer."""
    abstain_below: float = Field(default=0.4, ge=0, le=1)
    """Confidence under which the answer is that the sources do not say."""

    evals: Path | None = None
    """Folder of eval runs, and of the indexes of suites that bring their own corpus file."""
    history: Path | None = None
    """File of the conversations of the chat; in the user's data folder unless told otherwise."""
    theme: str = "textual-dark"
    """Colours of the chat: one of the names that its settings (F9) list."""
    motion: Literal["full", "none"] = "full"
    """Whether anything in the chat moves by itself but words that come."""

    @field_validator("also", mode="before")
    @classmethod
    def _from_words(cls, told: object) -> object:
        """In the environment they stand in one line."""
        return [each.strip() for each in told.split(",") if each.strip()] if isinstance(told, str) else told

    @property
    def asks_model(self) -> bool:
        """Whether a language model writes the answers."""
        return self.generator in ("openai", "anthropic", "local")

    @property
    def is_shared(self) -> bool:
        """Whether the index is on a server, where others read it too."""
        return isinstance(self.store, MilvusAddress)

    @property
    def has_bundled_reader(self) -> bool:
        return self.reader in (READER, RANKER)

    def evals_folder(self) -> Path:
        if self.evals is not None:
            return self.evals.expanduser()
        if (_HOME / "pyproject.toml").is_file():
            return _HOME / ".evals"
        return platformdirs.user_data_path(APP, appauthor=False) / "evals"

    def history_file(self) -> Path:
        return (
            self.history.expanduser() if self.history else platformdirs.user_data_path(APP, appauthor=False) / "conversations.db"
        )

    def aliases_file(self) -> Path:
        """Where names are told that the corpus spells in several ways; there may be none."""
        corpus = self.corpus.expanduser()
        return corpus.with_name(f"{corpus.name}.{ALIASES}") if is_jsonl(corpus) else corpus / ALIASES

    def for_index(self) -> IndexSettings:
        corpus = self.corpus.expanduser()
        if is_jsonl(corpus):
            added, store = corpus.with_name(f"{corpus.name}.added"), corpus.with_name(f"{corpus.name}.index")
        elif corpus.resolve() != BUNDLED_CORPUS:
            added, store = corpus / "added", corpus / ".index"
        elif (_HOME / "pyproject.toml").is_file():
            added, store = corpus / "added", _HOME / ".index"
        else:
            # Installed as a package: what people add and what is built must outlive an upgrade.
            data = platformdirs.user_data_path(APP, appauthor=False)
            added, store = data / "added", data / "index"
        return IndexSettings(
            corpus=corpus,
            added=added,
            store=self.store.expanduser() if isinstance(self.store, Path) else store,
            engine=self.store if isinstance(self.store, MilvusAddress) else None,
            model=self.model,
            precision=self.precision,
            device=self.device,
            exports=self.exports.expanduser() if self.exports else None,
            chunk_tokens=self.chunk_tokens,
            max_file_bytes=self.max_file_mb * 1_000_000,
        )


def load_settings(
    command_line: Mapping[str, Any] | None = None, *, layers: Sequence[tuple[Mapping[str, Any], str]] = ()
) -> Settings:
    """command_line: what was given there; None values do not count. layers: (settings, where they are told) that count
    more than the environment, such as an evaluation suite's. Raises SettingsError naming key and place.
    """
    files: list[dict[str, tuple[Any, str]]] = []
    for path in settings_files():
        files.append({})
        for key, value in _from_file(path).items():
            if key in FOLDERS and isinstance(value, str) and not _is_elsewhere(key, value):
                # A path in a file means what it says from where the file lies.
                value = path.resolve().parent / Path(value).expanduser()
            elif key == "also" and isinstance(value, list):
                value = [
                    each if is_name(each) else str(path.resolve().parent / Path(each).expanduser()) for each in map(str, value)
                ]
            files[-1][key] = (value, str(path))
    environment = {
        name.removeprefix(_PREFIX).lower(): (text, f"the environment variable {name}")
        for name, text in os.environ.items()
        if name.startswith(_PREFIX) and name.isupper() and name != DEBUG
    }
    given = {
        key: (value, _OPTIONS.get(key, f"--{key.replace('_', '-')}"))
        for key, value in (command_line or {}).items()
        if value is not None
    }
    told = [*files, environment, *({key: (value, place) for key, value in layer.items()} for layer, place in layers), given]
    merged: dict[str, tuple[Any, str]] = {}
    for each in told:
        if "corpus" in each and str(each["corpus"][0]).strip():
            each["corpus"] = (located(each["corpus"][0]), each["corpus"][1])
            if "store" in merged and not _same_place(each["corpus"][0], merged.get("corpus", (BUNDLED_CORPUS, ""))[0]):
                # It is the index of the corpus that was told before.
                del merged["store"]
        merged |= each
    # What holds for a corpus holds however it was chosen.
    named = corpus_at(Path(merged.get("corpus", (BUNDLED_CORPUS, ""))[0]))
    if named:
        if clash := sorted(key for key in set(named.settings) & set(FOLDERS) if not _is_elsewhere(key, named.settings[key])):
            raise SettingsError(f"{named.file}: {clash[0]} is a folder, which a corpus does not tell.")
        later = {key for each in told[len(files) :] for key in each}
        merged |= {key: (value, str(named.file)) for key, value in named.settings.items() if key not in later}
    for key in FOLDERS:
        value, place = merged.get(key, (None, ""))
        if value is not None and not str(value).strip():
            raise SettingsError(f"{place}: {key} is empty; give a folder or leave it out.")
    try:
        settings = Settings(**{key: value for key, (value, _) in merged.items()})
        if settings.followups == "model" and not settings.asks_model:
            place = merged["followups"][1]
            raise SettingsError(f"{place}: followups = model needs a language model; set generator and chat_model as well.")
        return settings
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "?"
        place = merged.get(key, (None, "the settings"))[1]
        if first["type"] == "extra_forbidden":
            known = ", ".join(Settings.model_fields)
            raise SettingsError(f"{place}: there is no setting {key}; the settings are {known}.") from error
        if first["type"] == "value_error":
            raise SettingsError(f"{place}: {key}: {first['ctx']['error']}.") from error
        raise SettingsError(f"{place}: {key} is not usable: {first['msg'].lower()}.") from error


def _is_elsewhere(key: str, value: object) -> bool:
    """Whether it names something else than a path: a named corpus, or an index on a server."""
    return (key == "corpus" and bool(_named(str(value)))) or (key == "store" and MilvusAddress.is_meant(value))


def _same_place(one: Path, other: Path) -> bool:
    return one.expanduser().resolve() == other.expanduser().resolve()


def settings_files() -> tuple[Path, Path]:
    """The user's own assistant.toml and that of this folder, which counts more; there may be neither."""
    return platformdirs.user_config_path(APP, appauthor=False) / _FILE, Path(_FILE)


def located(corpus: str | Path) -> Path:
    """The sources of a named corpus, where it is a name; else the path itself. Raises SettingsError."""
    known = _named(corpus)
    return known if known is not None else Path(corpus)


def _named(corpus: str | Path) -> Path | None:
    known = corpus_named(corpus)
    return known.sources if known is not None else BUNDLED_CORPUS if corpus == DEBATE else None


def settings_file() -> Path:
    """Where changed settings are written: assistant.toml of this folder where there is one, else the user's own."""
    here = Path(_FILE)
    return here.resolve() if here.is_file() else platformdirs.user_config_path(APP, appauthor=False) / _FILE


def corpus_told_in() -> dict[Path, str]:
    """The settings files that choose a corpus, and what they call it. Raises SettingsError."""
    told = {path: _from_file(path).get("corpus") for path in settings_files()}
    return {path: corpus for path, corpus in told.items() if isinstance(corpus, str)}


def write_settings(changed: Mapping[str, Any], file: Path | None = None) -> Path:
    """Writes these settings into the file, whose comments and order stay; None takes a setting out. Gives the file's path.

    file: instead of the one that `settings_file` gives. Raises SettingsError for what is not usable, and then changes nothing.
    """
    import tomlkit

    path = file or settings_file()
    try:
        Settings(**{key: value for key, value in changed.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"{'.'.join(map(str, first['loc']))} is not usable: {first['msg'].lower()}.") from error
    _from_file(path)
    try:
        told = tomlkit.parse(path.read_text(encoding="utf-8")) if path.is_file() else tomlkit.document()
        for key, value in changed.items():
            if value is not None:
                told[key] = value
            elif key in told:
                del told[key]
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(tomlkit.dumps(told), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror}); check its permissions.") from error
    return path


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}).") from error
