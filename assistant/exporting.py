"""A conversation as a file (Markdown, HTML, Word, JSON), and its sources (BibTeX, RIS, CSL-JSON) with pinpoint locators."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from assistant.answering.answers import Answer, Citation
from assistant.answering.contract import answer_as_json
from assistant.history import Kept, KeptTurn
from assistant.inert import one_line
from index.documents import Document
from index.errors import AssistantError, HistoryError
from index.speakers import family_name, folded

FORMATS = {
    "Markdown": ".md", "HTML": ".html", "Word": ".docx", "JSON": ".json", "BibTeX": ".bib", "RIS": ".ris", "CSL-JSON": ".csl.json"
}  # fmt: skip
"""Format -> how its files end."""
BIBLIOGRAPHIES = frozenset({"BibTeX", "RIS", "CSL-JSON"})
"""Those that hold the sources alone."""
Read = Callable[[str], Document]
"""Document id -> document; raises AssistantError when it is gone."""
_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
_STYLE = (
    "body{font:16px/1.5 Georgia,serif;max-width:44em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "h2{font-size:1.1em;border-left:4px solid #357;padding-left:.6em;margin-top:2em}.voice{font-weight:bold}"
    ".doubt{color:#a30;font-weight:bold}.note,.quote{color:#555}.quote{font-style:italic}li{margin:.5em 0}"
)


def write_export(path: Path, name: str, kept: Kept, turns: Sequence[KeptTurn], read: Read) -> None:
    """name: one of FORMATS. Raises HistoryError where the file is there already, or cannot be written."""
    words = export(name, kept, turns, read)
    try:
        if path.exists():
            raise HistoryError(f"{path} is there already; choose another name.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(words)
    except OSError as error:
        raise HistoryError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def format_of(path: Path) -> str:
    """By how the file's name ends. Raises HistoryError."""
    ends = sorted(FORMATS.items(), key=lambda each: -len(each[1]))
    found = next((name for name, end in ends if path.name.lower().endswith(end)), None)
    if found is None:
        raise HistoryError(f"{path} must end with one of {', '.join(FORMATS.values())}, which tells the format.")
    return found


def export(name: str, kept: Kept, turns: Sequence[KeptTurn], read: Read) -> bytes:
    """name: one of FORMATS."""
    if name == "Word":
        return _as_docx(kept, turns, read)
    return _as_text(name, kept, turns, read).encode("utf-8", "replace")


def _as_text(name: str, kept: Kept, turns: Sequence[KeptTurn], read: Read) -> str:
    if name == "JSON":
        return json.dumps(_as_json(kept, turns), indent=2, ensure_ascii=False) + "\n"
    if name == "BibTeX":
        return "\n".join(_bibtex(key, entry) for key, entry in _cited(turns, read).items())
    if name == "RIS":
        return "\n".join(_ris(entry) for entry in _cited(turns, read).values())
    if name == "CSL-JSON":
        return json.dumps([_csl(key, entry) for key, entry in _cited(turns, read).items()], indent=2, ensure_ascii=False) + "\n"
    return (_as_markdown if name == "Markdown" else _as_html)(kept, turns, read)


def _answers(turn: KeptTurn) -> list[tuple[str, Answer]]:
    return [*([("", turn.answer)] if turn.answer else []), *turn.again]


_MEANS = re.compile(r"([\\`*_\[\]<>|~&])")
_BEGINS = re.compile(r"^(\s*)([#+\-=>]|\d+(?=[.)]))")


def _plain(words: str) -> str:
    """One line of Markdown that shows these words: only what has a meaning there is escaped."""
    told = _MEANS.sub(r"\\\1", one_line(words))
    return _BEGINS.sub(lambda match: f"{match[1]}\\{match[2]}" if not match[2].isdigit() else f"{match[1]}{match[2]}\\", told)


def _where(citation: Citation, read: Read) -> str:
    """ "Vu 2021, ¶7 (digest). Khang Vu, Why There Is No Gulf …, 2021-06-03, https://…; debate/reply.md"."""
    try:
        url = read(citation.document).url
    except AssistantError:
        url = None
    parts = (", ".join(citation.authors), citation.title, citation.published or "", url or "")
    return f"{citation.reference}. {', '.join(filter(None, parts))}; {citation.document}"


def _instead(turn: KeptTurn) -> str:
    return turn.said or f"Not answered: {turn.failure or 'the program ended before.'}"


