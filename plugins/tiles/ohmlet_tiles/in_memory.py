"""Tile `in_memory`: a crossbar that learns, its weights held by devices that pulses update."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.device import ArraySite
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.tile import Errors, Pending, ProgrammableTile, Site
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm, operand
from ohmlet_kernels.analog_mvm import Variation
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key
from ohmlet_tiles.affine import Affine, engine_part, whole_pass, whole_read
from ohmlet_tiles.analog_pass import AnalogPass
from ohmlet_tiles.array_passes import ArrayPasses, array_io, array_modules, check_array_io
from ohmlet_tiles.composed import Composed, check_ranges
from ohmlet_tiles.input_range import check_unreached
from ohmlet_tiles.pass_equations import pass_equations
from ohmlet_tiles.pass_module import PassModule, with_backward
from ohmlet_tiles.without_effect import check_uncoded, check_undriven

__all__ = ["InMemory", "InMemoryCrossbar"]


ALIKE = Variation()


@frozen(kw_only=True)
class InMemory(ProgrammableTile):
    """A crossbar trained in place: forward and transposed products and updates all happen in the array, and no gradient is formed.

    References: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), doi:10.3389/fnins.2016.00333; Rasch et al., Nat. Commun. 15, 7133
    (2024), doi:10.1038/s41467-024-51221-z.
    """

    scales: ClassVar[str] = "none"
    update_algorithm: UpdateAlgorithm = part(UpdateAlgorithm, "how inputs and errors become pulses", "sgd")
    update: PulsedUpdate = part(PulsedUpdate, "how updates with gradients are coded in pulses", {})
    forward: AnalogPass = part(AnalogPass, "the matrix-vector product", {})
    backward: AnalogPass | None = part(AnalogPass | None, "the transposed product that errors take; exact if left out", None)
    read: AnalogPass | None = part(AnalogPass | None, "the read-out that transfers and refreshes go by; exact if left out", None)
    io: Mapping[str, ArrayPasses] | None = array_io(
        "for arrays that the algorithm reads one by one: their own `forward`, `backward`, `read`, by name"
    )
    conductance_converter: ConductanceConverter = part(ConductanceConverter, "weights to conductances", "single_pair")
    noise_model: NoiseModel | None = part(NoiseModel | None, "drift and read noise after training", None)
    drift_compensation: DriftCompensation = part(DriftCompensation, "digital undoing of drift", "none")

    def __attrs_post_init__(self) -> None:
        if self.noise_model is not None:
            self.noise_model.check(self.conductance_converter.window)
        check_undriven(self.noise_model, self.drift_compensation)
        check_uncoded(self.update, self.update_algorithm)
        for name, behind in (("backward", self.backward), ("read", self.read)):
            if behind is not None:
                check_unreached(name, behind.input_range)
        if self.read is not None and not self.update_algorithm.reads:
            raise ConfigError(
                f"tile.read has no effect: {type(self.update_algorithm).__name__} reads no single columns or rows, nor do its devices; "
                "leave it out"
            )
        if self.io is not None:
            check_array_io(self.io, self.update_algorithm, self.read)

    def build(self, site: Site) -> nn.Module:
        """Return the module of one crossbar."""
        return InMemoryCrossbar(self, site)

    def equations(self) -> tuple[str, ...]:
        """Return the passes and the coding of updates as equations with their values; the algorithm has its own."""
        lines = list(pass_equations(self.forward))
        if self.backward is not None:
            lines += [f"errors: {line}" for line in pass_equations(self.backward)]
        for name, passes in (self.io or {}).items():
            lines += [f"{name}, {which}: {line}" for which, own in passes.given().items() for line in pass_equations(own)]
        if self.update_algorithm.pulsed:
            lines += [f"update: {line}" for line in self.update.equations()]
        return tuple(lines)


class InMemoryCrossbar(nn.Module):
    """One crossbar that learns, or one for each group of a grouped convolution: the algorithms' arrays and digital state, and passes."""

    def __init__(self, tile: InMemory, site: Site) -> None:
        super().__init__()
        self.tile, self.site = tile, site
        self.forward_pass = PassModule(tile.forward, site, "forward", tile.conductance_converter)
        self.backward_pass = PassModule(tile.backward, site, "backward", tile.conductance_converter) if tile.backward is not None else None
        self.read_pass = PassModule(tile.read, site, "read", tile.conductance_converter) if tile.read is not None else None
        shapes = tile.update_algorithm.shapes(site.out_features, site.in_features)
        self.io = array_modules(tile.io or {}, shapes, site, tile.conductance_converter)
        """Passes of single arrays where they are not the crossbar's."""
        self.algorithms = nn.ModuleList(self._algorithm(tile, site, key) for key in site.keys)
        # In tuples, so that they are not modules of this one too.
        self.aging: dict[int, tuple[Any, ...]] = {}
        for index, algorithm in enumerate(self.algorithms):
            aging = tuple(cells for cells in algorithm.modules() if getattr(cells, "decays", False) or getattr(cells, "diffuses", False))
            if aging:
                self.aging[index] = aging
        self.composed = bool(tile.update_algorithm.operands)
        if self.composed:
            check_ranges(type(tile.update_algorithm).__name__, self.forward_pass, self.backward_pass)
        self.pending = Pending()
        self.calls = 0
        self.learning, self.network = engine_part(site, "learning"), engine_part(site, "network")
        self.whole_forward = whole_pass(self.forward_pass, site) if len(self.algorithms) == 1 else None
        self.whole_backward = whole_pass(self.backward_pass, site) if self.backward_pass is not None else None

    def _algorithm(self, tile: InMemory, site: Site, key: Tensor) -> nn.Module:
        own_reads = {name: functools.partial(self.read_array, name) for name, passes in (tile.io or {}).items() if passes.read is not None}
        reading = whole_read(self.read_pass, site)
        base = ArraySite(
            site.out_features, site.in_features, key, site.kernel, self.read_out, tile.read is None, own_reads or None, reading
        )
        shapes = tile.update_algorithm.shapes(site.out_features, site.in_features)
        arrays = {}
        for name, cell in tile.update_algorithm.arrays().items():
            rows, columns = shapes[name]
            own = base._replace(rows=rows, columns=columns, key=key.new_tensor(stream_key(int(key), "array", name)))
            if name in own_reads:
                own = own._replace(read=own_reads[name], exact=False)
            arrays[name] = site.cells(cell, own)
        return tile.update_algorithm.build(base, arrays, tile.update)

    def read_out(self, w: Tensor, x: Tensor, noise: Stream) -> Tensor:
        """Return w x [S, out] of weights [out, in] and inputs x [S, in] as the tile's `read` has it."""
        return self._read(self.read_pass, w, x, noise)

    def read_array(self, name: str, w: Tensor, x: Tensor, noise: Stream) -> Tensor:
        """Return what `read_out` does as an array's own `read` has it."""
        return self._read(self.pass_of(name, "read"), w, x, noise)

    def _read(self, by: PassModule | None, w: Tensor, x: Tensor, noise: Stream) -> Tensor:
        if by is None:
            return x.to(w.dtype) @ w.mT
        y: Tensor = by(x.to(w.dtype)[:, None], w, noise)
        return y[:, 0]

    def pass_of(self, name: str, which: str) -> PassModule | None:
        """Return an array's pass `forward`, `backward` or `read`: its own, or the crossbar's; None for one that is exact."""
        own = f"{name}_{which}"
        made: PassModule | None = self.io[own] if own in self.io else getattr(self, f"{which}_pass")  # type: ignore[assignment]
        return made

    def full_scale(self) -> Tensor | float:
        """Return the input that is full scale, which read-outs of known inputs drive."""
        return self.forward_pass.full_scale()

    @property
    def adjustable(self) -> bool:
        """Whether the full scale is a number of this crossbar, which `set_full_scale` can set."""
        return self.forward_pass.range is not None or self.forward_pass.calibrated is not None

    def set_full_scale(self, r: float) -> None:
        """Set the range of the inputs; a learned one is learned from there."""
        (self.forward_pass.range or self.forward_pass.calibrated).set(r)  # type: ignore[union-attr]

    def weights(self) -> Tensor:
        """Return the normalised weights [groups?, out, in] that reads see."""
        # Not by attribute, which modules look up in three places.
        parts: list[Tensor] = [algorithm.weights() for algorithm in self._modules["algorithms"]._modules.values()]  # type: ignore[operator, union-attr]
        return torch.stack(parts) if len(parts) > 1 else parts[0]

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Bring the cells to w [groups?, out, in] as far as they can."""
        for algorithm, part_, key in zip(self.algorithms, self._grouped(w), noise.key.reshape(-1), strict=True):
            algorithm.set_weights(part_, noise._replace(key=key))  # type: ignore[operator]

    def update(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        """Update the cells with inputs x [groups?, V, in] and errors d [groups?, V, out], then let them decay and diffuse."""
        if not self.aging and not noise.key.ndim:
            (algorithm,) = self._modules["algorithms"]._modules.values()  # type: ignore[union-attr]
            algorithm.update(x, d, lr, noise)  # type: ignore[operator, union-attr]
            return
        groups = zip(self.algorithms, self._grouped(x), self._grouped(d), noise.key.reshape(-1), strict=True)
        for index, (algorithm, inputs, errors, key) in enumerate(groups):
            own = noise._replace(key=key)
            algorithm.update(inputs, errors, lr, own)  # type: ignore[operator]
            for cells in self.aging.get(index, ()):
                cells.age(own)

    def plan(self, samples: int, lr: float) -> Any:
        """Return what the engine makes of `update` for so many vectors in one call, or None where it takes several."""
        algorithm: Any = next(iter(self._modules["algorithms"]._modules.values()))  # type: ignore[union-attr]
        plan = getattr(algorithm, "plan", None)
        return None if plan is None or self.learning is None or self.aging or lr == 0 else plan(samples, lr)

    def _grouped(self, value: Tensor) -> Tensor:
        return value if len(self.algorithms) > 1 else value[None]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w x [..., S, R, out] for inputs [..., S, R, in] and normalised weights [..., out, in].

        In training the backward pass leaves inputs and errors in `pending`, where the optimizer's step finds them.
        """
        if not (self.training and torch.is_grad_enabled()):
            return with_backward(self.forward_pass, self.backward_pass, x, w, noise)
        clipped, scale = self.forward_pass.scaled(x)
        self.calls += 1
        if scale is not None and scale.requires_grad:
            # A learned range has a gradient of its own.
            y = self.forward_pass.product(clipped.detach(), scale, w, noise)
            routed: Tensor = _Errors.apply(clipped, self.pending.anchor, y.detach(), w, self, noise, self.calls, scale)  # type: ignore[no-untyped-call]
            return y + routed
        product: Tensor = _Errors.apply(clipped, self.pending.anchor, None, w, self, noise, self.calls, scale)  # type: ignore[no-untyped-call]
        return product

    def transposed_mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w^T x [..., S, R, in] for inputs [..., S, R, out]: driven at its outputs, by `backward`'s converters if any."""
        y: Tensor = (self.backward_pass or self.forward_pass)(x, w.mT, noise)
        return y

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def composed_mvm(self, x: Tensor, noise: Stream) -> Tensor:
        """Return what `mvm` does for the crossbar's own weights where its algorithm reads several arrays one by one."""
        training = self.training and torch.is_grad_enabled()
        self.calls += training
        anchor = self.pending.anchor if training else self.pending.anchor.detach()
        arrays = []
        for name in self.tile.update_algorithm.operands:
            parts = [operand(algorithm, name) for algorithm in self.algorithms]
            arrays.append(torch.stack(parts) if len(parts) > 1 else parts[0])
        y: Tensor = Composed.apply(x, anchor, self, noise, self.calls, *arrays)  # type: ignore[no-untyped-call]
        return y

    def affine(self, scale: Tensor, bias: Tensor | None) -> Affine | None:
        """Return what computes b + s (w x) in training as `mvm` and the layer would, in one step of autograd; None where that takes both.

        The scale s is [out or 1, 1]; the bias b is [out], float32 on the CPU.
        """
        front, back = self.forward_pass, self.backward_pass
        if self.composed or self.whole_forward is None or (self.whole_backward is None and back is not None):
            return None
        if front.variation != ALIKE or (back is not None and back.variation != ALIKE):
            return None
        in_order = scale.is_contiguous() and (bias is None or bias.is_contiguous())
        return Affine(self, scale, bias) if in_order and scale.is_cpu and scale.dtype == torch.float32 else None


