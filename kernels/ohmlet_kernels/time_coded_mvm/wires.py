"""What resistive output lines do to a crossbar of device pairs: an effective weight per device and a standing current per line."""

from __future__ import annotations

import torch
from torch import Tensor

from ohmlet_kernels.time_coded_mvm.settings import V_REST, V_SWING, TimeCoded

__all__ = ["effective_weights"]


def effective_weights(plus: Tensor, minus: Tensor, settings: TimeCoded) -> tuple[Tensor, Tensor]:
    """Return the current per driven row, in units of V_SWING [..., out, in] (uS), and the standing current [..., out] (uA) per time step.

    The rows of a line are lumped into segments of conductance g_s. From the far end, with r_w the wire between segments,

        R <- (R + r_w) || 1/g_s        V <- R (V / (R + r_w) + g_s V_s)        I = (V - v_read) / (R + r_w / 2)

    Since this is linear in the segments' voltages V_s, which are linear in the rows' drives, the whole train of pulses collapses into
    one matrix, whatever the number of time steps. Even outputs are read from one side of the array, odd ones from the other.
    """
    s, n = settings, plus.shape[-1]
    if n > s.rows:
        raise ValueError(f"{n} inputs do not fit into {s.rows} rows")
    if s.rows % s.segments:
        raise ValueError(f"{s.rows} rows do not divide into {s.segments} segments")
    before = (s.rows - n) // 2
    pad = (before, s.rows - n - before)
    total = torch.nn.functional.pad(plus + minus, pad)
    swing = torch.nn.functional.pad(plus - minus, pad)
    odd = torch.arange(total.shape[-2], device=total.device) % 2 == 1
    total = torch.where(odd[:, None], total.flip(-1), total)
    g = total.unflatten(-1, (s.segments, -1)).sum(-1) + 1e-12
    r_wire = 1e-6 * s.r_wire * (s.rows // s.segments)
    resistance = 1.0 / g[..., 0]
    shares = [torch.ones_like(resistance)]
    for index in range(1, s.segments):
        through, own = resistance + r_wire, 1.0 / g[..., index]
        resistance = through * own / (through + own)
        shares = [share * resistance / through for share in shares]
        shares.append(resistance / own)
    resistance = resistance + 0.5 * r_wire
    per_segment = torch.stack(shares, -1) / (g * resistance[..., None])
    per_row = per_segment.repeat_interleave(s.rows // s.segments, -1)
    per_row = torch.where(odd[:, None], per_row.flip(-1), per_row)
    effective = (per_row * swing)[..., before : before + n]
    return effective, (V_REST - s.v_read) / resistance / V_SWING