def _as_json(kept: Kept, turns: Sequence[KeptTurn]) -> dict[str, Any]:
    return {
        "title": kept.title,
        "corpus": Path(kept.corpus).name,
        "begun": _time(kept.begun),
        "turns": [
            {
                "asked": _time(turn.asked),
                "question": turn.question,
                "answer": answer_as_json(turn.answer) if turn.answer else None,
                "failure": turn.failure,
                "again": [{"settings": settings, "answer": answer_as_json(answer)} for settings, answer in turn.again],
            }
            for turn in turns
        ],
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


# -- to be read --------------------------------------------------------------------------------------------------------------


def _changed(citation: Citation, read: Read) -> str:
    """What a reader should know of the source since; empty where nothing changed."""
    try:
        document = read(citation.document)
    except AssistantError:
        return "the source is gone from the corpus since"
    if document.text[citation.start : citation.end] != citation.quote:
        return "the source has changed since: these words no longer stand at their place"
    return ""


def _as_markdown(kept: Kept, turns: Sequence[KeptTurn], read: Read) -> str:
    lines = [f"# {_plain(kept.title)}", "", f"Begun {_time(kept.begun)}.", ""]
    return "\n".join([*lines, *(line for turn in turns for line in _markdown_of(turn, read))])


def _markdown_of(turn: KeptTurn, read: Read) -> list[str]:
    lines = [f"## {_plain(turn.question)}", ""]
    for settings, answer in _answers(turn):
        lines += [f"*Asked again: {_plain(settings)}*", ""] if settings else []
        if answer.standalone_question != turn.question:
            lines += [f"*understood as: {_plain(answer.standalone_question)}*", ""]
        if answer.abstained:
            lines += [f"**{_plain(answer.short)}** {_plain(answer.reason)}", ""]
        elif answer.headline:
            lines += [f"**{_plain(answer.headline)}**", ""]
        for sentence in answer.sentences:
            voice = answer.voice_of(sentence)
            said = f"**{_plain(str(voice))}:** " if voice else ""
            doubt = "**unverified:** " if sentence.support == "unverified" else ""
            marks = "".join(f" [{marker}]" for marker in sentence.citations)
            lines += [f"{doubt}{said}{_plain(sentence.text)}{marks}", ""]
        for citation in answer.citations:
            changed = _changed(citation, read)
            lines.append(f"{citation.marker}. {_plain(_where(citation, read))}{f' (**{changed}**)' if changed else ''}:")
            lines.append(f"   > {_plain(citation.quote)}")
        lines += [""] if answer.citations else []
        lines += [line for notice in answer.notices for line in (f"*{_plain(notice)}*", "")]
    if not _answers(turn):
        lines += [_plain(_instead(turn)), ""]
    return lines


def answer_as_markdown(answer: Answer, read: Read) -> str:
    """One answer, as it stands in an exported conversation."""
    turn = KeptTurn(0, 0.0, answer.question, answer, "", None, ())
    return "\n".join(_markdown_of(turn, read))


def _as_docx(kept: Kept, turns: Sequence[KeptTurn], read: Read) -> bytes:
    # Not with this module: most exports need none of it.
    import docx

    document = docx.Document()
    document.core_properties.title, document.core_properties.author = _word(kept.title)[:255], ""
    document.add_heading(_word(kept.title), 0)
    document.add_paragraph(f"Begun {_time(kept.begun)}.")
    for turn in turns:
        document.add_heading(_word(turn.question), 1)
        for settings, answer in _answers(turn):
            if settings:
                document.add_paragraph().add_run(f"Asked again: {_word(settings)}").italic = True
            if answer.standalone_question != turn.question:
                document.add_paragraph().add_run(f"understood as: {_word(answer.standalone_question)}").italic = True
            if answer.abstained or answer.headline:
                line = document.add_paragraph()
                line.add_run(_word(answer.short if answer.abstained else answer.headline)).bold = True
                line.add_run(f" {_word(answer.reason)}" if answer.abstained else "")
            for sentence in answer.sentences:
                line = document.add_paragraph()
                if sentence.support == "unverified":
                    line.add_run("unverified: ").bold = True
                if voice := answer.voice_of(sentence):
                    line.add_run(f"{_word(str(voice))}: ").bold = True
                line.add_run(_word(sentence.text))
                line.add_run("".join(f" [{marker}]" for marker in sentence.citations))
            for citation in answer.citations:
                line = document.add_paragraph(f"[{citation.marker}] {_word(_where(citation, read))}: ", style="Intense Quote")
                line.add_run(f"“{_word(citation.quote)}”").italic = True
                if changed := _changed(citation, read):
                    line.add_run(f" ({changed})").bold = True
            for notice in answer.notices:
                document.add_paragraph(_word(notice))
        if not _answers(turn):
            document.add_paragraph(_word(_instead(turn)))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _word(words: str) -> str:
    """One line that XML can hold."""
    return "".join(each for each in one_line(words) if each.isprintable())


def _as_html(kept: Kept, turns: Sequence[KeptTurn], read: Read) -> str:
    title = escape(one_line(kept.title))
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>',
        f'<h1>{title}</h1><p class="note">Begun {_time(kept.begun)}.</p>',
    ]

    def told(words: str) -> str:
        return escape(one_line(words))

    for number, turn in enumerate(turns):
        parts.append(f"<h2>{told(turn.question)}</h2>")
        for attempt, (settings, answer) in enumerate(_answers(turn)):
            here = f"c{number}-{attempt}-"
            parts += [f'<p class="note">Asked again: {told(settings)}</p>'] if settings else []
            if answer.standalone_question != turn.question:
                parts.append(f'<p class="note">understood as: {told(answer.standalone_question)}</p>')
            if answer.abstained:
                parts.append(f"<p><b>{told(answer.short)}</b> {told(answer.reason)}</p>")
            elif answer.headline:
                parts.append(f"<p><b>{told(answer.headline)}</b></p>")
            for sentence in answer.sentences:
                voice = answer.voice_of(sentence)
                said = f'<span class="voice">{told(str(voice))}:</span> ' if voice else ""
                doubt = '<span class="doubt">unverified:</span> ' if sentence.support == "unverified" else ""
                marks = "".join(f' <a href="#{here}{marker}">[{marker}]</a>' for marker in sentence.citations)
                parts.append(f"<p>{doubt}{said}{told(sentence.text)}{marks}</p>")
            parts.append("<ol>" if answer.citations else "")
            for citation in answer.citations:
                changed = _changed(citation, read)
                doubt = f' <span class="doubt">{changed}</span>' if changed else ""
                parts.append(
                    f'<li id="{here}{citation.marker}" value="{citation.marker}">{told(_where(citation, read))}{doubt}<br>'
                    f'<span class="quote">“{told(citation.quote)}”</span></li>'
                )
            parts.append("</ol>" if answer.citations else "")
            parts += [f'<p class="note">{told(notice)}</p>' for notice in answer.notices]
        if not _answers(turn):
            parts.append(f"<p>{told(_instead(turn))}</p>")
    return "\n".join(filter(None, parts)) + "\n</html>\n"


