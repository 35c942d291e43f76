"""The three plugins keep the promises of their kinds: one class with one fixture each."""

from __future__ import annotations

import pytest
from ohmlet_tutorial.gaussian import Gaussian
from ohmlet_tutorial.repeated import Repeated
from ohmlet_tutorial.two_pass import TwoPass

from ohmlet.testing import DriftCompensationTests, NoiseModelTests, TileTests


class TestGaussian(NoiseModelTests):
    @pytest.fixture
    def spec(self) -> Gaussian:
        return Gaussian(sigma=0.3)


class TestRepeated(DriftCompensationTests):
    @pytest.fixture
    def spec(self) -> Repeated:
        return Repeated(times=3)


class TestTwoPass(TileTests):
    @pytest.fixture
    def spec(self) -> TwoPass:
        return TwoPass(out_noise=0.1)
