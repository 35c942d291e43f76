"""Update algorithms: how inputs and errors become pulses on one or several arrays of devices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from ohmlet.interfaces.device import ArraySite
    from ohmlet.interfaces.pulses import PulsedUpdate

__all__ = ["UpdateAlgorithm", "operand"]


def operand(module: Any, name: str) -> Tensor:
    """Return one of the operands of a rule's module: the weights of an array, or a tensor of the module."""
    value: Tensor = module.arrays[name].weights() if name in module.arrays else getattr(module, name)
    return value


class UpdateAlgorithm(Spec):
    """A rule of in-memory training: which arrays it needs, how an update pulses them, when it transfers between them.

    Subclass it as a frozen attrs class. `build` returns an `nn.Module` whose buffers are the digital state (accumulators, choppers,
    counters, schedules), so that a checkpoint holds them, with

        update(x, d, lr, noise)    x [S, in] inputs, d [S, out] errors of the samples of one mini-batch, in order; lr learning rate;
                                   `noise.ordinals` int64 [S] numbers the vectors of all updates so far
        weights() -> w             [out, in] the normalised weights that the forward pass reads
        set_weights(w, noise)      brings them to w as far as the devices can, and clears what the rule remembers

    The arrays (`ohmlet.cells.CellArray`) are handed in built and fabricated, one per name that `arrays` declares, of the size that
    `shapes` states; pulses go through `array.pulse(x, d, lr, pulses, noise)`, which moves w towards w - lr d x^T, and reads through
    `site.read`. A rule whose weights are put together from several reads, as in low-rank adaptation, names its `operands`. A rule that
    skips vectors:

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

    @property
    def pulsed(self) -> bool:
        """Whether the tile's `update` matters to the rule: where a cell of it takes pulses, unless overridden."""
        return any(cell.pulsed for cell in self.arrays().values())

    @abstractmethod
    def arrays(self) -> Mapping[str, UnitCell]:
        """Return the cells of each array that the rule keeps, such as {"fast": ..., "slow": ...}."""

    def shapes(self, rows: int, columns: int) -> Mapping[str, tuple[int, int]]:
        """Return the size of each array of a crossbar of rows x columns (out x in): that of the crossbar unless overridden.

        Raises ConfigError for a crossbar that the rule cannot serve.
        """
        return dict.fromkeys(self.arrays(), (rows, columns))

    @property
    def operands(self) -> tuple[str, ...]:
        """The arrays that passes read each by itself and `product` puts together; none where they read `weights()` as one matrix.

        The rule's module then has what it was handed as `arrays`, an `nn.ModuleDict`. A name that is none of them is a tensor of the
        module, a matrix as weights are, such as signs [1, n] between two arrays.
        """
        return ()

    def own_passes(self) -> Mapping[str, tuple[str, ...]]:
        """Return for each array which of the passes "forward", "backward" and "read" may have settings of its own.

        Unless overridden, forward and backward passes of the operands. A rule may add "read" for arrays that it reads through
        `site.read_of(name)` and no other way.
        """
        return {name: ("forward", "backward") if name in self.operands else () for name in self.arrays()}

    def product(self, x: Tensor, w: Mapping[str, Tensor], mvm: Callable[[str, Tensor, Tensor], Tensor]) -> Tensor:
        """Return the outputs [..., S, R, out] for inputs x [..., S, R, in] from the operands' weights w, each [..., rows, columns].

        `mvm(name, x, w)` is the tile's forward pass, with converters and noise of its own for each name.
        """
        raise NotImplementedError(f"{type(self).__name__} names operands and does not say how a forward pass reads them: override product")

    def transposed_product(self, d: Tensor, w: Mapping[str, Tensor], mvm: Callable[[str, Tensor, Tensor], Tensor]) -> Tensor:
        """Return the gradient [..., S, R, in] for errors d [..., S, R, out]; `mvm(name, d, w)` multiplies with the transpose of w."""
        raise NotImplementedError(
            f"{type(self).__name__} names operands and does not say how a backward pass reads them: override transposed_product"
        )

    @abstractmethod
    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        """Return the module that holds the rule's digital state and updates the arrays, with the tile's `pulses` for gradients."""
