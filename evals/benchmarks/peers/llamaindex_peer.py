"""LlamaIndex: its default vector store, persisted."""

from common_task import passages, run
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding


def build(model: str, folder: str, target: str) -> int:
    Settings.embed_model = HuggingFaceEmbedding(model_name=model, device="cpu")
    Settings.llm = None
    nodes = [TextNode(text=text) for text in passages(folder)]
    VectorStoreIndex(nodes).storage_context.persist(target)
    return len(nodes)


run(build)
