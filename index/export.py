"""Exports a sentence-transformers model to OpenVINO. Run as a process of its own, so that torch stays out of the others:

    python -m index.export MODEL_FOLDER TARGET_FOLDER exact|fast

"exact" computes as the model does (weights kept in half precision). "fast" computes matrix products in 8-bit integers:
weights by row, activations by the ranges that the sample texts give (post-training quantization, Jacob et al., CVPR 2018).
A few columns of the activations reach far beyond the others and would leave them too few steps, so part of their reach is
moved into the weights first (SmoothQuant, Xiao et al., ICML 2023).
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.exported import MANIFEST, NETWORK, TOKENIZER, CompiledModel, Manifest, Precision, compile_options
from index.runtime import runtime

Matrix = NDArray[np.float32]

# Least mean cosine with sentence-transformers over the sample paragraphs.
_AGREEMENT = {"exact": 0.9999, "fast": 0.993}
# How much of a column's reach moves into the weights: each input takes the share that changes its products least, as
# measured on every so-manieth token of the samples.
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_EVERY = 5
_LEAST = 1e-5


def sample_texts() -> tuple[list[str], list[str]]:
    """(sentences of many kinds, the same in paragraphs as long as chunks are; the last longer than most models read)."""
    lines = files("index").joinpath("sample_texts.txt").read_text(encoding="utf-8").splitlines()
    return lines, [*(" ".join(lines[begin : begin + 5]) for begin in range(0, len(lines), 3)), " ".join(lines)]


def export(source: Path, target: Path, precision: Precision) -> None:
    from index.embedders import load_sentence_transformer

    warnings.simplefilter("ignore")
    reference = load_sentence_transformer(source, "cpu")
    sentences, texts = sample_texts()
    wanted = np.asarray(reference.encode(texts, normalize_embeddings=True, show_progress_bar=False), dtype=np.float32)
    prompts, default = reference.prompts or {}, reference.default_prompt_name
    told: dict[str, Any] = {
        "dimensions": int(wanted.shape[1]),
        "max_tokens": int(reference.max_seq_length or 512),
        "prompt": str(prompts.get(default, "")) if default else "",
        "agreement": (0.0, 0.0),
        "refused": None,
    }
    try:
        network = _converted(reference)
        shutil.copy(source / TOKENIZER, target / TOKENIZER)
        manifest = Manifest(weights="", stamp=(0, 0), files={}, runtime="", **told)
        encoded = _encoded(source, [*sentences, *texts], manifest.max_tokens)
        if precision == "fast":
            network = _quantized(network, encoded)
        runtime().save_model(network, target / NETWORK, compress_to_fp16=True)
        # As it will be read: weights rounded to half precision.
        core = runtime().Core()
        compiled = core.compile_model(core.read_model(target / NETWORK), "CPU", compile_options(core, precision))
        cosines = (CompiledModel(compiled, target / TOKENIZER, manifest).embed(texts) * wanted).sum(axis=1)
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

    tokenizer = Tokenizer.from_file(str(source / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return [encoded.ids for encoded in tokenizer.encode_batch(texts)]


def _quantized(network: Any, encoded: list[list[int]]) -> Any:
    """A copy whose matrix products are marked for 8-bit computing."""
    openvino = runtime()
    from openvino import opset13

    core = openvino.Core()
    network = network.clone()
    products: dict[tuple[str, int], list[Any]] = {}
    """The products by what they multiply: queries, keys and values share an input."""
    for node in network.get_ordered_ops():
        weights = node.input_value(1) if node.get_type_name() == "MatMul" else None
        if weights and weights.get_node().get_type_name() == "Constant" and len(weights.get_partial_shape()) == 2:
            products.setdefault(_place(node.input_value(0)), []).append(node)
    inputs = {place: sharing[0].input_value(0) for place, sharing in products.items()}
    observed = core.compile_model(
        openvino.Model([opset13.result(each) for each in inputs.values()], network.get_parameters(), "observed"),
        "CPU",
        compile_options(core, "exact"),
    )
    seen: dict[tuple[str, int], list[Matrix]] = {place: [] for place in inputs}
    ends: dict[tuple[str, int], list[Matrix]] = {place: [] for place in inputs}
    for ids in encoded:
        words = np.array([ids], dtype=np.int64)
        for place, values in zip(inputs, observed([words, np.ones_like(words)]).values(), strict=True):
            rows = np.asarray(values, dtype=np.float32).reshape(-1, values.shape[-1])
            seen[place].append(rows[::_EVERY].copy())
            ends[place] += [rows.min(axis=0), rows.max(axis=0)]
    for place, sharing in products.items():
        matrices = [_weights(product) for product in sharing]
        least, greatest = np.min(ends[place], axis=0), np.max(ends[place], axis=0)
        scale, low, high = _smoothing(np.concatenate(seen[place]), least, greatest, np.concatenate(matrices))
        smoothed = opset13.multiply(inputs[place], opset13.constant(1 / scale))
        bounds = [opset13.constant(np.float32(bound)) for bound in (low, high, low, high)]
        rounded = opset13.fake_quantize(smoothed, *bounds, 256)
        for product, matrix in zip(sharing, matrices, strict=True):
            turned = product.get_attributes()["transpose_b"]
            columns = matrix * scale
            reach = np.maximum(np.abs(columns).max(axis=1, keepdims=True), _LEAST)
            columns, reach = (columns, reach) if turned else (np.ascontiguousarray(columns.T), reach.T)
            bounds = [opset13.constant(bound) for bound in (-reach, reach, -reach, reach)]
            product.input(0).replace_source_output(rounded.output(0))
            product.input(1).replace_source_output(opset13.fake_quantize(opset13.constant(columns), *bounds, 255).output(0))
    return network


def _weights(product: Any) -> Matrix:
    """Shape (outputs, inputs)."""
    weights = np.asarray(product.input_value(1).get_node().data, dtype=np.float32)
    return weights if product.get_attributes()["transpose_b"] else weights.T


def _smoothing(sample: Matrix, least: Matrix, greatest: Matrix, weights: Matrix) -> tuple[NDArray[np.float32], float, float]:
    """(scale of each column, least, greatest of the scaled values) for the least squared error of sample @ weights.T.

    sample: shape (tokens, columns). least, greatest: of each column over all tokens. weights: shape (outputs, columns).
    """
    reach = np.maximum(np.maximum(-least, greatest), _LEAST)
    weighed = np.maximum(np.abs(weights).max(axis=0), _LEAST)
    wanted = sample @ weights.T
    tried = []
    for share in _SHARES:
        scale = reach**share / weighed ** (1 - share)
        scale /= np.exp(np.log(scale).mean())
        low, high = float((least / scale).min()), float((greatest / scale).max())
        rows = np.maximum(np.abs(weights * scale).max(axis=1, keepdims=True), _LEAST)
        product = _in_steps(sample / scale, low, high, 256) @ _in_steps(weights * scale, -rows, rows, 255).T
        tried.append((float(np.square(product - wanted).mean()), scale, low, high))
    return min(tried, key=lambda each: each[0])[1:]


def _in_steps(values: Matrix, low: Any, high: Any, steps: int) -> Matrix:
    """Rounded to `steps` even steps from low to high, as the processor will."""
    width = (high - low) / (steps - 1)
    return np.asarray(np.round((np.clip(values, low, high) - low) / width) * width + low, dtype=np.float32)


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
