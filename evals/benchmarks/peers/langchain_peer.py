"""LangChain with its FAISS store, saved."""

from common_task import passages, run
from langchain_community.vectorstores import FAISS
from langchain_huggingface import HuggingFaceEmbeddings


def build(model: str, folder: str, target: str) -> int:
    texts = passages(folder)
    embeddings = HuggingFaceEmbeddings(model_name=model, model_kwargs={"device": "cpu"})
    FAISS.from_texts(texts, embeddings).save_local(target)
    return len(texts)


run(build)
