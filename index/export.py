"""Exports a sentence-transformers model to OpenVINO. Run as a process of its own, so that torch stays out of the others:

    python -m index.export MODEL_FOLDER TARGET_FOLDER exact|fast

"exact" computes as the model does (weights kept in half precision). "fast" computes matrix products in 8-bit integers:
weights by row, activations by the ranges that the sample texts give (post-training quantization, Jacob et al., CVPR 2018).
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.exported import FILES, MANIFEST, CompiledModel, Manifest, Precision, native_precision, runtime

# Least mean cosine with sentence-transformers over the sample texts.
_AGREEMENT = {"exact": 0.9999, "fast": 0.993}


def sample_texts() -> list[str]:
    """Texts of many kinds and lengths: one a line, and all in paragraphs longer than most models read."""
    lines = files("index").joinpath("sample_texts.txt").read_text(encoding="utf-8").splitlines()
    return [*lines, *(" ".join(lines[begin : begin + 4]) for begin in range(0, len(lines), 4)), " ".join(lines)]


def export(source: Path, target: Path, precision: Precision) -> None:
    from index.embedders import load_sentence_transformer

    warnings.simplefilter("ignore")
    reference = load_sentence_transformer(source, "cpu")
    texts = sample_texts()
    wanted = np.asarray(reference.encode(texts, normalize_embeddings=True, show_progress_bar=False), dtype=np.float32)
    prompts, default = reference.prompts or {}, reference.default_prompt_name
    told = {
        "dimensions": int(wanted.shape[1]),
        "max_tokens": int(reference.max_seq_length or 512),
        "prompt": str(prompts.get(default, "")) if default else "",
        "agreement": (0.0, 0.0),
        "refused": None,
    }
    try:
        network = _converted(reference)
        if precision == "fast":
            _quantize(network, _encoded(source, texts, told["max_tokens"]))
        runtime().save_model(network, target / FILES[0], compress_to_fp16=True)
        shutil.copy(source / FILES[2], target / FILES[2])
        manifest = Manifest(weights="", stamp=(0, 0), files={}, **told)
        cosines = (CompiledModel(target, manifest).embed(texts) * wanted).sum(axis=1)
    except Exception as error:  # noqa: BLE001 - whatever the converter cannot do: the model is used as it is, and that is told
        told["refused"] = f"it cannot be converted ({_first_line(error)})"
    else:
        told["agreement"] = (float(cosines.mean()), float(cosines.min()))
        if told["agreement"][0] < _AGREEMENT[precision]:
            told["refused"] = (
                f"its {precision} export agrees too little with sentence-transformers (mean cosine "
                f"{told['agreement'][0]:.5f}, wanted {_AGREEMENT[precision]})"
            )
    (target / MANIFEST).write_text(json.dumps(told), encoding="utf-8")


def _converted(reference: Any) -> Any:
    """The whole model, pooling included, as a network of (token ids, attention mask) of any batch and length."""
    import torch

    openvino = runtime()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = reference

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.inner({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]

    example = torch.ones((2, 7), dtype=torch.long)
    frontend = FrontEndManager().load_by_framework("pytorch")
    with torch.no_grad():
        # The decoder must outlive the conversion, which calls back into it.
        decoder = TorchScriptPythonDecoder(Whole().eval(), example_input=(example, example))
        network = frontend.convert(frontend.load(decoder))
    network.reshape({number: openvino.PartialShape([-1, -1]) for number in range(2)})
    return network


def _encoded(source: Path, texts: list[str], max_tokens: int) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(source / FILES[2]))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return [encoded.ids for encoded in tokenizer.encode_batch(texts)]


@dataclass(slots=True)
class _Product:
    """A matrix product with constant weights."""

    node: Any
    weights: NDArray[np.float32]
    source: Any
    """Output of a node: the activations."""


def _products(network: Any) -> list[_Product]:
    found = []
    for node in network.get_ordered_ops():
        if node.get_type_name() == "MatMul" and node.input_value(1).get_node().get_type_name() == "Constant":
            weights = np.asarray(node.input_value(1).get_node().data, dtype=np.float32)
            if weights.ndim == 2:
                found.append(_Product(node, weights, node.input_value(0)))
    return found


def _quantize(network: Any, encoded: list[list[int]]) -> None:
    """Marks the network's matrix products for 8-bit computing, in place."""
    openvino = runtime()
    from openvino import opset13

    core = openvino.Core()
    products = _products(network)
    sources = {_place(product.source): product.source for product in products}
    observed = core.compile_model(
        openvino.Model([opset13.result(source) for source in sources.values()], network.get_parameters(), "observed"),
        "CPU",
        {"INFERENCE_PRECISION_HINT": native_precision(core)},
    )
    low = dict.fromkeys(sources, np.inf)
    high = dict.fromkeys(sources, -np.inf)
    for ids in encoded:
        words = np.array([ids], dtype=np.int64)
        for place, values in zip(sources, observed([words, np.ones_like(words)]).values(), strict=True):
            low[place], high[place] = min(low[place], values.min()), max(high[place], values.max())
    scalar = lambda value: opset13.constant(np.float32(value))  # noqa: E731
    rounded = {}
    for place, source in sources.items():
        least, most = scalar(low[place]), scalar(high[place])
        rounded[place] = opset13.fake_quantize(source, least, most, least, most, 256)
    for product in products:
        row = 1 if product.node.get_attributes()["transpose_b"] else 0
        reach = np.abs(product.weights).max(axis=row, keepdims=True)
        least, most = opset13.constant(-reach), opset13.constant(reach)
        weights = opset13.fake_quantize(product.node.input_value(1), least, most, least, most, 255)
        product.node.input(0).replace_source_output(rounded[_place(product.source)].output(0))
        product.node.input(1).replace_source_output(weights.output(0))


def _place(output: Any) -> tuple[str, int]:
    return output.get_node().get_friendly_name(), output.get_index()


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"


if __name__ == "__main__":
    try:
        export(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - the last line of standard error is the reason that the caller tells
        sys.exit(_first_line(error))
