"""An array of cells as a module: its weights, what pulses do to them, and what happens between updates."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.interfaces.device import ArraySite, Device
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.pulsed_update import Cells, Step, Trains, read_step
from ohmlet_kernels.pulsed_update.cells import Probe
from ohmlet_kernels.pulsed_update.trains import trains

__all__ = ["CellArray", "DeviceArray", "PulsedArray", "fabricated"]


@functools.lru_cache(1024)
def _word(path: str) -> int:
    return purpose_word(f"{path}/pulse noise")


class CellArray(nn.Module, ABC):
    """The cells [out, in] of one crossbar; what algorithms and tiles may do to any of them, one device or a composite.

    Weights are normalised; `noise.ordinals` number the vectors of updates, and other events draw from `noise` without ordinals.
    """

    granularity: float
    """The mean step of one pulse."""

    @abstractmethod
    def weights(self) -> Tensor:
        """Return the weights [out, in] that reads see; not to be changed."""

    @abstractmethod
    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Bring the weights to w [out, in] as far as the devices can."""

    @abstractmethod
    def pulse(self, x: Tensor, d: Tensor, lr: float, pulses: PulsedUpdate, noise: Stream, granularity: float | None = None) -> None:
        """Move w towards w - lr d x^T, sample by sample, with inputs x [S, in] and errors d [S, out] coded in `pulses`.

        `granularity` is the step that pulse probabilities are worked out with, the array's own unless given.
        """

    def decay(self, alpha: float = 1.0, noise: Stream | None = None) -> None:
        """Let the weights decay as in `alpha` mini-batches; cells with write noise need `noise`."""

    def diffuse(self, noise: Stream) -> None:
        """Let the weights diffuse as in one mini-batch."""

    @abstractmethod
    def reset(self, mask: Tensor, noise: Stream) -> None:
        """Reset the cells where mask [out, in] is true."""

    def drift(self, seconds: float, noise: Stream) -> None:
        """Let the cells drift for `seconds` without an update."""


class PulsedArray(CellArray):
    """Cells whose updates are pulse trains; several such arrays can share the same trains."""

    def pulse(self, x: Tensor, d: Tensor, lr: float, pulses: PulsedUpdate, noise: Stream, granularity: float | None = None) -> None:
        """Make pulse trains and apply them."""
        g = self.granularity if granularity is None else granularity
        if lr == 0 or len(x) == 0 or self.at_once(x, d, lr, pulses, noise, g):
            return
        if pulses.pulse_type.startswith("none"):
            self.add(x, d, lr, bounded=pulses.pulse_type == "none_with_device", noise=noise)
            return
        self.pulse_trains(trains(x, d, lr, g, pulses.numbers(), noise, self.kernel("pulse_bits", x.device.type)), noise)

    def at_once(
        self, x: Tensor, d: Tensor, lr: float | Tensor, pulses: PulsedUpdate, noise: Stream, granularity: float, probe: Probe | None = None
    ) -> bool:
        """Make and apply pulse trains in one call, where the engine has one for them; return whether it was done."""
        return False

    @abstractmethod
    def kernel(self, operation: str, device_type: str) -> Any:
        """Return the engine's function of an operation."""

    @abstractmethod
    def add(self, x: Tensor, d: Tensor, lr: float, *, bounded: bool, noise: Stream) -> None:
        """Subtract lr d x^T in floating point, sample by sample, within the devices' bounds if `bounded`."""

    @abstractmethod
    def pulse_trains(self, made: Trains, noise: Stream) -> None:
        """Apply pulse trains that were made for the vectors of `noise.ordinals`."""


