"""A network of crossbars that learn, bound to the memory that it works on, for mini-batches of one size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm.numba_product import times
from ohmlet_kernels.analog_mvm.numba_rows import Rows, purposes_of, purposes_of_attempts
from ohmlet_kernels.network_step import fields as f
from ohmlet_kernels.network_step import numba_backwards as backwards
from ohmlet_kernels.network_step import numba_forwards as forwards
from ohmlet_kernels.network_step.numba_activations import CODES, block, known_activation
from ohmlet_kernels.network_step.numba_sums import lanes_of, orders
from ohmlet_kernels.network_step.torch_activations import TORCH, activated, derived, gradient
from ohmlet_kernels.pulsed_update.numba_blocks import at
from ohmlet_kernels.pulsed_update.numba_learning import Learning

__all__ = ["Link", "Network"]

ANY_ORDER = 64, 8
SAMPLES = 256
"""From so many on sums are taken in orders that are not known."""


class Link(NamedTuple):
    """A crossbar, with scale, bias, activation and learned scale: y = f(b + s g (w x)). All is float32 on the CPU and in order."""

    front: Rows
    back: Rows | None
    w: Tensor
    scale: Tensor
    bias: Tensor | None
    activation: str
    """The name of torch's module, or none."""
    learned: Tensor | None
    """The parameter of a factor on the scale, [out or 1, 1]: 1 + it if `linear`, its exponential otherwise."""
    linear: bool
    key: Tensor
    """int64 [1], as the counters of samples `seen` and of `steps` that this step counts too, if there are any."""
    seen: Tensor
    steps: Tensor | None
    learning: Learning