class _Errors(torch.autograd.Function):
    """The product, or zeros beside a product that was made; its backward pass reads the crossbar transposed and leaves errors behind."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        anchor: Tensor,
        made: Tensor | None,
        w: Tensor,
        crossbar: InMemoryCrossbar,
        noise: Stream,
        order: int,
        scale: Tensor | None,
    ) -> Tensor:
        # The weights as they were, for a step may come between.
        ctx.save_for_backward(x, w.clone())
        ctx.crossbar, ctx.noise, ctx.order = crossbar, noise, order
        if made is not None:
            return torch.zeros_like(made)
        y: Tensor = crossbar.forward_pass.product(x, scale, w, noise)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (d,), (x, w), crossbar = grads, ctx.saved_tensors, ctx.crossbar
        learns = ctx.needs_input_grad[1]  # not where requires_grad_(False) has frozen the layer
        if learns:
            crossbar.pending.append(Errors(ctx.order, x.detach(), d))
        gradient = None
        if ctx.needs_input_grad[0]:
            if crossbar.backward_pass is None:
                gradient = torch.matmul(d.flatten(-3, -2), w.to(d.dtype)).unflatten(-2, d.shape[-3:-1])
            else:
                gradient = crossbar.backward_pass(d, w.mT, ctx.noise.child("backward"))
        return gradient, crossbar.pending.mark(d) if learns else None, None, None, None, None, None, None
