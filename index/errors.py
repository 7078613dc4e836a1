"""Every failure that a person can meet. The message says what happened, where, and what to do next."""

from __future__ import annotations


class AssistantError(Exception):
    """A failure to be told in one sentence. `str(error)` is that sentence; `__cause__` holds the technical detail."""


class SettingsError(AssistantError):
    """A setting is unknown or impossible; the message names its key."""


class CorpusError(AssistantError):
    """A corpus folder or a file in it cannot be read."""


class StoreError(AssistantError):
    """The store cannot be opened, read or written."""


class StoreMissing(StoreError):
    """There is no store yet: it must be built."""


class StoreMismatch(StoreError):
    """The store was built with another model or another chunking than the settings ask for."""


class StoreDamaged(StoreError):
    """The ledger is no sound ledger of this format: it must be built anew."""


class StoreOutdated(StoreError):
    """The store was made by an earlier release: it must be brought to this one's format, without embedding anything."""


class BuildError(AssistantError):
    """A cluster that should build cannot be reached, or failed."""


class StoreBusy(StoreError):
    """Another process is building this store."""


class ModelError(AssistantError):
    """The embedding model is missing, damaged or not what it should be."""


class QuestionError(AssistantError):
    """The question cannot be asked as it is."""


class SuiteError(AssistantError):
    """An evaluation suite is not well formed; the message names file and line."""


class GeneratorError(AssistantError):
    """A language model cannot be asked, or did not answer."""


class ContextOverflow(GeneratorError):
    """What was sent is longer than the language model reads."""


class BrokenStream(GeneratorError):
    """A language model's answer broke off."""


class HistoryError(AssistantError):
    """Kept conversations cannot be read or written."""
