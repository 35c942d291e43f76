"""AnalogConv2d: `torch.nn.Conv2d` on crossbars, each image patch a vector."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch.nn.functional as F
from torch import Tensor, nn

from ohmlet.config.analog import AnalogConfig
from ohmlet.nn.layer import AnalogLayer, drawn_seed

__all__ = ["AnalogConv2d"]


class AnalogConv2d(AnalogLayer):
    """Two-dimensional convolution with the products on crossbars: patches [N, L, C kh kw] times W [out, C kh kw].

    Takes Conv2d's arguments (groups, stride, dilation, every padding and padding mode); each group has crossbars of its own. Noise is
    drawn per image and output position. x [N, C, H, W] or [C, H, W]. Raises ConfigError for a config that does not make sense.
    """

    digital: ClassVar[type[nn.Module]] = nn.Conv2d

    def __init__(
        self, *args: Any, config: Any, name: str = "", seed: int | None = None, **kwargs: Any
    ) -> None:  # Conv2d's own signature has eleven arguments
        self._take(nn.Conv2d(*args, **kwargs), AnalogConfig.parse(config), name, seed)

    def _take(self, module: nn.Conv2d, config: AnalogConfig, name: str, seed: int | None) -> None:
        AnalogLayer.__init__(self, cast("nn.Parameter", module.weight), cast("nn.Parameter | None", module.bias))
        self.in_channels, self.out_channels, self.groups = module.in_channels, module.out_channels, module.groups
        self.kernel_size = module.kernel_size
        self.stride = module.stride
        self.dilation = module.dilation
        self.padding, self.padding_mode = module.padding, module.padding_mode
        # Left, right, top, bottom: torch works "same" out for us, also for even kernels, where it is uneven.
        self.margins: tuple[int, ...] = tuple(module._reversed_padding_repeated_twice)
        self.train(module.training)
        chosen = config.seed if seed is None else seed
        width = self.in_channels // self.groups * self.kernel_size[0] * self.kernel_size[1]
        self.build(config, name, drawn_seed() if chosen is None else chosen, self.out_channels // self.groups, width, self.groups)

    @classmethod
    def from_digital(cls, module: nn.Conv2d, config: AnalogConfig, name: str = "", seed: int | None = None) -> AnalogConv2d:
        """Return the analog layer that takes over a Conv2d's parameters."""
        layer = cls.__new__(cls)
        layer._take(module, config, name, seed)
        return layer

    def to_digital(self) -> nn.Conv2d:
        """Return a Conv2d with this layer's parameters, the same objects."""
        module = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            self.dilation,  # type: ignore[arg-type]
            self.groups,
            self.bias is not None,
            self.padding_mode,
            device="meta",
        )
        module.weight, module.bias = self.weight, self.bias
        return module.train(self.training)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, groups={self.groups}, padding_mode={self.padding_mode}, bias={self.bias is not None}"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution [N, out, H', W'] (or [out, H', W'])."""
        images = x if x.ndim == 4 else x[None]
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(f"expected images [N, {self.in_channels}, H, W] or [{self.in_channels}, H, W], got {tuple(x.shape)}")
        if any(self.margins):
            images = F.pad(images, self.margins, "constant" if self.padding_mode == "zeros" else self.padding_mode)
        height, width = (
            (size - d * (k - 1) - 1) // s + 1
            for size, k, s, d in zip(images.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True)
        )
        patches = F.unfold(images, self.kernel_size, self.dilation, 0, self.stride).mT
        y: Tensor = self.array(patches, self.flat_weight(), self.bias)
        out: Tensor = y.mT.unflatten(-1, (height, width))
        return out if x.ndim == 4 else out[0]
