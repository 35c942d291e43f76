"""In-memory training of one layer's crossbars: what the layer holds is what the cells hold, and inputs with errors become updates."""

from __future__ import annotations

import functools
import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ohmlet.errors import OrderError
from ohmlet.interfaces.tile import Pending
from ohmlet.nn.mapping import weight_scales
from ohmlet.nn.one_call import Learned, OneCall
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.ranks import rank_and_world, tell_unequal
from ohmlet_kernels.recompute import recomputing

if TYPE_CHECKING:
    from ohmlet.config.analog import Mapping
    from ohmlet.nn.array import Block

__all__ = ["NOT_FINITE", "InSitu", "learns"]

NOT_FINITE = "layer '{}' got errors that are not finite (NaN or infinite) in its backward pass; nothing was updated"
HELD = 0.9
"""Part of their weights that cells must come to, on average, for nothing to be said."""


UNIT = float(torch.tensor(Pending.UNIT))
"""What a backward pass leaves at the anchor, in float32 as it is there."""


def learns(crossbar: nn.Module) -> bool:
    """Return whether a crossbar owns its weights and updates them itself."""
    return hasattr(crossbar, "set_weights")


def from_all_ranks(rows: Tensor) -> Tensor:
    """Return rows [..., n, size] of all processes joined in the order of ranks; each may have another number of them."""
    world = rank_and_world()[1]
    if world == 1:
        return rows
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world)]
    torch.distributed.all_gather(counts, torch.tensor([rows.shape[-2]], device=rows.device))
    tell_unequal([int(count) for count in counts])
    largest = int(max(counts))
    padded = rows.new_zeros((*rows.shape[:-2], largest, rows.shape[-1]))
    padded[..., : rows.shape[-2], :] = rows
    parts = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([part[..., : int(count), :] for part, count in zip(parts, counts, strict=True)], dim=-2)


def _rows(part: Tensor) -> Tensor:
    """Return the rows of a part [..., S, R, size], or [S, size], in float32."""
    return part.float() if part.ndim == 2 else part.float().flatten(-3, -2)


def _joined(parts: list[Tensor], scale: Tensor, size: int) -> Tensor:
    """Return the rows of parts, one after the other, in float32; of no part, none beside a scale [..., rows, 1]."""
    if len(parts) == 1:
        return _rows(parts[0])
    if not parts:
        return scale.new_zeros((*scale.shape[:-2], 0, size))
    return torch.cat([_rows(part) for part in parts], dim=-2)


@functools.lru_cache(64)
def _counted(count: int, device: torch.device) -> Tensor:
    """Return the numbers 0 to count - 1, to be added to and not to be changed."""
    return torch.arange(count, device=device)


def _finite(d: Tensor) -> bool:
    """Whether all numbers are finite: where their sum is, they are, which is the quicker to see."""
    return math.isfinite(d.sum()) or bool(torch.isfinite(d).all())


def _held(in_situ: Any, _keys: object) -> None:
    """Hold the anchor that a state's parameters may have been assigned to."""
    in_situ.hold()


