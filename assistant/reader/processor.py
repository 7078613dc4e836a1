"""What makes training bearable on a processor without a GPU: attention pair by pair, and dropout from a pool.

torch's own attention spends most of its time going back (two fifths of a step), because all scores of a batch pass through memory
several times; those of one pair stay in the cache. Drawing dropout afresh takes another sixth. With both, a step takes about
half as long in a quiet bench (0.72 s instead of 1.53). The sums are the same, up to rounding in bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PAIR_BY_PAIR = "pair-by-pair"
"""Name of this attention for a configuration of the transformers library."""
# Pairs are cut to a multiple of this, so that kernels are made for few shapes.
_LENGTHS = 16
_POOL = 1 << 24


def register() -> None:
    """Makes the attention known to the transformers library, in this process."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(PAIR_BY_PAIR, _attend)
    AttentionMaskInterface.register(PAIR_BY_PAIR, lambda attention_mask=None, **_: attention_mask)


def _attend(
    _module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """query, key, value: shape (pairs, heads, tokens, width). mask: shape (pairs, tokens), 0 for padding, at the end only."""
    lengths = [query.shape[2]] * len(query) if mask is None else mask.sum(dim=1).tolist()
    attended: Tensor = _PairByPair.apply(query, key, value, lengths, scaling)  # type: ignore[no-untyped-call]
    return attended.transpose(1, 2), None


class _PairByPair(torch.autograd.Function):
    """Scaled dot-product attention (Vaswani et al., 2017), its gradient by hand. Empty pairs give zeros."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, lengths: list[int], scaling: float) -> Tensor:
        attended, shares = torch.zeros_like(query), []
        for number, length in enumerate(lengths):
            stop = min(-(-length // _LENGTHS) * _LENGTHS, query.shape[2])
            if not stop:
                # An empty pair, which only fills the batch.
                continue
            asks, keys, values = (each[number, :, :stop] for each in (query, key, value))
            scores = torch.bmm(asks * scaling, keys.transpose(1, 2))
            scores[:, :, length:] = -torch.inf
            share = torch.softmax(scores, dim=-1)
            attended[number, :, :stop] = torch.bmm(share, values)
            shares.append(share)
        ctx.save_for_backward(query, key, value, *shares)
        ctx.read = [number for number, length in enumerate(lengths) if length]
        ctx.scaling = scaling
        return attended

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *shares = ctx.saved_tensors
        to_query, to_key, to_value = (torch.zeros_like(each) for each in (query, key, value))
        for number, share in zip(ctx.read, shares, strict=True):
            stop = share.shape[1]
            asks, keys, values, back = (each[number, :, :stop] for each in (query, key, value, gradients[0]))
            to_value[number, :, :stop] = torch.bmm(share.transpose(1, 2), back)
            to_share = torch.bmm(back, values.transpose(1, 2))
            to_scores = torch.ops.aten._softmax_backward_data(to_share, share, -1, share.dtype)
            to_query[number, :, :stop] = torch.bmm(to_scores, keys) * ctx.scaling
            to_key[number, :, :stop] = torch.bmm(to_scores.transpose(1, 2), asks) * ctx.scaling
        return to_query, to_key, to_value, None, None


class PooledDropout(nn.Module):
    """Dropout whose zeros are read from a pool, from a place drawn for each use."""

    _pools: dict[float, Tensor] = {}  # noqa: RUF012

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self.chance:
            return values
        pool = self._pools.get(self.chance)
        if pool is None:
            drawn = torch.rand(_POOL, generator=torch.Generator().manual_seed(1))
            pool = self._pools[self.chance] = (drawn >= self.chance).to(torch.bfloat16) / (1 - self.chance)
        begin = int(torch.randint(_POOL - values.numel() + 1, ()))
        return values * pool[begin : begin + values.numel()].view_as(values)


def pool_dropout(network: nn.Module) -> None:
    """Puts pooled dropout into every place of the usual one."""
    for module in list(network.modules()):
        for name, each in module.named_children():
            if isinstance(each, nn.Dropout) and each.p:
                setattr(module, name, PooledDropout(each.p))