class Network:
    """Links one after the other, for S samples: outputs, then errors for the gradient of the outputs, then updates.

    The same numbers as each link's `Rows` and `Learning` with torch's activations between them, and as torch.optim.SGD for bias and
    learned scale, where orders of sums are known (`numba_sums`). Everything must stay where it is; `rates` float64 [links, 2] may change.
    """

    link = Link

    def __init__(self, links: Sequence[Link], samples: int) -> None:
        self.samples, self.outs, self.links = samples, links[-1].front.outputs, links
        self.rates = np.zeros((len(links), 2))
        self.blocks: Any = np.zeros((len(links), f.SIZE), np.int64)
        self.kept: list[Any] = []
        self.bias_gradients: list[Tensor] = []
        self.learned_gradients: list[Tensor] = []
        """Each in a room of [out]."""
        self.exponentials: list[tuple[Tensor, Tensor]] = []
        """Learned parameters, and where their exponentials go."""
        self.drives: list[Tensor] = []
        self.drives_back: list[Tensor] = []
        self.made, self.outputs, self.gradients, self.errors = (
            [self._room(samples, link.front.outputs) for link in links] for _ in range(4)
        )
        for k, link in enumerate(links):
            self._fill(k, link)
        self.address = at(self.blocks)
        self.inputs: list[Tensor] = [self.made[0], *self.outputs[:-1]]
        """Of each link, those of the first being given with every mini-batch."""
        # Compiled code goes on up to what is torch's to do: some activations, exact reads, and products that are large.
        n = len(links)
        by_torch = {k + 1 for k, link in enumerate(links) if link.activation in TORCH}
        self.large = [samples > link.front.few for link in links]
        self.large_back = [k > 0 and link.back is not None and samples > link.back.few for k, link in enumerate(links)]
        exact = {k for k, link in enumerate(links) if k and link.back is None}
        self.forwards = _parts(n, by_torch, self.large)
        self.backwards = _parts(n, by_torch | exact, self.large_back)[::-1]

    @staticmethod
    def fits(links: Sequence[Link], samples: int) -> bool:
        """Whether all activations are known for so many samples, and as many are added up as torch does it."""
        return 0 < samples < SAMPLES and all(_known(link.activation, samples * link.front.outputs) for link in links)

    def _room(self, *size: int) -> Tensor:
        return torch.from_numpy(np.zeros(size, np.float32))

    def _fill(self, k: int, link: Link) -> None:
        """Write the block of a link."""
        b, front, back, wide = self.blocks[k], link.front, link.back, (self.samples, link.front.outputs)
        purposes, behind = purposes_of_attempts("training", front.attempts), purposes_of("training/backward")
        b[f.INS : f.KEY + 1] = (
            front.inputs, front.outputs, link.w.data_ptr(), link.scale.data_ptr(), link.scale.numel(),
            0 if link.bias is None else link.bias.data_ptr(), at(self.rates[k]), CODES.get(link.activation, 0), at(front.numbers),
            at(purposes), len(purposes), 0 if back is None else at(back.numbers), at(behind), link.key.data_ptr(),
        )  # fmt: skip
        b[f.SEEN], b[f.STEPS] = link.seen.data_ptr(), 0 if link.steps is None else link.steps.data_ptr()
        b[f.Y] = b[f.MADE] = self.outputs[k].data_ptr()
        if link.activation in TORCH:
            b[f.MADE] = self.made[k].data_ptr()
        b[f.GRAD], b[f.D] = self.gradients[k].data_ptr(), self.errors[k].data_ptr()
        b[f.LEARNING], b[f.BLOCK_OF] = link.learning.address, block()
        b[f.GROUP], b[f.LANES] = orders(*wide) if all(orders(*wide)) else ANY_ORDER
        rooms = self._room(wide[1]), self._room(*wide), self._room(wide[1]), self._room(wide[1])
        b[f.BIAS_GRAD], b[f.RAW], b[f.FACTOR], b[f.LEARNED_GRAD] = (each.data_ptr() for each in rooms)
        self.bias_gradients.append(rooms[0])
        self.learned_gradients.append(rooms[3])
        if link.learned is not None:
            count = link.learned.numel()
            b[f.LEARNED], b[f.LEARNED_COUNT], b[f.LINEAR] = link.learned.data_ptr(), count, link.linear
            factor = torch.from_numpy(np.ones(link.learned.shape, np.float32))
            self.exponentials += [] if link.linear else [(link.learned.detach(), factor)]
            b[f.LEARNED_FACTOR] = factor.data_ptr()
            both = max(count, link.scale.numel())
            b[f.LANES_OF_ALL] = lanes_of(wide[1] if both > 1 else wide[0] * wide[1]) or ANY_ORDER[1]
            self.kept.append(factor)
        # One room for both ways: what drives a link forwards is not needed any more when it is driven backwards.
        drive, scale = self._room(self.samples * max(front.inputs, front.outputs)), self._room(self.samples)
        b[f.DRIVE], b[f.INPUT_SCALE] = drive.data_ptr(), scale.data_ptr()
        self.drives.append(drive[: self.samples * front.inputs].view(self.samples, front.inputs))
        self.drives_back.append(drive[: self.samples * front.outputs].view(self.samples, front.outputs))
        self.kept.append((purposes, behind, rooms, drive, scale))

    def __reduce__(self) -> Any:
        """Pickle and copy as nothing: a copy has its memory elsewhere."""
        return type(None), ()

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs [S, out] of x [S, in]; counts the samples."""
        y = torch.from_numpy(np.empty((self.samples, self.outs), np.float32))
        x = x if x.is_contiguous() else x.contiguous()
        self.inputs[0], self.outputs[-1] = x, y.detach()
        end = self.blocks[-1]
        end[f.Y] = y.data_ptr()
        if self.links[-1].activation not in TORCH:
            end[f.MADE] = end[f.Y]
        for learned, factor in self.exponentials:
            torch.exp(learned, out=factor)
        for first, last in self.forwards:
            if self.large[first]:
                forwards.begin_forward(self.address, first, self.samples, x.data_ptr())
                product = times(self.drives[first], self.links[first].w)
                forwards.end_forward(self.address, first, self.samples, product.data_ptr())
            else:
                forwards.forward(self.address, first, last, self.samples, x.data_ptr())
            if (name := self.links[last - 1].activation) in TORCH:
                activated(name, self.made[last - 1], self.outputs[last - 1])
        return y

    def backward(self, g: Tensor) -> bool:
        """Work out errors and gradients of all links from that of the last outputs, [S, out]; return whether all errors are finite."""
        given_g, finite = g, True
        g = g.detach() if g.is_contiguous() else g.detach().contiguous()
        for first, last in self.backwards:
            given = g.data_ptr() if last == len(self.links) else 0
            if (name := self.links[last - 1].activation) in TORCH:
                if given:
                    self.gradients[-1].copy_(g)
                    given = 0
                derived(name, self.gradients[last - 1], self.made[last - 1], self.outputs[last - 1])
            if self.large_back[first]:
                finite &= backwards.begin_backward(self.address, first, self.samples, given)
                product = times(self.drives_back[first], self.links[first].w.mT.contiguous())
                backwards.end_backward(self.address, first, self.samples, product.data_ptr())
                continue
            finite &= backwards.backward(self.address, first, last, self.samples, given)
            if first and self.links[first].back is None:
                torch.mm(self.errors[first], self.links[first].w, out=self.gradients[first - 1])
        if not given_g.is_contiguous():
            # Torch adds what lies otherwise in another order.
            laid = gradient(self.links[-1].activation, given_g.detach(), self.made[-1], self.outputs[-1])
            self.bias_gradients[-1].copy_(laid.sum(0))
        return finite

    def learn(self) -> int:
        """Learn from what `backward` has worked out; return how many links have learned: all, unless errors over squares are not finite."""
        done: int = backwards.learn(self.address, len(self.blocks))
        return done


def _parts(count: int, after: set[int], alone: list[bool]) -> list[tuple[int, int]]:
    """Return links 0 to count in parts: cut before those in `after`, and around those that stand `alone`."""
    around = {k + end for k, apart in enumerate(alone) if apart for end in (0, 1)}
    return list(pairwise(sorted({0, count} | after | around)))


def _known(activation: str, numbers: int) -> bool:
    return activation in TORCH or known_activation(activation, numbers)