class InSitu(nn.Module):
    """What in-memory training adds to an array: fixed scales, an anchor for the optimizer, and the updates that wait for its step.

    `anchor` is a parameter without a meaning of its own. Through it an optimizer holds the array; each backward pass leaves a tiny
    gradient there, so that what a GradScaler or a clipping of gradients multiplies it with is known at the step.
    Buffers: `vectors`, how many (x, d) pairs have updated the crossbars so far; `scale_<k>`, from normalised to model units.
    """

    def __init__(self, crossbars: nn.ModuleList, blocks: list[Block], groups: int, mapping: Mapping) -> None:
        super().__init__()
        self.blocks, self.groups, self.mapping = blocks, groups, mapping
        self.anchor = nn.Parameter(torch.zeros(1))
        self.vectors: Tensor
        self.register_buffer("vectors", torch.zeros(1, dtype=torch.int64))
        for index, block in enumerate(blocks):
            rows = block.last_out - block.first_out if mapping.scales == "columnwise" else 1
            size = (groups, rows, 1) if groups > 1 else (rows, 1)
            self.register_buffer(f"scale_{index}", torch.ones(size))
        # In a tuple, so that they are not modules of this one too.
        self._owned = (crossbars,)
        self.register_load_state_dict_post_hook(_held)  # type: ignore[no-untyped-call]
        self.hold()
        self.squares: dict[int, tuple[Tensor, int, Tensor]] = {}
        self.one_call = OneCall()
        self.left: Tensor | None = None
        """The gradient that backward passes have left at the anchor, where the optimizer has taken it away."""
        self.attached = False
        self.told = False
        """Whether it was said that the layer is trained in evaluation mode."""
        self.single = len(blocks) == groups == 1
        """Whether there is one crossbar."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy is held by no optimizer.
        super().__setstate__(state | {"attached": False, "squares": {}, "left": None})  # type: ignore[no-untyped-call]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.anchor.dtype in {torch.float16, torch.bfloat16}:
            # The gradient that tells what scaled it is nothing in float16, and not exact enough in bfloat16.
            self.anchor.data = self.anchor.data.float()
        self.hold()
        return self

    def hold(self) -> None:
        """Give the crossbars the anchor, which may be another one now: then no optimizer is known that holds it."""
        for crossbar in self.crossbars():
            if crossbar.pending.anchor is not self.anchor:
                crossbar.pending.anchor, self.attached = self.anchor, False

    def crossbars(self) -> list[Any]:
        """Return the array's crossbars."""
        return list(self._owned[0]._modules.values())

    def only(self) -> Any:
        """Return the crossbar of an array with one, or the first."""
        return self._owned[0]._modules["0"]

    def scale(self, index: int) -> Tensor:
        """Return the scale [groups?, out or 1, 1] of a crossbar."""
        return self._buffers[f"scale_{index}"]  # type: ignore[return-value]

    @torch.no_grad()
    def adopt(self, matrix: Tensor, keys: Tensor, name: str) -> None:
        """Set the scales from the matrix [groups?, out, in] in model units, as `mapping` says, and bring the cells to it."""
        m = self.mapping
        for index, (block, crossbar) in enumerate(zip(self.blocks, self.crossbars(), strict=True)):
            part = matrix[..., block.first_out : block.last_out, block.first_in : block.last_in].float()
            scale = weight_scales(part, m.scales, m.omega, m.max_scale_range)
            self.scale(index).copy_(scale.expand_as(self.scale(index)))
            wanted = part / scale
            crossbar.set_weights(wanted, Stream(self._keys(keys, index), None, self.vectors, "set weights"))
            self._tell(wanted, crossbar.weights(), name)

    @torch.no_grad()
    def matrix(self) -> Tensor:
        """Return the matrix [groups?, out, in] in model units that reads of the cells see."""
        rows: dict[int, list[Tensor]] = {}
        for index, (block, crossbar) in enumerate(zip(self.blocks, self.crossbars(), strict=True)):
            rows.setdefault(block.first_out, []).append(crossbar.weights() * self.scale(index))
        return torch.cat([torch.cat(row, dim=-1) for row in rows.values()], dim=-2)

    def check(self, name: str) -> None:
        """Forget updates whose gradients were cleared; raise OrderError while updates wait that no optimizer will ever make."""
        if not any(crossbar.pending for crossbar in self.crossbars()):
            return
        if not self.attached:
            raise OrderError(
                f"layer '{name}' learns in memory and no optimizer updates it: use ohmlet.optim.AnalogSGD, or "
                "ohmlet.optim.attach(optimizer, model) after making the optimizer; one made before convert or retarget does not know the "
                "layer as it is now"
            )
        if self.anchor.grad is None and self.left is None and not recomputing():
            self.drop()

    def take(self) -> None:
        """Take what backward passes have left at the anchor out of the optimizer's sight, which would only spend time on it."""
        anchor: Any = self._parameters["anchor"]
        if anchor.grad is not None:
            # Not by attribute, which modules set slowly.
            self.__dict__["left"] = anchor.grad if self.left is None else self.left + anchor.grad
            anchor.grad = None

    def give_back(self) -> None:
        """Leave at the anchor again what was taken, after a step that was not made: who clears gradients then forgets the updates."""
        anchor: Any = self._parameters["anchor"]
        if self.left is not None:
            anchor.grad = self.left if anchor.grad is None else self.left + anchor.grad
            self.__dict__["left"] = None

    def drop(self) -> None:
        """Forget the updates that wait, as `zero_grad` does with gradients."""
        self.__dict__["left"] = None
        crossbars: Any = self._owned[0]._modules
        for crossbar in crossbars.values():
            crossbar.pending.clear()

    def learn(self, lr: float, keys: Tensor, name: str, shown: Tensor | None = None) -> Learned:
        """Update the crossbars with what has waited since the last step, in the order of the forward calls; say what was done.

        `shown` is the parameter that is to show the weights of the only crossbar, if that is all that it shows. Under data parallelism
        the pairs of all ranks are applied on each rank, in the order of ranks, with errors averaged as gradients are.
        """
        # Modules look attributes up in three places, tens of times for a mini-batch.
        anchor, vectors = self._parameters["anchor"], self._buffers["vectors"]
        assert anchor is not None
        assert vectors is not None
        stepped = anchor.grad is not None
        left = anchor.grad if self.left is None else self.left if anchor.grad is None else self.left + anchor.grad
        # Not by attribute, which modules set slowly.
        self.__dict__["left"] = None
        if left is None:
            # `model.zero_grad()` came after the backward passes, or `torch.autograd.grad` asked for other gradients.
            self.drop()
        world = rank_and_world()[1]
        passes = len(self.only().pending) if self.single else sum([len(crossbar.pending) for crossbar in self.crossbars()])
        factor = self._factor(name, left, passes)
        done = Learned.NOTHING
        if self.single and passes == world == 1:
            done = self.one_call(self, factor, lr, keys, shown)
        if done is Learned.NOTHING and (count := self._one_by_one(self.crossbars(), factor, world, lr, keys, name)):
            vectors.add_(count)
            done = Learned.CELLS
        if stepped and anchor.grad is not None:
            # An optimizer that saw the gradient may have moved the anchor. And what is made is made: a step without zero_grad before the
            # next backward pass does not scale that one's updates.
            anchor.zero_()
            anchor.grad.zero_()
        return done

    def _one_by_one(self, crossbars: list[Any], factor: float, world: int, lr: float, keys: Tensor, name: str) -> int:
        """Update the crossbars with what waits, one after the other; return how many vectors there were."""
        vectors, count = self.vectors, 0
        for index, crossbar in enumerate(crossbars):
            waiting = sorted(crossbar.pending, key=lambda pair: pair.order)
            crossbar.pending.clear()
            if not waiting and world == 1:
                continue
            scale, block = self.scale(index), self.blocks[index]
            x = _joined([pair.x for pair in waiting], scale, block.last_in - block.first_in)
            d = _joined([pair.d for pair in waiting], scale, block.last_out - block.first_out)
            # y = s (w x): with respect to w in model units the error is d / s, and a step in model units is one of 1 / s in w.
            d = (d if factor == world == 1 else d * (factor / world)) / self.square(index, scale)
            if world > 1:
                x, d = from_all_ranks(x), from_all_ranks(d)
            count = x.shape[-2]
            if count == 0:
                continue
            if not _finite(d):
                raise OrderError(NOT_FINITE.format(name))
            noise = Stream(self._keys(keys, index), vectors + _counted(count, x.device), vectors.clone(), "update")
            crossbar.update(x, d, lr, noise)
        return count

    def _tell(self, wanted: Tensor, reached: Tensor, name: str) -> None:
        """Warn when cells hold less than they were given, noise apart: the slope of one against the other, and its error."""
        square = float(wanted.square().sum())
        if square == 0:
            return
        slope = float((wanted * reached).sum()) / square
        error = float((reached - slope * wanted).square().mean() / square) ** 0.5
        if slope + 2 * error < HELD:
            remedy = (
                "give smaller initial weights, or set mapping.scales to columnwise and mapping.omega to the part of the range to use"
                if self.mapping.scales == "none"
                else "lower mapping.omega, the largest normalised weight after scaling, or give smaller initial weights with "
                "mapping.scales none"
            )
            warnings.warn(
                f"the devices of layer '{name}' hold {slope:.0%} of the weights that they were given, which reach "
                f"{float(wanted.abs().max()):.3g}: their bounds cannot hold more; {remedy}",
                stacklevel=2,
            )

    def _factor(self, name: str, left: Tensor | None, passes: int) -> float:
        """Return what the gradients have been multiplied with since the backward passes, of which so many have `left` it at the anchor."""
        if left is None or passes == 0:
            return 1.0
        factor = float(left) / (UNIT * passes)
        if factor == 1.0:
            return factor
        mantissa = math.frexp(factor)[0]
        # Loss scales are powers of two; anything else has been clipped.
        if math.isfinite(factor) and min(abs(mantissa - 0.5), abs(mantissa - 1.0)) > 1e-4:
            warnings.warn(
                f"the gradients were scaled by {factor:.3g} before the step, as clip_grad_norm_ does: layer '{name}' learns in memory and "
                "has no gradient, so the norm does not know of it; its errors are scaled likewise",
                stacklevel=6,
            )
        return factor

    def square(self, index: int, scale: Tensor) -> Tensor:
        """Return s^2 of a crossbar as [..., 1, out or 1], worked out when the scale has changed."""
        known = self.squares.get(index)
        if known is None or known[0] is not scale or known[1] != scale._version:
            known = self.squares[index] = (scale, scale._version, (scale * scale).mT.contiguous())
        return known[2]

    def _keys(self, keys: Tensor, index: int) -> Tensor:
        return keys[index] if self.groups > 1 else keys.select(0, index).select(0, 0)
