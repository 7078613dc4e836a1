"""The reader's network in torch, for training: a transformer that reads question and passage together.

The transformer is the bundled embedding model's; its word vectors stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from assistant.reader import processor

WORD_VECTORS = "body.embeddings.word_embeddings.weight"
OUTPUTS = ("start", "end", "evidence")
"""What is told of each token."""


class ReaderNetwork(nn.Module):
    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        """folder: of the embedding model. device: where it will be trained."""
        super().__init__()
        from transformers import AutoConfig, AutoModel

        # Dropout within attention would forbid its fast form on processors.
        config = AutoConfig.from_pretrained(folder, local_files_only=True, attention_probs_dropout_prob=0.0)
        processor.register()
        self.body = AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, add_pooling_layer=False,
            attn_implementation=processor.PAIR_BY_PAIR if device == "cpu" else "sdpa",
        )  # fmt: skip
        if device == "cpu":
            processor.pool_dropout(self.body)
        width = config.hidden_size
        self.tokens = nn.Linear(width, len(OUTPUTS))
        self.pooled = nn.Linear(width, width)
        self.relevance = nn.Linear(width, 1)
        self.bears_out = nn.Linear(width, 1)
        self.get_parameter(WORD_VECTORS).requires_grad = False

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """ids, types, mask: shape (pairs, tokens). Gives relevance, shape (pairs,); OUTPUTS, shape (pairs, tokens, 3); and
        whether the passage bears out a claim that it settles, shape (pairs,). All are logits.
        """
        hidden = self.body(input_ids=ids, token_type_ids=types, attention_mask=mask).last_hidden_state
        pooled = torch.tanh(self.pooled(hidden[:, 0]))
        return self.relevance(pooled).squeeze(-1), self.tokens(hidden), self.bears_out(pooled).squeeze(-1)

    def save(self, path: Path, told: Mapping[str, str]) -> None:
        """Replaces the file at once by the weights in half precision, without the word vectors. told: its metadata."""
        kept = {name: each.detach().to(torch.float16).contiguous().cpu() for name, each in self.state_dict().items()}
        del kept[WORD_VECTORS]
        save_file(kept, path.with_suffix(".new"), dict(told))
        path.with_suffix(".new").replace(path)
