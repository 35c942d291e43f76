"""Conformance kits: what each kind of plugin promises, as tests that a plugin's author inherits and `ohmlet check KIND NAME` runs.

    from ohmlet.testing import NoiseModelTests

    class TestMine(NoiseModelTests):
        @pytest.fixture
        def spec(self):
            return Mine(sigma=0.3)

Every `test_...(spec)` of the kit then runs on that spec. The kits themselves need no pytest.
"""

from ohmlet.testing.adc import ADCTests
from ohmlet.testing.conductance_converter import ConductanceConverterTests
from ohmlet.testing.device import DeviceTests
from ohmlet.testing.drift_compensation import DriftCompensationTests
from ohmlet.testing.engine import EngineTests
from ohmlet.testing.memristor import MemristorTests
from ohmlet.testing.noise_model import NoiseModelTests
from ohmlet.testing.preset import PresetTests
from ohmlet.testing.run import Result, kit_tests, kits, run_kit
from ohmlet.testing.spec import SpecTests
from ohmlet.testing.tile import TileTests
from ohmlet.testing.update_algorithm import UpdateAlgorithmTests

__all__ = [
    "ADCTests",
    "ConductanceConverterTests",
    "DeviceTests",
    "DriftCompensationTests",
    "EngineTests",
    "MemristorTests",
    "NoiseModelTests",
    "PresetTests",
    "Result",
    "SpecTests",
    "TileTests",
    "UpdateAlgorithmTests",
    "kit_tests",
    "kits",
    "run_kit",
]
