"""Update algorithm `sgd`: every gradient is pulsed straight into the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from torch import Tensor, nn

from ohmlet.cells import CellArray
from ohmlet.config import part
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet_kernels.noise import Stream
from ohmlet_optimizers.planned import Planned

__all__ = ["SGD"]


@frozen(kw_only=True)
class SGD(UpdateAlgorithm):
    """Stochastic gradient descent in place: one array, whose devices are pulsed for every sample.

        w <- w - lr d x^T    in expectation, as far as the devices' steps and bounds allow

    References: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), doi:10.3389/fnins.2016.00333.
    """

    device: UnitCell = part(UnitCell, "the cells", "constant_step")

    def arrays(self) -> Mapping[str, UnitCell]:
        """Return the one array."""
        return {"device": self.device}

    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        """Return the module of one crossbar."""
        return SGDModule(arrays, pulses)

    def equations(self) -> tuple[str, ...]:
        """Return the update."""
        return ("w <- w - lr d x^T, coded in pulses",)


class SGDModule(Planned):
    """One array, pulsed with the gradient."""

    def __init__(self, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> None:
        super().__init__()
        self.pulses = pulses
        self.arrays = nn.ModuleDict(arrays)

    @property
    def array(self) -> CellArray:
        """The cells."""
        return self._modules["arrays"]._modules["device"]  # type: ignore[return-value, union-attr]

    def update(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        """Pulse the cells for inputs x [S, in] and errors d [S, out]."""
        self.array.pulse(x, d, lr, self.pulses, noise)

    def rates(self, samples: int, lr: float) -> tuple[float]:
        """Return the learning rate."""
        return (lr,)

    def made(self, views: Any, samples: int, lr: float, path: str) -> Any:
        """Return the engine's plan of an update."""
        return views[0].plan(self.pulses, samples, lr, self.array.granularity, path)

    def weights(self) -> Tensor:
        """Return the weights [out, in] that reads see."""
        return self.array.weights()

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Bring the weights to w [out, in] as far as the devices can."""
        self.array.set_weights(w, noise)
