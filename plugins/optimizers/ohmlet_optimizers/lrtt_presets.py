"""Parity profiles of `lrtt`: the conventions of two open implementations and of what came after them."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.config import structure
from ohmlet.interfaces.preset import Preset
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm

__all__ = ["LRTTManuscript", "LRTTPython", "LRTTTestMove"]


class LRTTPython(Preset):
    """LR-TT as the fork `aihwkit_lrtt` has it, in Python over three ordinary tiles.

    Analog projections, gradients times alpha / sqrt(r) (its `correct_gradient_magnitudes`), one pulse train per rank and transfer,
    both arrays anew right after it. Its projections use the passes' periphery: give `tile.io.down.read` the settings of `tile.forward`
    and `tile.io.up.read` those of `tile.backward`.
    """

    gives: ClassVar[str] = "update_algorithm"
    source: ClassVar[str] = "aihwkit_lrtt, a public fork (2025, no publication) of aihwkit (doi:10.1109/AICAS51828.2021.9458494)"
    status: ClassVar[str] = "illustrative"

    def build(self) -> UpdateAlgorithm:
        """Return the rule."""
        cells = {"type": "constant_step", "dw_min": 0.01, "w_max": 1.0, "w_min": -1.0}
        return structure(
            {
                "type": "lrtt",
                **dict.fromkeys(("up", "down", "core"), cells),
                "rank": 4,
                "transfer_every": 32,
                "grad_scale": "div_sqrt_r",
                "transfer_micro_steps": 1,
                "reinit_gain": 0.1,
            },
            UpdateAlgorithm,
        )


class LRTTTestMove(Preset):
    """LR-TT as the fork `test_move` has it, in CUDA inside one unit cell, its generic preset.

    Digital projections, gradients times sqrt(r) without alpha, one ADC for core and product, backward passes over core alone, both
    arrays anew only with the next update: until then forward passes count what was transferred twice.
    """

    gives: ClassVar[str] = "update_algorithm"
    source: ClassVar[str] = "test_move, a public fork (2025, no publication) of aihwkit (doi:10.1109/AICAS51828.2021.9458494)"
    status: ClassVar[str] = "illustrative"

    def build(self) -> UpdateAlgorithm:
        """Return the rule."""
        return structure(
            {
                "type": "lrtt",
                "up": "idealized",
                "down": "idealized",
                "core": "ecram",
                "rank": 8,
                "transfer_every": 1,
                "backward_inject": False,
                "periphery": "shared",
                "proj": "digital",
                "lr_times_alpha": False,
                "grad_scale": "mul_sqrt_r",
                "transfer_micro_steps": 1,
                "update_c": {"update_management": False, "update_bl_management": False},
                "reinit_gain": 1.0,
                "reset_timing": "next_update",
            },
            UpdateAlgorithm,
        )


class LRTTManuscript(Preset):
    """LR-TT as later developments of the forks have it: passes read core alone, up and down are never reset.

    One-hot reads and rank-one writes every 10 mini-batches, `down` uniform as torch's linear layers start. Rank and learning rates are
    those of no particular experiment.
    """

    gives: ClassVar[str] = "update_algorithm"
    source: ClassVar[str] = (
        "aihwkit_organic, a public fork (2026, an unpublished manuscript in it) of aihwkit (doi:10.1109/AICAS51828.2021.9458494)"
    )
    status: ClassVar[str] = "illustrative"

    def build(self) -> UpdateAlgorithm:
        """Return the rule."""
        return structure(
            {
                "type": "lrtt",
                "up": "capacitor",
                "down": "capacitor",
                "core": "soft_bounds_reference",
                "rank": 8,
                "transfer_every": 10,
                "forward_inject": False,
                "transfer_read": "onehot",
                "reinit_mode": "none",
                "reinit_gain": 1.0,
                "down_init": "uniform",
            },
            UpdateAlgorithm,
        )
