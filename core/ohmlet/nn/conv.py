"""AnalogConv1d, AnalogConv2d, AnalogConv3d: torch's convolutions on crossbars, each patch a vector."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ohmlet.config.analog import AnalogConfig
from ohmlet.nn.layer import AnalogLayer

__all__ = ["AnalogConv1d", "AnalogConv2d", "AnalogConv3d"]


class AnalogConv(AnalogLayer):
    """Convolution with the products on crossbars: patches [N, L, C k] times W [out, C k], with k points in a kernel.

    Takes the digital module's arguments (groups, stride, dilation, every padding and padding mode); each group has crossbars of its
    own. Noise is drawn per sample and output position. x [N, C, sizes...] or [C, sizes...].
    """

    settings: ClassVar[tuple[str, ...]] = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
    )
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding: str | tuple[int, ...]
    padding_mode: str

    def take(self, module: nn.Module, config: AnalogConfig, name: str, seed: int | None) -> None:
        """Become the analog layer of a convolution."""
        super().take(module, config, name, seed)
        # Two per size, the last size first: torch works "same" out for us, also for even kernels, where it is uneven.
        self.margins: tuple[int, ...] = tuple(module._reversed_padding_repeated_twice)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution [N, out, sizes'...] (or [out, sizes'...])."""
        batch = batched(x, self.in_channels, len(self.kernel_size))
        if any(self.margins):
            batch = F.pad(batch, self.margins, "constant" if self.padding_mode == "zeros" else self.padding_mode)
        sizes = tuple(
            (size - d * (k - 1) - 1) // s + 1
            for size, k, s, d in zip(batch.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True)
        )
        y: Tensor = self.array(self.patches(batch, sizes), self.flat_weight(), self.bias)
        out: Tensor = y.mT.unflatten(-1, sizes)
        return out if x.ndim == batch.ndim else out[0]

    def patches(self, x: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """Return the patches [N, prod(sizes), C k] of x [N, C, sizes...] that the kernel sees at each output position."""
        if len(sizes) == 2:
            return F.unfold(x, self.kernel_size, self.dilation, 0, self.stride).mT
        if min(sizes) < 1:
            raise ValueError(f"inputs {tuple(x.shape)}, padding included, are smaller than the kernel {self.kernel_size}")
        for dim, (k, s, d) in enumerate(zip(self.kernel_size, self.stride, self.dilation, strict=True), start=2):
            x = x.unfold(dim, d * (k - 1) + 1, s)[..., ::d]
        n = len(sizes)
        return x.permute(0, *range(2, 2 + n), 1, *range(2 + n, 2 + 2 * n)).flatten(1 + n).flatten(1, n)


class AnalogConv1d(AnalogConv):
    """`torch.nn.Conv1d` on crossbars; x [N, C, L] or [C, L]."""

    digital: ClassVar[type[nn.Module]] = nn.Conv1d


class AnalogConv2d(AnalogConv):
    """`torch.nn.Conv2d` on crossbars; x [N, C, H, W] or [C, H, W]."""

    digital: ClassVar[type[nn.Module]] = nn.Conv2d


class AnalogConv3d(AnalogConv):
    """`torch.nn.Conv3d` on crossbars; x [N, C, D, H, W] or [C, D, H, W]."""

    digital: ClassVar[type[nn.Module]] = nn.Conv3d


def batched(x: Any, channels: int, dims: int) -> Tensor:
    """Return x [N, C, sizes...], with a batch of one put in front of [C, sizes...]; raises ValueError for another shape."""
    batch: Tensor = x if x.ndim == dims + 2 else x[None]
    if batch.ndim != dims + 2 or batch.shape[1] != channels:
        sizes = ", ".join(("D", "H", "W")[-dims:]) if dims > 1 else "L"
        what = "images" if dims == 2 else "inputs"
        raise ValueError(f"expected {what} [N, {channels}, {sizes}] or [{channels}, {sizes}], got {tuple(x.shape)}")
    return batch
