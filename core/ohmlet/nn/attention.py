"""AnalogMultiheadAttention: torch's attention with its projections on crossbars."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ohmlet.nn.layer import AnalogLayer, Matrix, joined
from ohmlet.nn.linear import AnalogOutProjection

__all__ = ["AnalogMultiheadAttention"]


class AnalogMultiheadAttention(AnalogLayer):
    """Multi-head attention: the projections of queries, keys and values are crossbars; scores and weighted sums are digital.

    Takes MultiheadAttention's arguments. The output projection is a layer of its own, `out_proj`, which rules can name. Inputs
    [L, B, E], [B, L, E] with batch_first, or [L, E]. Noise is drawn per sequence of the batch and position.
    """

    digital: ClassVar[type[nn.Module]] = nn.MultiheadAttention
    settings: ClassVar[tuple[str, ...]] = ("embed_dim", "num_heads", "dropout", "add_zero_attn", "kdim", "vdim", "batch_first")
    embed_dim: int
    num_heads: int
    dropout: float
    add_zero_attn: bool
    kdim: int
    vdim: int
    batch_first: bool
    in_proj_weight: nn.Parameter | None
    in_proj_bias: nn.Parameter | None
    out_proj: nn.Module
    # With add_bias_kv only.
    bias_k: nn.Parameter
    bias_v: nn.Parameter

    def __init__(self, *args: Any, config: Any, name: str = "", seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, config=config, name=name, seed=seed, **kwargs)
        self.out_proj = AnalogOutProjection.from_digital(self.out_proj, self.config, joined(name, "out_proj"), self.seed)

    @classmethod
    def weight_names(cls, module: nn.Module) -> tuple[str, ...]:
        """Return the name of the packed weight, or of the three separate ones."""
        return ("in_proj_weight",) if module._qkv_same_embed_dim else ("q_proj_weight", "k_proj_weight", "v_proj_weight")

    @property
    def _qkv_same_embed_dim(self) -> bool:
        # torch's encoder layers ask for it.
        return self.in_proj_weight is not None

    @property
    def head_dim(self) -> int:
        """The width of one head."""
        return self.embed_dim // self.num_heads

    def matrices(self) -> dict[str, Matrix]:
        """Return the matrices q, k and v [embed_dim, its inputs]."""
        if self.in_proj_weight is not None:
            weights: list[Tensor] = list(self.in_proj_weight.chunk(3))
        else:
            weights = [getattr(self, f"{which}_proj_weight") for which in "qkv"]
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return {which: Matrix(weight, bias) for which, weight, bias in zip("qkv", weights, biases, strict=True)}

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that make the digital module."""
        return super().arguments() | {"bias": self.in_proj_bias is not None, "add_bias_kv": "bias_k" in self._parameters}

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the attended values, laid out as the queries, and with `need_weights` the weights [B, L, S] ([B, heads, L, S]).

        Masks are as in torch: True or -inf leaves a key out. `is_causal` is a hint that `attn_mask`, which must be given, is causal.
        """
        if is_causal and attn_mask is None:
            raise ValueError("is_causal is a hint about attn_mask: give attn_mask, too")
        single, time_first = query.ndim == 2, query.ndim == 3 and not self.batch_first
        inputs = [x[None] if single else x.transpose(0, 1) if time_first else x for x in (query, key, value)]
        if single and key_padding_mask is not None:
            key_padding_mask = key_padding_mask[None]
        arrays, matrices = self.arrays(), self.matrices()
        q, k, v = (arrays[which](x, *matrices[which]) for which, x in zip("qkv", inputs, strict=True))
        if "bias_k" in self._parameters:
            k, v = (torch.cat((x, more.expand(x.shape[0], 1, -1)), 1) for x, more in ((k, self.bias_k), (v, self.bias_v)))
        if self.add_zero_attn:
            k, v = (F.pad(x, (0, 0, 0, 1)) for x in (k, v))
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.mT / math.sqrt(self.head_dim)
            weights = F.dropout(torch.softmax(scores if mask is None else scores + mask, -1), dropout)
            y = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        out: Tensor = self.out_proj(y.transpose(1, 2).flatten(2))
        if single:
            return out[0], None if weights is None else weights[0]
        return (out.transpose(0, 1) if time_first else out), weights

    def _mask(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
        """Return what is added to the scores [B, heads, L, S]."""
        added = None
        for mask, what in ((attn_mask, "attn_mask"), (key_padding_mask, "key_padding_mask")):
            if mask is None:
                continue
            if mask.dtype == torch.bool:
                mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, -torch.inf)
            mask = mask.to(q.dtype)
            if what == "key_padding_mask":
                mask = mask[:, None, None]
            elif mask.ndim == 3:
                mask = mask.unflatten(0, (q.shape[0], self.num_heads))
            # Keys that the layer itself adds are never left out.
            mask = F.pad(mask, (0, ("bias_k" in self._parameters) + self.add_zero_attn))
            added = mask if added is None else added + mask
        return added
