"""AnalogEmbedding: a look-up table on crossbars, read one line at a time."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConversionError
from ohmlet.nn.layer import AnalogLayer

__all__ = ["AnalogEmbedding"]


class AnalogEmbedding(AnalogLayer):
    """Embedding whose table is a crossbar [features, entries] read with one-hot vectors; indices [...] in, vectors [..., features] out.

    Takes Embedding's arguments apart from max_norm, sparse and scale_grad_by_freq. A look-up needs no product, so `convert` leaves
    embeddings digital unless a rule asks for them: rules={"type:Embedding": "analog"}.
    """

    digital: ClassVar[type[nn.Module]] = nn.Embedding
    settings: ClassVar[tuple[str, ...]] = ("num_embeddings", "embedding_dim", "padding_idx")
    only_by_rule: ClassVar[bool] = True
    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    bias = None

    def take(self, module: nn.Module, config: AnalogConfig, name: str, seed: int | None) -> None:
        """Become the analog layer of an embedding; raises ConversionError for what a crossbar cannot do."""
        for setting in ("max_norm", "sparse", "scale_grad_by_freq"):
            if getattr(module, setting):
                raise ConversionError(f"layer '{name}': an Embedding with {setting} cannot be put on crossbars; keep it digital by a rule")
        super().take(module, config, name, seed)

    def flat_weight(self) -> Tensor:
        """Return the table as the matrix [features, entries]; the entry of `padding_idx` gets no gradient."""
        weight: Tensor = self.weight
        if self.padding_idx is not None:
            padding = torch.arange(self.num_embeddings, device=weight.device) == self.padding_idx
            weight = torch.where(padding[:, None], weight.detach(), weight)
        return weight.T

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors [..., features] of indices [...]."""
        return self.product(F.one_hot(x.long(), self.num_embeddings).to(self.weight.dtype))
