"""What `assistant serve` can be asked, what it gives, and how that is described (OpenAPI), from the types of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from threading import Event as Flag
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.json_schema import models_json_schema
from typing_extensions import TypedDict

from assistant.answering.contract import AnswerJSON, PassagesJSON, PlaceJSON, SourcesJSON
from assistant.answering.conversation import LONGEST_QUESTION
from assistant.api import OpenAssistant, as_json, finished
from assistant.listing import sources_as_json
from assistant.loopback import HOST
from assistant.retrieval.followups import Turn
from index.filters import Filter

JSON, EVENTS, PROBLEM = "application/json", "text/event-stream", "application/problem+json"
_DATE = r"^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$"

Name = Annotated[str, Field(min_length=1, max_length=1_000)]
Date = Annotated[str, Field(pattern=_DATE)]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Said(_Given):
    role: Literal["user", "assistant"]
    content: Annotated[str, Field(max_length=100_000)]


class Question(_Given):
    question: Annotated[str, Field(max_length=LONGEST_QUESTION, description="What you want to know.")]
    history: Annotated[list[Said], Field(max_length=200, description="What was said before, oldest first.")] = []
    voices: Annotated[list[Name], Field(max_length=100, description="Only what these speakers say.")] = []
    documents: Annotated[list[Name], Field(max_length=1_000, description="Only these documents, or folders of the corpus.")] = []
    kinds: Annotated[list[Name], Field(max_length=100, description="Only these kinds of documents.")] = []
    since: Annotated[Date | None, Field(description="Only published then or later.")] = None
    until: Annotated[Date | None, Field(description="Only published then or earlier.")] = None

    @property
    def only(self) -> Filter:
        return Filter(tuple(self.documents), tuple(self.voices), tuple(self.kinds), self.since, self.until)

    @property
    def turns(self) -> list[Turn]:
        return [Turn(said.role, said.content) for said in self.history]


class Query(_Given):
    q: Annotated[
        str,
        Field(
            max_length=LONGEST_QUESTION,
            description='Words; besides them "exact words", -without, author:, voice:, kind:, source:, date:>=2020.',
        ),
    ]
    count: Annotated[int, Field(ge=1, le=200, description="How many passages.")] = 10


class PlaceAsked(_Given):
    document: Annotated[Name, Field(description="As citations and sources name it.")]
    locator: Annotated[Name | None, Field(description='As a citation names it: "¶7", "p. 12"; else the beginning is read.')] = (
        None
    )


class Problem(TypedDict):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    path: str
    summary: str
    asks: type[_Given] | None
    """What is sent: as JSON with POST, else in the address."""
    gives: Any
    work: Callable[[OpenAssistant, Any, Flag], Any]
    method: Literal["get", "post"] = "get"
    missing: bool = False
    """Whether what is asked for may not be there."""


def _answer(assistant: OpenAssistant, asked: Question, stopped: Flag) -> AnswerJSON:
    return as_json(finished(assistant.events(asked.question, asked.turns, only=asked.only, stopped=stopped)))


OPERATIONS = (
    Operation("ask", "/v1/ask", "Answer a question, each sentence cited.", Question, AnswerJSON, _answer, "post"),
    Operation(
        "search", "/v1/search", "Find passages.", Query, PassagesJSON,
        lambda assistant, asked, _: {"passages": [as_json(each) for each in assistant.search(asked.q, asked.count)]},
    ),
    Operation(
        "read_passage", "/v1/passage", "Read the place that a citation names.", PlaceAsked, PlaceJSON,
        lambda assistant, asked, _: as_json(assistant.read(asked.document, asked.locator)), missing=True,
    ),
    Operation(
        "list_sources", "/v1/sources", "List the documents.", None, SourcesJSON,
        lambda assistant, _, __: {"sources": sources_as_json(assistant.sources())},
    ),
)  # fmt: skip
STREAM = "/v1/ask/events"
_STREAMED = (
    "The `data` of each event is JSON: rewritten (standalone_question), found (passages), draft "
    "(words that a language model has written beyond the sentences that were checked), sentence (sentence, citations), withdrawn "
    "(why: the sentences so far are taken back), waiting (seconds), finished (answer, as /v1/ask gives it), failed (a problem)."
)
_EVENT_NAMES = ["rewritten", "found", "draft", "sentence", "withdrawn", "waiting", "finished", "failed"]
TITLES = {
    400: "Not what the description says",
    401: "The secret is missing or wrong",
    403: "Not from here",
    404: "Not there",
    405: "Another method is needed",
    408: "Too slow",
    413: "Too large",
    415: "Not JSON",
    422: "Cannot be asked",
    500: "A fault of the program",
    503: "Not now",
}


def description(port: int) -> dict[str, Any]:
    """The OpenAPI description of the server."""
    models = [each.asks for each in OPERATIONS if each.asks is not None]
    _, given = models_json_schema([(model, "validation") for model in models], ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = given["$defs"]
    for told in (*(each.gives for each in OPERATIONS), Problem):
        schema = TypeAdapter(told).json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        schemas |= schema.pop("$defs", {})
        schemas[told.__name__] = schema
    paths = {each.path: {each.method: _described(each, schemas)} for each in OPERATIONS}
    # Before version 3.2 of OpenAPI the schema of a stream is taken for that of each event.
    event = {
        "type": "object",
        "properties": {
            "event": {"enum": _EVENT_NAMES},
            "data": {"type": "string", "contentMediaType": JSON},
        },
        "required": ["event", "data"],
    }
    streamed = _described(OPERATIONS[0], schemas)
    streamed |= {"operationId": "ask_events", "summary": "The same, event by event.", "description": _STREAMED}
    streamed["responses"]["200"] = {"description": "Events.", "content": {EVENTS: {"schema": event}}}
    paths[STREAM] = {"post": streamed}
    paths["/openapi.json"] = {
        "get": {
            "operationId": "describe",
            "summary": "This description.",
            "responses": {
                "200": {"description": "It.", "content": {JSON: {"schema": {"type": "object"}}}},
                **_failures(401, 403),
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Alliance Assistant", "version": version("alliance-assistant")},
        "servers": [{"url": f"http://{HOST}:{port}"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _described(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"operationId": operation.name, "summary": operation.summary}
    failures = [400, 401, 403, 422, 500, 503]
    if operation.asks is not None and operation.method == "post":
        content = {JSON: {"schema": {"$ref": f"#/components/schemas/{operation.asks.__name__}"}}}
        told["requestBody"] = {"required": True, "content": content}
        failures += [408, 413, 415]
    elif operation.asks is not None:
        # Query parameters have no null: what is not told is left out.
        asked = schemas.pop(operation.asks.__name__)
        told["parameters"] = [
            {
                "name": name,
                "in": "query",
                "required": name in asked.get("required", []),
                "description": schema.pop("description"),
                "schema": next((each for each in schema.get("anyOf", []) if each.get("type") != "null"), schema),
            }
            for name, schema in asked["properties"].items()
        ]
    answer = {
        "description": "Done.",
        "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{operation.gives.__name__}"}}},
    }
    told["responses"] = {"200": answer, **_failures(*failures, *([404] if operation.missing else []))}
    return told


def _failures(*statuses: int) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": TITLES[status], "content": content} for status in sorted(statuses)}
