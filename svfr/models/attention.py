"""Cross-attention for a context that is constant over a clip: the same numbers for less work.

The identity tokens of a clip never change, so K and V of every cross-attention layer are projected once per clip,
instead of at every position, window and step. And a context of zeros has V = 0 (no bias in to_v), so its attention
output is exactly the output projection's bias, whatever the queries are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from svfr.errors import UserError


class ConstantContext:
    """Replaces the context of every cross-attention layer (`attn2`) of a U-Net while `installed`.

    `tokens` (L,D) on the U-Net's device and dtype, or None for a context of zeros. Within `installed(zero, total)`
    the first `zero` of the batch's `total` items see zeros, the others see `tokens`; the U-Net's own
    `encoder_hidden_states` is not read, so `placeholder` will do.
    """

    def __init__(self, unet: nn.Module, tokens_LD: Tensor | None) -> None:
        self._layers = [m for name, m in unet.named_modules() if name.rpartition(".")[2] == "attn2"]
        self._tokens = tokens_LD
        self._processors: list[_Processor] | None = None

    @staticmethod
    def placeholder(batch: int, like: Tensor) -> Tensor:
        """A context (batch,1,1) of next to no size."""
        return like.new_zeros(batch, 1, 1)

    @contextmanager
    def installed(self, zero: int, total: int) -> Iterator[None]:
        """Puts the constant context in place for one forward pass, and the original one back afterwards."""
        processors = self._ready()
        originals = [layer.processor for layer in self._layers]
        try:
            for layer, processor in zip(self._layers, processors, strict=True):
                processor.zero, processor.total = (total if self._tokens is None else zero), total
                layer.processor = processor
            yield
        finally:
            for layer, original in zip(self._layers, originals, strict=True):
                layer.processor = original

    def _ready(self) -> list[_Processor]:
        if self._processors is None:
            self._processors = [_Processor(layer, self._tokens) for layer in self._layers]
        return self._processors


class _Processor:
    """Attention processor of one layer, with K and V (1,heads,L,d) projected beforehand."""

    def __init__(self, attn: Attention, tokens_LD: Tensor | None) -> None:
        plain = all(layer.bias is None for layer in (attn.to_q, attn.to_k, attn.to_v)) and not attn.residual_connection
        if not plain or attn.rescale_output_factor != 1 or attn.norm_q is not None or attn.norm_cross is not None:
            raise UserError("cross-attention of this U-Net is not SVD's: build the sampler with optimise=False")
        self.zero, self.total = 0, 1
        self.key_value: tuple[Tensor, Tensor] | None = None
        if tokens_LD is not None:
            with torch.no_grad():
                key, value = F.linear(tokens_LD, attn.to_k.weight), F.linear(tokens_LD, attn.to_v.weight)
            self.key_value = (_split_heads(key, attn.heads), _split_heads(value, attn.heads))

    def __call__(self, attn: Attention, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """(rows,S,C) -> (rows,S,C); rows are batch-major, so the first zero/total of them have context zero."""
        rows, length, channels = hidden_states.shape
        zero_rows = rows * self.zero // self.total
        project = cast(nn.Linear, attn.to_out[0])
        bias = project.bias.detach().expand(zero_rows, length, channels)
        if zero_rows == rows or self.key_value is None:
            return bias
        count = rows - zero_rows
        query = attn.to_q(hidden_states[zero_rows:]).view(count, length, attn.heads, -1).transpose(1, 2)
        key, value = (shared.expand(count, -1, -1, -1) for shared in self.key_value)  # views: nothing is copied
        attended = F.scaled_dot_product_attention(query, key, value)
        out = project(attended.transpose(1, 2).reshape(count, length, -1))
        return torch.cat([bias, out]) if zero_rows else out


def _split_heads(x_LC: Tensor, heads: int) -> Tensor:
    """(L,C) -> (1,heads,L,C/heads)."""
    return x_LC.reshape(x_LC.shape[0], heads, -1).transpose(0, 1)[None]
