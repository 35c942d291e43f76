"""Update algorithm `lrtt`: gradients gather on two arrays of low rank, whose product is transferred to a full one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from attrs import fields, frozen
from torch import Tensor, nn

from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.spec import boolean, integer, number, one_of
from ohmlet_optimizers.lrtt_filter import Chopper, Filter, Unfiltered
from ohmlet_optimizers.lrtt_module import LRTTModule

__all__ = ["LRTT"]

REINITS = ("none", "standard", "decay", "hybrid", "orthogonal_zero", "orthogonal_decay")


@frozen(kw_only=True)
class LRTT(UpdateAlgorithm):
    """Low-rank Tiki-Taka: a product up down of rank r gathers the gradient and is added to the weights `core` from time to time.

        p = down x,   q = up^T d                              both read before either is pulsed
        up   [out, r] <- up   - lr s d p^T                    every vector, s = alpha (with lr_times_alpha) x r^(+-1/2) (grad_scale)
        down [r, in]  <- down - lr s q x^T
        core [out, in] <- core + eta up down                  every `transfer_every`, as r rank-one updates; then up, down start anew
                                                              (filter ema: averages of both; chopper: with signs between them)
        y = core x + alpha up (down x)                        with forward_inject, three reads and a digital sum; else y = core x

    eta is transfer_lr, or alpha with transfer_lr_mode alpha, which with forward_inject leaves the layer's function as it was (but for what
    averages hold back). There are out in + r (out + in) cells. `down` starts as random numbers of standard deviation
    reinit_gain sqrt(2 / in), `up` as zero. Reads for p, q and one-hot transfers are those of the tile's `read`, each vector at full scale;
    the tile's `io` gives arrays passes of their own.

    Raises ConfigError for settings without effect, for averages of a `down` that is drawn anew, and for crossbars with fewer rows or
    columns than `rank`.

    References: no publication; two open forks of aihwkit (2025) on the idea of Gokmen and Haensch, Front. Neurosci. 14, 103 (2020),
    doi:10.3389/fnins.2020.00103, and Hu et al., LoRA, ICLR (2022), doi:10.48550/arXiv.2106.09685; merging and starting anew: Lialin et
    al., ReLoRA (2023), doi:10.48550/arXiv.2307.05695.
    """

    up: UnitCell = part(UnitCell, "the cells of the array [out, r]", "constant_step")
    down: UnitCell = part(UnitCell, "the cells of the array [r, in]", "constant_step")
    core: UnitCell = part(UnitCell, "the cells of the array [out, in] that transfers write", "constant_step")
    rank: int = integer(4, "rows of `down` and columns of `up`", ge=1)
    alpha: float = number(1.0, "factor on the product up down in what passes read", gt=0)
    alpha_over_r: bool = boolean(False, "divide alpha by the rank, as LoRA does")
    forward_inject: bool = boolean(True, "forward passes read core x + alpha up (down x), not core x alone")
    backward_inject: bool | None = boolean(None, "backward passes do so; as forward passes unless given")
    periphery: str = one_of(
        "own",
        ("own", "shared"),
        "own: a pass with its converters for each array, summed digitally; shared: currents are summed before one ADC",
    )
    proj: str = one_of("analog", ("analog", "digital"), "p and q come from the tile's `read`, or are computed exactly")
    lr_times_alpha: bool = boolean(True, "multiply the learning rate of up and down by alpha, as the gradient is")
    grad_scale: str = one_of("none", ("none", "div_sqrt_r", "mul_sqrt_r"), "divide or multiply that learning rate by sqrt(r)")
    update_ab: PulsedUpdate | None = part(
        PulsedUpdate | None, "coding of updates of up and down in pulses; the tile's `update` unless given", None
    )
    transfer_every: int = integer(32, "updates or samples between transfers; 0 for none", ge=0)
    unit: str = one_of("update", ("update", "sample"), "what transfer_every counts: calls of update (mini-batches), or vectors")
    transfer_lr: float = number(1.0, "eta of transfer_lr_mode fixed", gt=0)
    transfer_lr_mode: str = one_of("fixed", ("fixed", "alpha"), "eta is transfer_lr, or alpha")
    transfer_read: str = one_of(
        "digital", ("digital", "onehot"), "up and down are known exactly, or read line by line by the tile's `read`"
    )
    transfer_write: str = one_of(
        "pulsed",
        ("pulsed", "set", "program_verify"),
        "rank-one pulse trains; ideal; or pulses row by row, corrected verify_steps times",
    )
    transfer_micro_steps: int | None = integer(
        None, "pulsed writes of a part of eta each, so that no train is too short; as many as that takes unless given", ge=1
    )
    rank_chunk: int | None = integer(None, "rank-one updates whose trains are made at once, all unless given: memory, not numbers", ge=1)
    filter: Filter = part(
        Filter, "what is transferred: products as they are read, averages, or what signs that flip tell from offsets", "none"
    )
    update_c: PulsedUpdate = part(PulsedUpdate, "how transfers, and what else is programmed, are coded in pulses", {})
    verify_steps: int = integer(20, "rounds of pulses and reading for program_verify and for reinit_write pulsed", ge=1)
    reinit_mode: str = one_of(
        "standard",
        REINITS,
        "after a transfer: none: up and down stay; standard: up 0, down random; decay: both times reinit_decay; hybrid: up 0, down stays; "
        "orthogonal_zero, orthogonal_decay: down random orthogonal rows, up 0 or times reinit_decay",
    )
    reinit_gain: float = number(0.1, "size of a random `down`, in units of sqrt(2 / in)", ge=0)
    down_init: str = one_of("normal", ("normal", "uniform"), "a random `down` is normal, or uniform within +-reinit_gain / sqrt(in)")
    reinit_decay: float = number(0.9, "factor of the modes with decay", ge=0, lt=1)
    reinit_write: str = one_of("ideal", ("ideal", "pulsed"), "starting anew is free of error, or written in pulses")
    reset_timing: str = one_of(
        "immediate", ("immediate", "next_update"), "up and down start anew after the transfer, or with the next update"
    )
    loss_warning: float = number(0.25, "part of transfers that may fail to arrive before a warning", gt=0, le=1)

    def __attrs_post_init__(self) -> None:
        if self.reinit_gain == 0:
            raise ConfigError(
                "reinit_gain 0.0 makes down zero, and up starts at zero: neither ever gets a gradient then; take it above 0, such as 0.1"
            )
        if self.rank_chunk is not None and self.rank_chunk > self.rank:
            raise ConfigError(f"rank_chunk {self.rank_chunk} is above rank {self.rank}")
        if self.filter.momentum and self.transfer_every and self.reinit_mode not in {"none", "hybrid"}:
            raise ConfigError(
                f"filter.momentum averages up and down each by itself, which needs a down that stays: reinit_mode none or hybrid, not "
                f"{self.reinit_mode}; averages over several downs would be full matrices"
            )
        known = {attribute.name: attribute.default for attribute in fields(type(self))}
        known |= {"update_c": PulsedUpdate(), "filter": Unfiltered()}
        for names, effective, why in self._conditions():
            for name in names.split():
                if not effective and getattr(self, name) != known[name]:
                    raise ConfigError(f"{name} {getattr(self, name)!r} has no effect {why}: leave it out")

    @property
    def pulsed(self) -> bool:
        """Gradients pulse up and down, as the tile's `update` says; what is programmed goes by `update_c`."""
        return self.up.pulsed or self.down.pulsed

    def _conditions(self) -> list[tuple[str, bool, str]]:
        """Return names of settings, whether they have an effect, and why they have none."""
        transfers, mode = self.transfer_every > 0, self.reinit_mode
        injected = self.forward_inject or bool(self.backward_inject)
        scaled = injected or self.lr_times_alpha or (transfers and self.transfer_lr_mode == "alpha")
        orthogonal, pulsed = mode.startswith("orthogonal"), transfers and self.transfer_write == "pulsed"
        trains = not self.update_c.pulse_type.startswith("none")
        verified = transfers and (self.transfer_write == "program_verify" or self.reinit_write == "pulsed")
        every = "without transfers (transfer_every 0)"
        return [
            ("unit transfer_lr transfer_lr_mode transfer_read transfer_write reinit_mode loss_warning", transfers, every),
            ("reinit_write reset_timing update_c filter", transfers, every),
            ("alpha alpha_over_r", scaled, "where neither passes nor learning rates have a factor alpha"),
            ("periphery", injected, "where passes read core alone"),
            ("transfer_lr", self.transfer_lr_mode == "fixed", "with transfer_lr_mode alpha"),
            ("transfer_micro_steps rank_chunk", pulsed, f"with transfer_write {self.transfer_write}" if transfers else every),
            ("transfer_micro_steps", trains or self.transfer_micro_steps is None, f"with update_c.pulse_type {self.update_c.pulse_type}"),
            ("update_c", self.transfer_write != "set" or self.reinit_write == "pulsed", "with transfer_write set and reinit_write ideal"),
            ("verify_steps", verified, "without program_verify or reinit_write pulsed"),
            ("reinit_write reset_timing", mode != "none", "with reinit_mode none"),
            ("reinit_decay", mode in {"decay", "orthogonal_decay"}, f"with reinit_mode {mode}"),
            ("down_init", not orthogonal, f"with reinit_mode {mode}"),
        ]

    @property
    def share(self) -> float:
        """The factor of up down in what passes read: alpha, divided by the rank with `alpha_over_r`."""
        return self.alpha / self.rank if self.alpha_over_r else self.alpha

    @property
    def eta(self) -> float:
        """The factor of up down in what a transfer adds to core."""
        return self.share if self.transfer_lr_mode == "alpha" else self.transfer_lr

    @property
    def rate(self) -> float:
        """The factor on the optimizer's learning rate for up and down."""
        power = {"none": 0.0, "div_sqrt_r": -0.5, "mul_sqrt_r": 0.5}[self.grad_scale]
        return (self.share if self.lr_times_alpha else 1.0) * math.pow(self.rank, power)

    @property
    def injects_back(self) -> bool:
        """Whether backward passes read up and down."""
        return self.forward_inject if self.backward_inject is None else self.backward_inject

    @property
    def reads(self) -> bool:
        """Projections and one-hot transfers go through the tile's `read`, as some cells do."""
        return self.proj == "analog" or (self.transfer_read == "onehot" and self.transfer_every > 0) or super().reads

    def arrays(self) -> Mapping[str, UnitCell]:
        """Return the three arrays."""
        return {"up": self.up, "down": self.down, "core": self.core}

    def shapes(self, rows: int, columns: int) -> Mapping[str, tuple[int, int]]:
        """Return the size of each array; raises ConfigError for a rank above the crossbar's."""
        if self.rank > min(rows, columns):
            raise ConfigError(
                f"rank {self.rank} is above {min(rows, columns)}, the smaller side of a crossbar of {rows} x {columns} (out x in): lower "
                "rank, or give this layer another config"
            )
        return {"up": (rows, self.rank), "down": (self.rank, columns), "core": (rows, columns)}

    @property
    def chops(self) -> bool:
        """Whether the lines between down and up have signs."""
        return isinstance(self.filter, Chopper)

    @property
    def operands(self) -> tuple[str, ...]:
        """All arrays, and the signs of a chopper, where passes read more than one matrix."""
        one_matrix = self.forward_inject == self.injects_back and (not self.forward_inject or self.periphery == "shared")
        return () if one_matrix else ("up", "down", "core", *(("signs",) if self.chops else ()))

    def own_passes(self) -> Mapping[str, tuple[str, ...]]:
        """Return the arrays that forward and backward passes, and projections, transfers and verification, read one by one."""
        own: dict[str, list[str]] = {name: [] for name in self.arrays()}
        for which, injects in (("forward", self.forward_inject), ("backward", self.injects_back)):
            if self.operands and not (injects and self.periphery == "shared"):
                for name in own if injects else ("core",):
                    own[name].append(which)
        onehot = self.transfer_every > 0 and self.transfer_read == "onehot"
        for name, cell in self.arrays().items():
            read = onehot and self.transfer_write == "program_verify" if name == "core" else onehot or self.proj == "analog"
            if read or cell.reads:
                own[name].append("read")
        return {name: tuple(passes) for name, passes in own.items()}

    def product(self, x: Tensor, w: Mapping[str, Tensor], mvm: Callable[[str, Tensor, Tensor], Tensor]) -> Tensor:
        """Return core x, or with `forward_inject` core x + alpha up (c down x), c the signs of a chopper."""
        if not self.forward_inject:
            return mvm("core", x, w["core"])
        if self.periphery == "shared":
            return mvm("core", x, self.merged(w))
        hidden = self.signed(mvm("down", x, w["down"]), w)
        return mvm("core", x, w["core"]) + self.share * mvm("up", hidden, w["up"])

    def transposed_product(self, d: Tensor, w: Mapping[str, Tensor], mvm: Callable[[str, Tensor, Tensor], Tensor]) -> Tensor:
        """Return core^T d, or with `backward_inject` core^T d + alpha down^T (c up^T d)."""
        if not self.injects_back:
            return mvm("core", d, w["core"])
        if self.periphery == "shared":
            return mvm("core", d, self.merged(w))
        hidden = self.signed(mvm("up", d, w["up"]), w)
        return mvm("core", d, w["core"]) + self.share * mvm("down", hidden, w["down"])

    def signed(self, hidden: Tensor, w: Mapping[str, Tensor]) -> Tensor:
        """Return what passes from one of the low-rank arrays to the other, [..., S, R, r], with the signs [..., 1, r] of a chopper."""
        return hidden * w["signs"].unsqueeze(-2).to(hidden.dtype) if self.chops else hidden

    def merged(self, w: Mapping[str, Tensor]) -> Tensor:
        """Return core + alpha up (c down)."""
        up = w["up"] * w["signs"] if self.chops else w["up"]
        return w["core"] + self.share * (up @ w["down"])

    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        """Return the module of one crossbar; raises ConfigError where `update_ab` leaves the tile's pulses without effect."""
        if self.update_ab is not None and pulses != PulsedUpdate():
            raise ConfigError("tile.update has no effect beside update_ab of lrtt: leave one of them out")
        return LRTTModule(self, site, arrays, self.update_ab or pulses)

    def equations(self) -> tuple[str, ...]:
        """Return the updates with their values."""
        rate = "lr" if math.isclose(self.rate, 1.0) else f"{self.rate:g} lr"
        c = "c " if self.chops else ""
        inject = f" + {self.share:g} up ({c}down x)" if self.forward_inject else ""
        back = f" + {self.share:g} down^T ({c}up^T d)" if self.injects_back else ""
        lines = [
            f"up <- up - {rate} d ({c}down x)^T, down <- down - {rate} ({c}up^T d) x^T, coded in pulses, rank {self.rank}",
            f"y = core x{inject}; gradient core^T d{back}",
        ]
        if self.transfer_every:
            unit = {"update": "mini-batches", "sample": "vectors"}[self.unit]
            factors = "H_up H_down" if self.filter.momentum else "up (c down)" if self.chops else "up down"
            lines.insert(1, f"core <- core + {self.eta:g} {factors}, every {self.transfer_every} {unit}, then reinit {self.reinit_mode}")
            lines[1:1] = self.filter.equations()
        return tuple(lines)
