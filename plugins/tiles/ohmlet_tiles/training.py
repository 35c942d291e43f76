"""What hardware-aware training adds to a crossbar: clipped weights, modified weights, dropped weights."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.spec import boolean, number
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.clip import Clip
from ohmlet_tiles.modifier_pcm import PCMNoise
from ohmlet_tiles.modifiers import AddNormal, Discretize, DiscretizeAddNormal, DoReFa, MultNormal, Poly, ProgNoise

__all__ = ["Modifier", "Training"]

Modifier = AddNormal | MultNormal | Discretize | DiscretizeAddNormal | DoReFa | Poly | ProgNoise | PCMNoise


@frozen(kw_only=True)
class Training:
    """What hardware-aware training adds to the forward pass, inside the layer, drawn anew at each optimizer step."""

    modifier: Modifier | None = part(Modifier | None, "what is done to the weights while they are used", None)
    drop_connect: float = number(0.0, "probability that a weight is read as zero, after the modifier", ge=0.0, lt=1.0)
    keep_last_column: bool = boolean(False, "leave the weights of the last input, such as an analog bias, as they are")
    in_evaluation: bool = boolean(False, "modify and drop weights in evaluation too")
    clip: Clip | None = part(Clip | None, "bound of the weights", None)

    def __attrs_post_init__(self) -> None:
        if self.modifier is None and self.drop_connect == 0:
            for name in ("keep_last_column", "in_evaluation"):
                if getattr(self, name):
                    raise ConfigError(f"{name} has no effect without a modifier or drop_connect: leave it out")

    def constrain(self, weight: Tensor) -> Tensor:
        """Return the layer's weights [..., out, in], in model units, clipped."""
        return weight if self.clip is None else self.clip.constrain(weight)

    def modified(self, w: Tensor, noise: Stream, training: bool) -> Tensor:
        """Return normalised weights [..., out, in] as the crossbar uses them."""
        if not (training or self.in_evaluation) or (self.modifier is None and self.drop_connect == 0):
            return w
        used = w[..., :-1] if self.keep_last_column else w
        if self.modifier is not None:
            used = self.modifier.modify(used, noise)
        if self.drop_connect > 0:
            used = torch.where(noise.shared().uniform("drop connect", used) < self.drop_connect, torch.zeros_like(used), used)
        return torch.cat((used, w[..., -1:].expand(*used.shape[:-1], 1)), -1) if self.keep_last_column else used
