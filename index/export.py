"""Exports a sentence-transformers model to OpenVINO. Run as a process of its own, so that torch stays out of the others:

    python -m index.export MODEL_FOLDER TARGET_FOLDER exact|fast

"exact" computes as the model does (weights kept in half precision). "fast" computes matrix products in 8-bit integers:
weights by row, activations by the ranges that the sample texts give (post-training quantization, Jacob et al., CVPR 2018),
except where a few large values leave the others too few steps.
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

from index.exported import MANIFEST, NETWORK, TOKENIZER, CompiledModel, Manifest, Precision, compile_options
from index.runtime import runtime

# Least mean cosine with sentence-transformers over the sample paragraphs.
_AGREEMENT = {"exact": 0.9999, "fast": 0.993}
# How many inputs of matrix products a "fast" export may leave unrounded to agree well enough.
_MOST_SPARED = 4


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
        manifest = Manifest(weights="", stamp=(0, 0), files={}, **told)
        encoded = _encoded(source, [*sentences, *texts], manifest.max_tokens)
        for spared in range(_MOST_SPARED + 1 if precision == "fast" else 1):
            made = _quantized(network, encoded, spared) if precision == "fast" else network
            runtime().save_model(made, target / NETWORK, compress_to_fp16=True)
            # As it will be read: weights rounded to half precision.
            core = runtime().Core()
            compiled = core.compile_model(core.read_model(target / NETWORK), "CPU", compile_options(core))
            cosines = (CompiledModel(compiled, target / TOKENIZER, manifest).embed(texts) * wanted).sum(axis=1)
            if cosines.mean() >= _AGREEMENT[precision]:
                break
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


def _quantized(network: Any, encoded: list[list[int]], spared: int) -> Any:
    """A copy whose matrix products are marked for 8-bit computing, but for the `spared` whose inputs would suffer most."""
    openvino = runtime()
    from openvino import opset13

    core = openvino.Core()
    network = network.clone()
    products = [
        node
        for node in network.get_ordered_ops()
        if node.get_type_name() == "MatMul"
        and node.input_value(1).get_node().get_type_name() == "Constant"
        and len(node.input_value(1).get_partial_shape()) == 2
    ]
    inputs = {_place(product.input_value(0)): product.input_value(0) for product in products}
    observed = core.compile_model(
        openvino.Model([opset13.result(each) for each in inputs.values()], network.get_parameters(), "observed"),
        "CPU",
        compile_options(core),
    )
    seen: dict[tuple[str, int], list[tuple[float, float, float]]] = {place: [] for place in inputs}
    for ids in encoded:
        words = np.array([ids], dtype=np.int64)
        for place, values in zip(inputs, observed([words, np.ones_like(words)]).values(), strict=True):
            seen[place].append((float(values.min()), float(values.max()), float(np.square(values).mean())))
    ranges = {place: (min(low for low, _, _ in told), max(high for _, high, _ in told)) for place, told in seen.items()}

    def loss(place: tuple[str, int]) -> float:
        """Width of a rounding step, squared, against the mean square of what is rounded."""
        low, high = ranges[place]
        return (high - low) ** 2 / max(float(np.mean([square for _, _, square in seen[place]])), 1e-12)

    exempt = set(sorted(inputs, key=loss, reverse=True)[:spared])
    rounded = {}
    for place, values in inputs.items():
        low, high = (opset13.constant(np.float32(bound)) for bound in ranges[place])
        rounded[place] = opset13.fake_quantize(values, low, high, low, high, 256)
    for product in products:
        place = _place(product.input_value(0))
        if place in exempt:
            continue
        weights = np.asarray(product.input_value(1).get_node().data, dtype=np.float32)
        reach = np.abs(weights).max(axis=1 if product.get_attributes()["transpose_b"] else 0, keepdims=True)
        low, high = opset13.constant(-reach), opset13.constant(reach)
        rows = opset13.fake_quantize(product.input_value(1), low, high, low, high, 255)
        product.input(0).replace_source_output(rounded[place].output(0))
        product.input(1).replace_source_output(rows.output(0))
    return network


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
