"""What hardware-aware training adds to a crossbar: clipped weights, modified weights, dropped weights, and when."""

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
from ohmlet_tiles.ramp import Ramp

__all__ = ["Modifier", "Training"]

Modifier = AddNormal | MultNormal | Discretize | DiscretizeAddNormal | DoReFa | Poly | ProgNoise | PCMNoise


STOCHASTIC = AddNormal | MultNormal | DiscretizeAddNormal | Poly | ProgNoise | PCMNoise


@frozen(kw_only=True)
class Training:
    """What hardware-aware training adds to the forward pass, inside the layer, drawn anew at each optimizer step.

    With `per_sample` each sample meets a draw of its own, addressed by its number, and all positions (patches, time steps) of a sample
    share it; without, all samples of a step meet the same one. Raises ConfigError for settings without effect.
    """

    modifier: Modifier | None = part(Modifier | None, "what is done to the weights while they are used", None)
    drop_connect: float = number(0.0, "probability that a weight is read as zero, after the modifier", ge=0.0, lt=1.0)
    per_sample: bool = boolean(False, "each sample meets modified and dropped weights of its own")
    ramp: Ramp | None = part(Ramp | None, "growth of modifier and drop_connect over the first optimizer steps", None)
    keep_last_column: bool = boolean(False, "leave the weights of the last input, such as an analog bias, as they are")
    in_evaluation: bool = boolean(False, "modify and drop weights in evaluation too")
    clip: Clip | None = part(Clip | None, "bound of the weights", None)

    def __attrs_post_init__(self) -> None:
        if self.modifier is None and self.drop_connect == 0:
            for name in ("keep_last_column", "in_evaluation", "per_sample"):
                if getattr(self, name):
                    raise ConfigError(f"{name} has no effect without a modifier or drop_connect: leave it out")
            if self.ramp is not None and not self.ramp.out_noise:
                raise ConfigError("ramp has no effect without a modifier, drop_connect or out_noise: leave it out")
        elif self.per_sample and self.drop_connect == 0 and not self._draws:
            raise ConfigError(
                f"per_sample has no effect: modifier {self.modifier.type_name} draws nothing and is alike for all samples"  # type: ignore[union-attr]
            )

    @property
    def _draws(self) -> bool:
        """Whether the modifier draws random numbers."""
        return isinstance(self.modifier, STOCHASTIC) or getattr(self.modifier, "stochastic", False)

    def constrain(self, weight: Tensor) -> Tensor:
        """Return the layer's weights [..., out, in], in model units, clipped."""
        return weight if self.clip is None else self.clip.constrain(weight)

    def modifies(self, training: bool) -> bool:
        """Whether weights in use differ from the stored ones."""
        return (training or self.in_evaluation) and (self.modifier is not None or self.drop_connect > 0)

    def modified(self, w: Tensor, noise: Stream, training: bool) -> Tensor:
        """Return normalised weights [..., out, in] as the crossbar uses them."""
        if not self.modifies(training):
            return w
        used = w[..., :-1] if self.keep_last_column else w
        if self.modifier is not None:
            changed = self.modifier.modify(used, noise)
            used = changed if self.ramp is None else self.ramp.blended(used, changed, noise.event)
        if self.drop_connect > 0:
            strength = None if self.ramp is None else self.ramp.strength(noise.event)
            probability = self.drop_connect if strength is None else self.drop_connect * strength
            used = torch.where(noise.shared().uniform("drop connect", used) < probability, torch.zeros_like(used), used)
        return torch.cat((used, w[..., -1:].expand(*used.shape[:-1], 1)), -1) if self.keep_last_column else used
