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
from dataclasses import dataclass
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
# How many inputs of matrix products a "fast" export may leave unrounded to agree well enough.
_MOST_SPARED = 4
# How much of a column's reach moves into the weights: each input takes the share that changes its products least. Ranges
# are measured on one half of the samples for that, the products of every so-manieth token on the other.
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_EVERY = 5
# A column that is silent on the samples may speak elsewhere: it is given this part of the others' reach.
_SILENT = 0.1
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
        for spared in range(_MOST_SPARED + 1 if precision == "fast" else 1):
            made = _quantized(network, encoded, spared) if precision == "fast" else network
            runtime().save_model(made, target / NETWORK, compress_to_fp16=True)
            # As it will be read: weights rounded to half precision.
            core = runtime().Core()
            compiled = core.compile_model(core.read_model(target / NETWORK), "CPU", compile_options(core, precision))
            cosines = (CompiledModel(compiled, target / TOKENIZER, manifest).embed(texts) * wanted).sum(axis=1)
            if cosines.mean() >= _AGREEMENT[precision]:
                break
    except Exception as error:  # noqa: BLE001 - whatever the converter cannot do: the model is used as it is, and that is told
        told["refused"] = f"it cannot be converted ({_first_line(error)})"
    else:
        told["agreement"] = (float(cosines.mean()), float(cosines.min()))
        # So that what is not a number agrees with nothing.
        if not told["agreement"][0] >= _AGREEMENT[precision]:
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
    return [encoded.ids for encoded in tokenizer.encode_batch_fast(texts)]


def _quantized(network: Any, encoded: list[list[int]], spared: int) -> Any:
    """A copy whose matrix products are marked for 8-bit computing, but for the `spared` inputs that would suffer most."""
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
        # In full precision, so that every processor measures the same.
        {**compile_options(core, "exact"), "INFERENCE_PRECISION_HINT": "f32"},
    )
    seen: dict[tuple[str, int], list[Matrix]] = {place: [] for place in inputs}
    ends: dict[tuple[str, int], list[Matrix]] = {place: [] for place in inputs}
    for number, ids in enumerate(encoded):
        words = np.array([ids], dtype=np.int64)
        for place, values in zip(inputs, observed([words, np.ones_like(words)]).values(), strict=True):
            rows = np.asarray(values, dtype=np.float32).reshape(-1, values.shape[-1])
            ends[place].append(np.stack([rows.min(axis=0), rows.max(axis=0)]))
            if number % 2:
                seen[place].append(rows[number % _EVERY :: _EVERY].copy())
    scalings = {
        place: _scaling(np.stack(ends[place]), np.concatenate(seen[place]), np.concatenate([_weights(each) for each in sharing]))
        for place, sharing in products.items()
    }
    for place in sorted(scalings, key=lambda place: scalings[place].loss, reverse=True)[:spared]:
        del scalings[place]
    for place, scaling in scalings.items():
        scale, low, high = scaling.scale, scaling.low, scaling.high
        smoothed = opset13.multiply(inputs[place], opset13.constant(1 / scale))
        bounds = [opset13.constant(np.float32(bound)) for bound in (low, high, low, high)]
        rounded = opset13.fake_quantize(smoothed, *bounds, 256)
        for product in products[place]:
            turned = product.get_attributes()["transpose_b"]
            columns = _weights(product) * scale
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


@dataclass(frozen=True, slots=True)
class _Scaling:
    """How an input is rounded: divided by `scale`, column by column, then in even steps from low to high."""

    scale: NDArray[np.float32]
    low: float
    high: float
    loss: float
    """Squared error of the products against their mean square."""


def _scaling(ends: Matrix, sample: Matrix, weights: Matrix) -> _Scaling:
    """The one that changes sample @ weights.T least.

    ends: least and greatest value of each column in each text, shape (texts, 2, columns); of every second text they are
    taken for the choice, of all texts for the result. sample: shape (tokens, columns), of the other texts.
    weights: shape (outputs, columns).
    """
    wanted = sample @ weights.T
    power = max(float(np.square(wanted).mean()), _LEAST)

    def loss(share: float) -> float:
        scale, low, high = _scaled(ends[::2], weights, share)
        rows = np.maximum(np.abs(weights * scale).max(axis=1, keepdims=True), _LEAST)
        product = _in_steps(sample / scale, low, high, 256) @ _in_steps(weights * scale, -rows, rows, 255).T
        return float(np.square(product - wanted).mean()) / power

    losses = {share: loss(share) for share in _SHARES}
    best = min(losses, key=lambda share: losses[share])
    return _Scaling(*_scaled(ends, weights, best), losses[best])


def _scaled(ends: Matrix, weights: Matrix, share: float) -> tuple[NDArray[np.float32], float, float]:
    """(scale of each column, least, greatest of the scaled values)."""
    least, greatest = ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)
    reach = np.maximum(-least, greatest)
    reach = np.maximum(reach, max(_SILENT * float(np.median(reach)), _LEAST))
    scale = reach**share / np.maximum(np.abs(weights).max(axis=0), _LEAST) ** (1 - share)
    scale = np.asarray(scale / np.exp(np.log(scale).mean()), dtype=np.float32)
    low, high = float((least / scale).min()), float((greatest / scale).max())
    return scale, low, max(high, low + _LEAST)


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
