"""Update algorithms: how inputs and errors become pulses on one or several arrays of devices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.spec import Spec

if TYPE_CHECKING:
    from torch import nn

    from ohmlet.interfaces.device import ArraySite
    from ohmlet.interfaces.pulses import PulsedUpdate

__all__ = ["UpdateAlgorithm"]


class UpdateAlgorithm(Spec):
    """A rule of in-memory training: which arrays it needs, how an update pulses them, when it transfers between them.

    Subclass it as a frozen attrs class. `build` returns an `nn.Module` whose buffers are the digital state (accumulators, choppers,
    counters, schedules), so that a checkpoint holds them, with

        update(x, d, lr, noise)    x [S, in] inputs, d [S, out] errors of the samples of one mini-batch, in order; lr learning rate;
                                   `noise.ordinals` int64 [S] numbers the vectors of all updates so far
        weights() -> w             [out, in] the normalised weights that the forward pass reads
        set_weights(w, noise)      brings them to w as far as the devices can, and clears what the rule remembers

    The arrays (`ohmlet.cells.CellArray`) are handed in built and fabricated, one per name that `arrays` declares; pulses go through
    `array.pulse(x, d, lr, pulses, noise)`, which moves w towards w - lr d x^T, and reads through `site.read`. A rule that skips vectors:

        @frozen(kw_only=True)
        class EveryNth(UpdateAlgorithm):
            \"\"\"Descent with one of n vectors, at n times the learning rate.\"\"\"

            device: UnitCell = part(UnitCell, "the cells", "constant_step")
            n: int = integer(3, "vectors of which one is used", ge=1)

            def arrays(self):
                return {"device": self.device}

            def build(self, site, arrays, pulses):
                return EveryNthModule(self.n, arrays["device"], pulses)


        class EveryNthModule(nn.Module):
            def __init__(self, n, array, pulses):
                super().__init__()
                self.n, self.array, self.pulses = n, array, pulses
                self.register_buffer("vectors", torch.zeros(1, dtype=torch.int64))

            def weights(self):
                return self.array.weights()

            def set_weights(self, w, noise):
                self.array.set_weights(w, noise)
                self.vectors.zero_()

            def update(self, x, d, lr, noise):
                if lr == 0:
                    return
                used = (self.vectors + torch.arange(len(x))) % self.n == 0
                self.array.pulse(x[used], d[used], self.n * lr, self.pulses, noise.at(noise.ordinals[used]))
                self.vectors.add_(len(x))
    """

    kind: ClassVar[str] = "update_algorithm"

    @property
    def reads(self) -> bool:
        """Whether the rule, or a cell of it, reads columns or rows through the tile's `read`; as its cells do, unless overridden."""
        return any(cell.reads for cell in self.arrays().values())

    @abstractmethod
    def arrays(self) -> Mapping[str, UnitCell]:
        """Return the cells of each array that the rule keeps, such as {"fast": ..., "slow": ...}."""

    @abstractmethod
    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        """Return the module that holds the rule's digital state and updates the arrays, with the tile's `pulses` for gradients."""
