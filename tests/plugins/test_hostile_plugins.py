"""Plugins that are broken in every way: each hurts only whoever names it, and says whose it is and why it does not load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ohmlet.errors import PluginError
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.registry import KINDS, Registry, registry
from ohmlet.testing import run_kit
from tests.plugins.installed import write_metadata

HEAD = """
import torch
from attrs import frozen
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.spec import number
"""

MODEL = '''
@frozen(kw_only=True)
class Model(NoiseModel):
    """Programming error of constant spread."""

    sigma: float = number(0.5, "programming error", unit="uS", ge=0.0)

    def program(self, g_target, window, noise):
        return (g_target + self.sigma * noise.normal("programming", g_target)).clamp_min(0)
'''

BROKEN: dict[str, tuple[str, str]] = {
    "absent": (
        "import frobnicator",
        r"==1.0 \(hostile_absent:Model\) failed to import: ModuleNotFoundError: No module named 'frobnicator'",
    ),
    "misspelled": (HEAD, r"failed to import: AttributeError: module 'hostile_misspelled' has no attribute 'Model'"),
    "syntax": ("class Model(", r"failed to import: SyntaxError"),
    "quits": ("import sys\nsys.exit(7)", r"failed to import: SystemExit: 7"),
    "value": ("Model = 3", r"must be a subclass of ohmlet.interfaces.noise_model.NoiseModel, got 3"),
    "other_kind": (
        "from ohmlet.interfaces.tile import Tile\nclass Model(Tile): ...",
        r"must be a subclass of ohmlet.interfaces.noise_model.NoiseModel, got <class 'hostile_other_kind.Model'>",
    ),
    "unfinished": (HEAD + "@frozen(kw_only=True)\nclass Model(NoiseModel): ...", r"does not implement: program"),
    "undecorated": (HEAD + MODEL.replace("@frozen(kw_only=True)", ""), r"must be decorated with attrs.frozen\(kw_only=True\)"),
    "has_type": (HEAD + MODEL.replace("sigma: float", "type: float"), r"has a field called 'type'"),
}
"""Name -> the module and what the registry says."""

NEEDS_ANOTHER = "raise RuntimeError('imported although it was written for another Ohmlet')"

DRAWS_OUTSIDE = HEAD + MODEL.replace('noise.normal("programming", g_target)', "torch.randn_like(g_target)")


@pytest.fixture
def noise_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[NoiseModel]:
    """The noise models of an environment with all of these beside the built-in ones, each in a distribution of its own."""
    for kind in KINDS:
        # The registries of this process must not see them: they read what is installed once.
        registry(kind).entries()
    sources = {name: source for name, (source, _) in BROKEN.items()}
    sources |= {"needs_another": NEEDS_ANOTHER, "good": HEAD + MODEL, "draws_outside": DRAWS_OUTSIDE, "pcm": HEAD + MODEL}
    for name, source in sources.items():
        (tmp_path / f"hostile_{name}.py").write_text(source, "utf-8")
        requires = ["ohmlet>=7"] if name == "needs_another" else ["ohmlet"]
        write_metadata(tmp_path, f"hostile-{name}", "1.0", {"ohmlet.noise_model": {name: f"hostile_{name}:Model"}}, requires)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registry("noise_model", lambda: NoiseModel)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugin_says_whose_it_is_and_why(noise_models: Registry[NoiseModel], name: str) -> None:
    with pytest.raises(PluginError, match=BROKEN[name][1]) as error:
        noise_models.get(name)
    assert str(error.value).startswith(f"noise_model '{name}' from hostile-{name.replace('_', '-')}==1.0")


def test_plugin_for_another_ohmlet_is_not_imported(noise_models: Registry[NoiseModel]) -> None:
    with pytest.raises(PluginError, match=r"is not loaded: it needs ohmlet>=7, this is ohmlet \d"):
        noise_models.get("needs_another")


def test_built_in_name_is_not_shadowed(noise_models: Registry[NoiseModel]) -> None:
    with pytest.raises(PluginError, match=r"registered by hostile-pcm==1.0 .* and by ohmlet==.*; write the distribution too"):
        noise_models.get("pcm")
    assert noise_models.get("ohmlet:pcm") is registry("noise_model").get("pcm")
    assert noise_models.get("hostile-pcm:pcm").__module__ == "hostile_pcm"


def test_the_others_load(noise_models: Registry[NoiseModel]) -> None:
    """Every broken one is a row of the survey, and the good ones are classes."""
    survey = {(str(entry).partition("=")[0], entry.name): found for entry, found in noise_models.survey()}
    rows = {dist: found for (dist, _), found in survey.items()}
    assert isinstance(rows["hostile-good"], type)
    assert survey["ohmlet", "pcm"] is registry("noise_model").get("pcm")
    refused = {name for name, found in rows.items() if isinstance(found, PluginError)}
    assert refused == {f"hostile-{name.replace('_', '-')}" for name in [*BROKEN, "needs_another"]}


def test_good_plugin_passes_the_kit(noise_models: Registry[NoiseModel]) -> None:
    assert not [result for result in run_kit("noise_model", noise_models.get("good")()) if not result.passed]


def test_draw_outside_the_addressed_source_is_caught(noise_models: Registry[NoiseModel]) -> None:
    failed = {result.name: result.message for result in run_kit("noise_model", noise_models.get("draws_outside")()) if not result.passed}
    assert re.search(r"program drew from torch's generator", failed["test_draws_from_the_stream_only"])
    assert 'noise.normal("purpose", like)' in failed["test_draws_from_the_stream_only"]
