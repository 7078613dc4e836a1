"""txtai: embeddings with content, saved."""

from common_task import passages, run
from txtai import Embeddings


def build(model: str, folder: str, target: str) -> int:
    embeddings = Embeddings(path=model, content=True)
    texts = passages(folder)
    embeddings.index((number, text, None) for number, text in enumerate(texts))
    embeddings.save(target)
    return len(texts)


run(build)
