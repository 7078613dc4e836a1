"""Tables with a column of text (.csv, .tsv, .jsonl): each row is a place ("row 12"), its author speaks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence

from index.documents import Document, Locator, Voice, citation_name
from index.errors import CorpusError
from index.loaders.text import title_from_path

_TEXTS = ("text", "body", "content", "abstract", "passage", "quote", "statement", "comment", "answer", "description")
_TITLES = ("title", "heading", "headline", "name", "subject", "question")
_SPEAKERS = ("speaker", "author", "authors", "by", "who", "source")
# A column whose cells are this long on average holds text, whatever it is called.
_LONG = 40


def load_csv(document_id: str, text: str, digest: str) -> Document:
    """Raises CorpusError where there is no column of text."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=_delimiter(document_id, text)))
    except csv.Error as error:
        raise CorpusError(f"{document_id}: is no sound table ({error}); save it as CSV again.") from error
    columns = rows[0] if rows else []
    # A program for tables counts its empty rows as well.
    cells = [{key: _cell(value) for key, value in zip(columns, row, strict=False)} for row in rows[1:]]
    return _document(document_id, cells, digest, first=2)


def _delimiter(document_id: str, text: str) -> str:
    """The one that makes the most columns of the first row; of equal ones what the file's name says."""
    first = text[: text.find("\n") + 1] or text

    def columns(delimiter: str) -> int:
        try:
            return len(next(csv.reader([first], delimiter=delimiter), []))
        except csv.Error:
            return 0

    usual = "\t" if document_id.lower().endswith(".tsv") else ","
    return max((usual, *(each for each in ",;\t|" if each != usual)), key=columns)


def load_json_lines(document_id: str, text: str, digest: str) -> Document:
    """Raises CorpusError for a line that is no JSON object, and where there is no column of text."""
    rows: list[dict[str, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            rows.append({})
            continue
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{document_id}, line {number}: not JSON ({error}).") from error
        if not isinstance(told, dict):
            raise CorpusError(f"{document_id}, line {number}: not a JSON object.")
        rows.append({str(key): _cell(value) for key, value in told.items()})
    return _document(document_id, rows, digest, first=1)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value)
    told = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(each for each in told if each != "\0" and not "\ud800" <= each <= "\udfff").strip()


def _document(document_id: str, rows: Sequence[Mapping[str, str]], digest: str, *, first: int) -> Document:
    """first: the number of the first row in the file."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    column = _named(columns, _TEXTS) or _longest(columns, rows)
    if column is None:
        raise CorpusError(f"{document_id}: has no column of text; name one of its columns text.")
    titles, speakers = _named(columns, _TITLES), _named(columns, _SPEAKERS)
    words: list[str] = []
    places: list[Locator] = []
    at = 0
    for number, row in enumerate(rows, start=first):
        told = row.get(column, "")
        if not told:
            continue
        heading = row.get(titles or "", "")
        written = f"{heading}\n\n{told}\n\n" if heading else f"{told}\n\n"
        speaker = " ".join(row.get(speakers or "", "").split())
        places.append(
            Locator(
                at,
                at + len(written),
                f"row {number}",
                (heading,) if heading else (),
                Voice(speaker) if speaker else None,
                len(heading),
            )
        )
        words.append(written)
        at += len(written)
    if not words:
        raise CorpusError(f"{document_id}: has no row with words in its column {column}.")
    title = title_from_path(document_id)
    return Document(
        id=document_id,
        title=title,
        text="".join(words),
        digest=digest,
        locators=tuple(places),
        kind="table",
        cite_as=citation_name((), None, title),
    )


def _named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {column.strip().lower(): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), None)


def _longest(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str | None:
    def mean(column: str) -> float:
        cells = [row[column] for row in rows if row.get(column)]
        return sum(map(len, cells)) / len(cells) if cells else 0.0

    best = max(columns, key=mean, default=None)
    return best if best is not None and mean(best) >= _LONG else None