# -- bibliography ------------------------------------------------------------------------------------------------------------


class _Entry:
    """A document that is cited, and where in it."""

    def __init__(self, citation: Citation, document: Document | None) -> None:
        self.citation = citation
        self.document = document
        self.locators: dict[str, None] = {}


def _cited(turns: Sequence[KeptTurn], read: Read) -> dict[str, _Entry]:
    """Key -> entry, each document once, in the order in which they are first cited."""
    entries: dict[str, _Entry] = {}
    for citation in (each for turn in turns for _, answer in _answers(turn) for each in answer.citations):
        if citation.document not in entries:
            try:
                document = read(citation.document)
            except AssistantError:
                document = None
            entries[citation.document] = _Entry(citation, document)
        entries[citation.document].locators[citation.locator] = None
    keyed: dict[str, _Entry] = {}
    for entry in entries.values():
        author = folded(family_name(entry.citation.authors[0])) if entry.citation.authors else ""
        stem = re.sub(r"[^a-z0-9]+", "", f"{author or 'source'}{(entry.citation.published or '')[:4]}") or "source"
        key, number = stem, 1
        while key in keyed:
            number += 1
            key = f"{stem}-{number}"
        keyed[key] = entry
    return keyed


def _bibtex(key: str, entry: _Entry) -> str:
    citation, document = entry.citation, entry.document
    fields = {
        "title": citation.title,
        "author": " and ".join(f"{{{_tex(author)}}}" for author in citation.authors),
        "year": (citation.published or "")[:4],
        "date": citation.published or "",
        "publisher": (document.publisher or "") if document else "",
        "url": (document.url or "") if document else "",
        "note": f"cited at {', '.join(entry.locators)}; {citation.document}",
    }
    told = [f"  {name} = {{{value if name == 'author' else _tex(value)}}}" for name, value in fields.items() if value]
    return f"@misc{{{key},\n" + ",\n".join(told) + "\n}\n"


def _ris(entry: _Entry) -> str:
    citation, document = entry.citation, entry.document
    published = (citation.published or "").split("-")
    fields = [
        ("TY", "ELEC" if document and document.url else "GEN"),
        ("TI", citation.title),
        *(("AU", author) for author in citation.authors),
        ("PY", published[0]),
        ("DA", "/".join([*published, "", "", ""][:4]) if published[0] else ""),
        ("PB", (document.publisher or "") if document else ""),
        ("UR", (document.url or "") if document else ""),
        ("N1", f"cited at {', '.join(entry.locators)}; {citation.document}"),
    ]
    return "".join(f"{name}  - {one_line(value)}\r\n" for name, value in fields if value) + "ER  - \r\n"


def _tex(words: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in one_line(words))


def _csl(key: str, entry: _Entry) -> dict[str, Any]:
    citation, document = entry.citation, entry.document
    parts = [int(part) for part in (citation.published or "").split("-") if part.isdecimal()]
    told: dict[str, Any] = {
        "id": key,
        "type": "document",
        "title": one_line(citation.title),
        # Which part of a name is the family's is not told: it is not the last everywhere.
        "author": [{"literal": one_line(author)} for author in citation.authors],
        "issued": {"date-parts": [parts]} if parts else None,
        "publisher": document.publisher if document else None,
        "URL": document.url if document else None,
        "note": f"cited at {', '.join(entry.locators)}; {citation.document}",
    }
    return {name: value for name, value in told.items() if value}
