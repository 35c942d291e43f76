from typing import Any

import pytest
import torch

from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import numba as compiled
from ohmlet_kernels.pulsed_update import reference
from ohmlet_kernels.pulsed_update.cells import Probe
from ohmlet_kernels.pulsed_update.numba_vectors import Views
from ohmlet_kernels.pulsed_update.trains import managed, trains
from tests.kernels.pulsed_steps import cells_of, copied

SETTINGS = {
    "managed": PulsedUpdate(),
    "gradient scaled": PulsedUpdate(um_grad_scale=0.6, desired_bl=7),
    "length fixed": PulsedUpdate(update_bl_management=False),
    "unmanaged": PulsedUpdate(update_bl_management=False, update_management=False),
    "as long as it takes": PulsedUpdate(update_bl_management=False, update_management=False, fixed_bl=False, desired_bl=3),
    "long": PulsedUpdate(desired_bl=100, pulse_type="stochastic"),
}


def vectors(samples: int = 4, inputs: int = 9, outputs: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x, d = torch.randn((samples, inputs), generator=generator), torch.randn((samples, outputs), generator=generator)
    x[0, 0], d[-1] = 0.0, 0.0
    return x, d


@pytest.mark.parametrize("words", SETTINGS)
@pytest.mark.parametrize("lr", [0.02, -0.3, 4.0, "each its"])
def test_compiled_trains_are_the_same_integers(words: str, lr: Any) -> None:
    x, d = vectors()
    rate = torch.tensor([0.01, -0.2, 0.0, 1.0], dtype=torch.float64) if lr == "each its" else lr
    noise, numbers = Stream(torch.tensor(77), torch.arange(4) + 5, path="layer"), SETTINGS[words].numbers()
    expected = trains(x, d, rate, 0.01, numbers, noise, reference.pulse_bits)
    known = compiled.pulse_bits.trains(x, d, rate, 0.01, numbers, noise)
    assert known is not None
    assert expected.x.any()
    for found, wanted in zip(known[:4], expected[:4], strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    "pulses", [PulsedUpdate(pulse_type="mean_count"), PulsedUpdate(pulse_type="deterministic_implicit"), PulsedUpdate(resolution=0.1)]
)
def test_other_trains_are_left_to_torch_and_equal(pulses: PulsedUpdate) -> None:
    x, d = vectors()
    noise = Stream(torch.tensor(77), torch.arange(4))
    assert compiled.pulse_bits.trains(x, d, 0.1, 0.01, pulses.numbers(), noise) is None
    found, expected = (trains(x, d, 0.1, 0.01, pulses.numbers(), noise, bits) for bits in (compiled.pulse_bits, reference.pulse_bits))
    assert torch.equal(found.x, expected.x)
    assert torch.equal(found.d, expected.d)


def test_factors_and_lengths_in_closed_form() -> None:
    x, d = torch.tensor([[0.5, -0.2]]), torch.tensor([[0.0996, 0.04, 0.0]])
    lengths, for_x, for_d = managed(x, d, 0.2, 0.001, PulsedUpdate(desired_bl=31).numbers())
    # lr max|x| max|d| / g = 9.96 pulses: ten slots, in which the largest of both fire alike.
    assert lengths.tolist() == [10]
    alike = torch.tensor([0.996], dtype=torch.float64).sqrt()
    torch.testing.assert_close(for_x * 0.5, alike, rtol=1e-6, atol=0)
    torch.testing.assert_close(for_d * 0.0996, alike, rtol=1e-6, atol=0)
    torch.testing.assert_close(lengths * for_x * for_d * 0.001, torch.tensor([0.2], dtype=torch.float64), rtol=1e-6, atol=0)


def test_numbers_that_are_no_numbers_never_fire() -> None:
    x, d = vectors()
    x[1, 2] = float("nan")
    made = compiled.pulse_bits.trains(x, d, 0.1, 0.01, SETTINGS["unmanaged"].numbers(), Stream(torch.tensor(7), torch.arange(4)))
    assert made is not None
    assert made.x[1, 2].item() == 0


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_vectors_pulsed_in_one_call_and_by_trains(settings: PulsedUpdate) -> None:
    x, d = vectors(5, 9, 6)
    d[1:3], d[:, 2] = 0.0, 0.0
    # Lines that always fire and lines that never do take a way of their own.
    x[4] = torch.nn.functional.one_hot(torch.tensor(3), 9) * 20.0
    noise, before, seen = Stream(torch.tensor(77), torch.arange(5) + 5, path="here"), cells_of("everything", 6, 9, counted=True), []
    fits = settings.desired_bl <= 32
    for way in ("one call", "trains", "reference") if fits else ("trains", "one call"):
        own, probe = copied(before), Probe(torch.tensor([1, 2, 5]), torch.tensor([0, 8, 3]), True, torch.zeros(3, 6))
        if way == "one call":
            done = Views([], own, torch.tensor(9)).pulse(x, d, 0.05, 0.01, settings, noise, probe)
            assert done == fits
        else:
            made = trains(x, d, 0.05, 0.01, settings.numbers(), noise, reference.pulse_bits)
            update = compiled.pulsed_update if way == "trains" else reference.pulsed_update
            update(own, made, torch.tensor(9), noise.word("pulse noise"), noise.ordinals, probe)  # type: ignore[arg-type]
        seen.append((own.w, own.pulses, probe.seen))
    assert not torch.equal(seen[0][0], before.w)
    for w, pulses, looks in seen[1:] if fits else []:
        torch.testing.assert_close(w, seen[0][0], rtol=2e-6, atol=2e-7)
        torch.testing.assert_close(looks, seen[0][2], rtol=2e-6, atol=2e-7)
        assert torch.equal(pulses, seen[0][1])  # type: ignore[arg-type]
    if not fits:
        assert torch.equal(seen[1][0], before.w)