def fabricated(device: Device, rows: int, columns: int, noise: Stream, like: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the per-cell arrays [out, in] and the hidden states of fresh devices, each device with its own."""
    shape = like.new_empty((rows, columns))
    drawn = {
        name: parameter.values(noise.normal(f"cell {name}", shape) if parameter.spread else torch.zeros_like(shape))
        for name, parameter in device.cells().items()
    }
    hidden = {
        name: state.initial + (state.spread * noise.normal(f"hidden {name}", shape) if state.spread else torch.zeros_like(shape))
        for name, state in device.hidden().items()
    }
    return device.derive(drawn, noise), hidden


class DeviceArray(PulsedArray):
    """Cells of one device each: `w` [out, in], the per-cell arrays, the hidden states and counters, all of them buffers.

    With `write_noise` reads see `apparent`, which is drawn anew around `w` for each cell that is written.
    """

    def __init__(self, device: Device, site: ArraySite) -> None:
        super().__init__()
        self.device, self.granularity, self.site_kernel = device, device.granularity, site.kernel
        self.key: Tensor
        # Arrays that are pulsed by the same trains draw their own noise.
        self.register_buffer("key", site.key.clone())
        noise = Stream(site.key)
        like = torch.zeros((site.rows, site.columns), dtype=torch.float32, device=site.key.device)
        cell, hidden = fabricated(device, site.rows, site.columns, noise.child("fabrication"), like)
        tables = device.tables()
        self.step: Step = read_step(
            type(device).step, tuple(cell), tuple(hidden), tuple(device.parameters()), tuple(tables), device.normals, device.uniforms
        )
        self.params, self.tables = tuple(device.parameters().values()), tuple(tables.values())
        self.cell_names, self.hidden_names = tuple(cell), tuple(hidden)
        self.w: Tensor
        self.register_buffer("w", device.placed(torch.zeros_like(like), cell))
        for name, value in cell.items():
            self.register_buffer(f"cell_{name}", value.contiguous())
        for name, value in hidden.items():
            self.register_buffer(f"hidden_{name}", value.contiguous())
        for name in device.drift_state():
            self.register_buffer(f"drift_{name}", torch.zeros_like(like))
        self.apparent: Tensor
        self.noisy = device.write_noise > 0
        if self.noisy:
            self.register_buffer("apparent", self.w.clone())
        if device.counts:
            self.register_buffer("pulses", torch.zeros((2, site.rows, site.columns), dtype=torch.int64, device=like.device))
        self.decays = device.decayed(self.w, cell, 1.0) is not self.w
        self.diffuses = device.diffused(self.w, cell, noise.child("trial")) is not self.w
        self.events: Tensor
        self.register_buffer("events", torch.zeros(1, dtype=torch.int64, device=like.device))
        self.views: Any = None

    def kernel(self, operation: str, device_type: str) -> Any:
        """Return the engine's function of an operation."""
        return self.site_kernel(operation, device_type)

    def cell(self) -> dict[str, Tensor]:
        """Return the per-cell arrays [out, in] by name."""
        return {name: getattr(self, f"cell_{name}") for name in self.cell_names}

    def hidden(self) -> dict[str, Tensor]:
        """Return the hidden states [out, in] by name."""
        return {name: getattr(self, f"hidden_{name}") for name in self.hidden_names}

    def weights(self) -> Tensor:
        """Return the weights [out, in] that reads see."""
        # Not by attribute, which modules look up in three places.
        return self._buffers["apparent" if self.noisy else "w"]  # type: ignore[return-value]

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Clip w [out, in] to the devices' bounds and write it."""
        self.w.copy_(self.device.placed(w.to(self.w.dtype), self.cell()))
        if self.noisy and not self.device.write_noise_on_set:
            self.apparent.copy_(self.w)
        else:
            self._written(None, noise)

    def pulse_trains(self, made: Trains, noise: Stream, probe: Probe | None = None) -> None:
        """Apply pulse trains, one step of a device for each coincidence; a probe sees the weights without write noise."""
        assert noise.ordinals is not None
        touched = torch.zeros_like(self.w, dtype=torch.bool) if self.noisy else None
        looks = () if probe is None else (probe,)
        update = self.kernel("pulsed_update", self.w.device.type)
        update(self.cells(touched), made, self.key, _word(noise.path), noise.ordinals, *looks)
        if touched is not None:
            self._written(touched, noise)

    def cells(self, touched: Tensor | None = None) -> Cells:
        """Return the devices as an update takes them."""
        # Not by attribute, which modules look up in three places, tens of times for a mini-batch.
        own: Any = self._buffers
        cell, hidden = (
            [own[f"{kind}_{name}"] for name in names] for kind, names in (("cell", self.step.cell), ("hidden", self.step.hidden))
        )
        return Cells(self.step, own["w"], tuple(cell), tuple(hidden), self.params, self.tables, own.get("pulses"), touched)

    def at_once(
        self, x: Tensor, d: Tensor, lr: float | Tensor, pulses: PulsedUpdate, noise: Stream, granularity: float, probe: Probe | None = None
    ) -> bool:
        """Make and apply pulse trains in one call, where the engine has one for them; return whether it was done."""
        # What is written is noisy where parts of a mini-batch end, which nobody says here.
        views = None if self.noisy else self.seen_by_engine()
        return views is not None and bool(views.pulse(x, d, lr, granularity, pulses, noise, probe))

    def seen_by_engine(self) -> Any:
        """Return the engine's views of the cells, kept until these move; None where it has none."""
        own: Any = self._buffers
        kept = self.views
        if kept is not None and kept.places == [*map(Tensor.data_ptr, own.values())]:
            return kept
        if not own["w"].is_cpu:
            return None
        made = getattr(self.kernel("pulsed_update", "cpu"), "views", None)
        if made is None:
            return None
        noise = (own["apparent"], self.device.write_noise, own["events"]) if self.noisy else None
        self.views = made([*map(Tensor.data_ptr, own.values())], self.cells(), own["key"], noise)
        return self.views

    def add(self, x: Tensor, d: Tensor, lr: float, *, bounded: bool, noise: Stream) -> None:
        """Subtract lr d x^T in floating point, sample by sample within the bounds if `bounded`."""
        x, d = x.to(self.w.dtype), d.to(self.w.dtype)
        if bounded:
            cell = self.cell()
            for row, error in zip(x, d, strict=True):
                self.w.copy_(self.device.placed(self.w - lr * torch.outer(error, row), cell))
        else:
            self.w.sub_(lr * d.mT @ x)
        self._written(None, noise)

    def decay(self, alpha: float = 1.0, noise: Stream | None = None) -> None:
        """Let the weights decay as in `alpha` mini-batches; cells with write noise need `noise`."""
        self._moved(self.device.decayed(self.w, self.cell(), alpha), noise)

    def diffuse(self, noise: Stream) -> None:
        """Let the weights diffuse as in one mini-batch."""
        self._moved(self.device.diffused(self.w, self.cell(), self._event(noise, "diffusion")), noise)

    def age(self, noise: Stream) -> None:
        """Let the weights decay and diffuse as in one mini-batch, where the device does."""
        if self.decays:
            self.decay(noise=noise)
        if self.diffuses:
            self.diffuse(noise)

    def reset(self, mask: Tensor, noise: Stream) -> None:
        """Reset the cells where mask [out, in] is true."""
        after = self.device.reset_to(self.w, self.cell(), self._event(noise, "reset"))
        self.w.copy_(torch.where(mask, after, self.w))
        self._written(mask, noise)

    def drift(self, seconds: float, noise: Stream) -> None:
        """Let the cells drift for `seconds` since the last call; cells written in between start anew."""
        state = {name: getattr(self, f"drift_{name}") for name in self.device.drift_state()}
        w, after = self.device.drifted(self.w, state, self.cell(), seconds, self._event(noise, "drift"))
        for name, value in after.items():
            getattr(self, f"drift_{name}").copy_(value)
        self._moved(w, noise)

    def _moved(self, w: Tensor, noise: Stream | None = None) -> None:
        if w is not self.w:
            self.w.copy_(w)
            self._written(None, noise)

    def _event(self, noise: Stream, name: str) -> Stream:
        """Return the stream of one event of a kind, numbered over the array's life; advances the count."""
        event = self.events.clone()
        self.events.add_(1)
        return Stream(self.key, None, event, f"{noise.path}/{name}")

    def _written(self, mask: Tensor | None, noise: Stream | None) -> None:
        """Draw the apparent weights of the cells that were written, all of them without a mask."""
        if not self.noisy:
            return
        if noise is None:
            raise ValueError("cells with write noise need a stream of noise for what writes them")
        apparent = self._event(noise, "write noise").normal("write noise", self.w).mul_(self.device.write_noise).add_(self.w)
        if mask is None:
            self.apparent.copy_(apparent)
        else:
            torch.where(mask, apparent, self.apparent, out=self.apparent)
