"""Chroma with sentence-transformers as its embedding function, persistent."""

import chromadb
from chromadb.config import Settings
from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction
from common_task import passages, run

_AT_ONCE = 1_000


def build(model: str, folder: str, target: str) -> int:
    client = chromadb.PersistentClient(target, settings=Settings(anonymized_telemetry=False))
    collection = client.create_collection("all", embedding_function=SentenceTransformerEmbeddingFunction(model, device="cpu"))
    texts = passages(folder)
    for begin in range(0, len(texts), _AT_ONCE):
        part = texts[begin : begin + _AT_ONCE]
        collection.add(ids=[str(begin + number) for number in range(len(part))], documents=part)
    return len(texts)


run(build)
