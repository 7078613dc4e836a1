"""The colours of speakers' names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# Told apart by their names too, never by colour alone.
_VOICE_COLOURS = ("$text-accent", "$text-success", "$text-primary", "$text-error", "$text-secondary", "$text-warning")
Colour = Callable[[str], str]


def colour_among(speakers: Sequence[str]) -> Colour:
    """The colour of a speaker's name: always the same within a corpus."""
    places = {speaker: number for number, speaker in enumerate(speakers)}
    return lambda speaker: _VOICE_COLOURS[places.get(speaker, len(places)) % len(_VOICE_COLOURS)]
