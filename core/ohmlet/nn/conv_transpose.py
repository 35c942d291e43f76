"""AnalogConvTranspose1d, 2d, 3d: torch's transposed convolutions on crossbars, each input position a vector."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConversionError
from ohmlet.nn.conv import batched
from ohmlet.nn.layer import AnalogLayer, Matrix

__all__ = ["AnalogConvTranspose1d", "AnalogConvTranspose2d", "AnalogConvTranspose3d"]


class AnalogConvTranspose(AnalogLayer):
    """Transposed convolution: crossbars [out k, C] give each input position's share of k output points, which are added digitally.

    Takes the digital module's arguments; each group has crossbars of its own. The bias is added to the sums, so it is digital. Noise
    is drawn per sample and input position. x [N, C, sizes...] or [C, sizes...].
    """

    settings: ClassVar[tuple[str, ...]] = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "output_padding",
        "groups",
        "dilation",
        "padding_mode",
    )
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def build(self, config: AnalogConfig, name: str, seed: int) -> None:
        """Give the layer its crossbars; raises ConversionError for an analog bias."""
        if self.bias is not None and config.mapping.bias == "analog":
            raise ConversionError(
                f"layer '{name}': mapping.bias is analog, and the bias of {self.digital.__name__} is added after its products are summed; "
                f'give it a rule: rules={{"type:{self.digital.__name__}": {{"mapping.bias": "digital"}}}}'
            )
        super().build(config, name, seed)

    def flat_weight(self) -> Tensor:
        """Return the weight [C, out / groups, k...] as the matrix [out k, C / groups]."""
        matrix: Tensor = self.weight.unflatten(0, (self.groups, -1)).flatten(2).mT.flatten(0, 1)
        return matrix

    def matrices(self) -> dict[str, Matrix]:
        """Return the one matrix, without the bias."""
        return {"": Matrix(self.flat_weight(), None)}

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the transposed convolution [N, out, sizes'...] (or [out, sizes'...])."""
        dims = len(self.kernel_size)
        batch = batched(x, self.in_channels, dims)
        geometry: Any = (self.stride, self.padding, self.kernel_size, dims, self.dilation)
        extra = _ConvTransposeNd._output_padding(cast("Any", self), x, output_size, *geometry)
        shares: Tensor = self.array(batch.flatten(2).mT, self.flat_weight(), None)
        full = self.summed(shares.mT.reshape(batch.shape[0], self.out_channels, *self.kernel_size, *batch.shape[2:]))
        margins = [margin for p, e in zip(self.padding[::-1], extra[::-1], strict=True) for margin in (-p, e - p)]
        out = F.pad(full, margins) if any(margins) else full
        if self.bias is not None:
            out = out + self.bias.unflatten(0, (-1, *[1] * dims))
        return out if x.ndim == batch.ndim else out[0]

    def summed(self, shares: Tensor) -> Tensor:
        """Return [N, out, full sizes...], each share [N, out, k..., sizes...] added where its point of the kernel falls."""
        stride, dilation = self.stride, self.dilation
        if len(stride) == 1:
            return fold(shares.unsqueeze(2).unsqueeze(4), (1, *stride), (1, *dilation)).squeeze(2)
        if len(stride) == 2:
            return fold(shares, stride, dilation)
        # The planes of a volume first, with depth as part of the batch, then the depth, with planes as one size.
        planes = shares.permute(0, 5, 1, 2, 3, 4, 6, 7)
        n, depth, out, k = planes.shape[:4]
        planes = fold(planes.reshape(n * depth, out * k, *planes.shape[4:]), stride[1:], dilation[1:])
        sizes = planes.shape[2:]
        columns = planes.reshape(n, depth, out, k, 1, -1).permute(0, 2, 3, 4, 1, 5)
        full: Tensor = fold(columns, (stride[0], 1), (dilation[0], 1)).unflatten(-1, sizes)
        return full


def fold(shares: Tensor, stride: tuple[int, ...], dilation: tuple[int, ...]) -> Tensor:
    """Return the sums [N, C, full1, full2] of shares [N, C, k1, k2, n1, n2] over a plane."""
    kernel, sizes = shares.shape[2:4], shares.shape[4:]
    full = tuple((n - 1) * s + d * (k - 1) + 1 for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True))
    return F.fold(shares.flatten(4).flatten(1, 3), full, kernel, dilation, 0, stride)


class AnalogConvTranspose1d(AnalogConvTranspose):
    """`torch.nn.ConvTranspose1d` on crossbars; x [N, C, L] or [C, L]."""

    digital: ClassVar[type[nn.Module]] = nn.ConvTranspose1d


class AnalogConvTranspose2d(AnalogConvTranspose):
    """`torch.nn.ConvTranspose2d` on crossbars; x [N, C, H, W] or [C, H, W]."""

    digital: ClassVar[type[nn.Module]] = nn.ConvTranspose2d


class AnalogConvTranspose3d(AnalogConvTranspose):
    """`torch.nn.ConvTranspose3d` on crossbars; x [N, C, D, H, W] or [C, D, H, W]."""

    digital: ClassVar[type[nn.Module]] = nn.ConvTranspose3d
