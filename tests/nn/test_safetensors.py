"""Safetensors, whole and in shards: shared tensors once, models that start on the meta device, and memory that stays within bounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError

safetensors_torch = pytest.importorskip("safetensors.torch")

CONFIG: dict[str, Any] = {
    "tile": {
        "type": "inference",
        "forward": {"input_range": {"type": "learned", "init_batches": 2}, "out_noise": 0.05, "adc": {"bits": 8, "bound": 8.0}},
        "training": {"modifier": {"type": "add_normal", "std": 0.05}},
    },
    "mapping": {"max_in": 5},
}
TOKENS = torch.arange(12).view(3, 4) % 7


class Tied(nn.Module):
    """A model whose last matrix is its embedding, beside a normalisation with buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.norm, self.head = nn.Embedding(7, 8), nn.Linear(8, 8), nn.BatchNorm1d(4), nn.Linear(8, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(torch.tanh(self.mix(self.embed(tokens)))))
        return logits


def digital(seed: int = 0) -> Tied:
    torch.manual_seed(seed)
    return Tied()


def analog(seed: int = 0, device: str = "cpu") -> Any:
    model = digital(seed)
    if device == "meta":
        model.to("meta")
        model.head.weight = model.embed.weight
    return ohmlet.convert(model, {**CONFIG, "seed": 5}).model


def trained() -> Any:
    model = analog()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(4):
        model(TOKENS).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def shards(state: dict[str, Tensor], folder: Path, count: int = 3) -> Path:
    """Write a state in shards with their index, each tensor once, and return the index."""
    first = {id(tensor.untyped_storage()): name for name, tensor in reversed(state.items()) if tensor.numel()}
    names = [name for name, tensor in state.items() if first[id(tensor.untyped_storage())] == name]
    index: dict[str, str] = {}
    for i in range(count):
        file = f"model-{i + 1:05}-of-{count:05}.safetensors"
        safetensors_torch.save_file({name: state[name].contiguous() for name in names[i::count]}, folder / file)
        index |= dict.fromkeys(names[i::count], file)
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return path


def same_state(a: nn.Module, b: nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_saved_model_loads_with_its_tied_weights(ending: str, tmp_path: Path) -> None:
    model, other = trained(), analog(seed=1)
    ohmlet.save(model, tmp_path / f"model.{ending}")
    ohmlet.load(other, tmp_path / f"model.{ending}")
    assert same_state(model, other)
    assert other.head.weight is other.embed.weight
    assert torch.equal(model(TOKENS), other(TOKENS))
    if ending == "safetensors":
        names = set(safetensors_torch.load_file(tmp_path / "model.safetensors"))
        assert len({"head.weight", "embed.weight"} & names) == 1
        assert {"mix.array.keys", "mix.array.steps"} <= names
    else:
        assert all(type(value) is Tensor for value in torch.load(tmp_path / "model.pt", weights_only=True).values())


def test_safetensors_keep_the_config_beside_them(tmp_path: Path) -> None:
    model = trained()
    ohmlet.save(model, tmp_path / "model.safetensors")
    ohmlet.retarget(model, {"tile.forward.adc.bits": 6})
    with pytest.raises(ConfigError, match=r"tile\.forward\.adc\.bits was 8 and is 6"):
        ohmlet.load(model, tmp_path / "model.safetensors")


def test_safetensors_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = shards(digital().state_dict(), tmp_path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ConfigError, match="safetensors is not installed: pip install safetensors"):
        ohmlet.save(analog(), tmp_path / "m.safetensors")
    with pytest.raises(ConfigError, match="safetensors is not installed: pip install safetensors"):
        ohmlet.load_sharded(analog(), index)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("given", ["index", "folder", "files"])
def test_shards_of_a_converted_model_give_it_back(device: str, given: str, tmp_path: Path) -> None:
    model, other = trained(), analog(seed=1, device=device)
    index = shards(model.state_dict(), tmp_path)
    files: dict[str, Any] = {"index": index, "folder": str(tmp_path), "files": sorted(tmp_path.glob("*.safetensors"))}
    ohmlet.load_sharded(other, files[given])
    assert same_state(model, other)
    assert other.head.weight is other.embed.weight
    assert isinstance(other.mix.weight, nn.Parameter)
    assert other.mix.weight.requires_grad
    for each in (model, other):
        optimizer = torch.optim.SGD(each.parameters(), 0.1)
        each(TOKENS).square().mean().backward()
        optimizer.step()
    assert same_state(model, other)
    assert int(other.mix.array.steps) == 5


def test_shards_of_a_digital_model_give_a_meta_model_the_state_of_one_that_was_converted_after_loading(tmp_path: Path) -> None:
    index = shards(digital(3).state_dict(), tmp_path)
    other, expected = analog(device="meta"), ohmlet.convert(digital(3), {**CONFIG, "seed": 5}).model
    other.mix.bias.requires_grad_(False)
    ohmlet.load_sharded(other, index)
    assert same_state(expected, other)
    assert not other.mix.bias.requires_grad
    assert torch.equal(expected(TOKENS), other(TOKENS))


def test_a_loaded_model_does_not_change_with_the_file(tmp_path: Path) -> None:
    other = analog(device="meta")
    ohmlet.load_sharded(other, shards(digital(3).state_dict(), tmp_path, count=1))
    with (tmp_path / "model-00001-of-00001.safetensors").open("r+b") as file:
        file.seek(-200, 2)
        file.write(b"\xff" * 200)
    assert all(torch.equal(value, digital(3).state_dict()[name]) for name, value in other.state_dict().items() if ".array." not in name)


def test_the_type_is_that_of_the_model(tmp_path: Path) -> None:
    index = shards(
        {name: value.bfloat16() if value.is_floating_point() else value for name, value in digital(3).state_dict().items()}, tmp_path
    )
    other = analog(device="meta")
    ohmlet.load_sharded(other, index)
    assert torch.equal(other.mix.weight, digital(3).mix.weight.bfloat16().float())


def test_what_leaves_the_meta_device_by_itself_has_its_crossbars_state() -> None:
    other = analog(device="meta")
    assert other.mix.array.keys.is_meta
    other.to_empty(device="cpu")
    assert all(torch.equal(value, analog().mix.array.state_dict()[name]) for name, value in other.mix.array.state_dict().items())
    other.load_state_dict(trained().state_dict())
    assert int(other.mix.array.steps) == 4


def test_everything_that_does_not_fit_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    state = digital(3).state_dict() | {"extra": torch.ones(2), "mix.bias": torch.ones(9)}
    del state["norm.weight"]
    index, other = shards(state, tmp_path), analog()
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ConfigError) as caught:
        ohmlet.load_sharded(other, index)
    assert len(caught.value.problems) == 3
    for words in (
        "holds 'extra' [2], which the model does not have",
        "holds 'mix.bias' [9], which has sizes [8]",
        "'norm.weight' is in none",
    ):
        assert words in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_a_part_of_an_arrays_state_is_refused(tmp_path: Path) -> None:
    state = trained().state_dict()
    del state["mix.array.keys"]
    with pytest.raises(ConfigError, match=r"'mix\.array\.keys' is in none of the files"):
        ohmlet.load_sharded(analog(), shards(state, tmp_path))


def test_a_buffer_on_the_meta_device_that_no_checkpoint_holds_is_named(tmp_path: Path) -> None:
    other = analog(device="meta")
    other.norm.register_buffer("mask", torch.ones(4, device="meta"), persistent=False)
    with pytest.raises(ConfigError, match=r"buffer 'norm\.mask' is on the meta device and no part of a checkpoint"):
        ohmlet.load_sharded(other, shards(digital().state_dict(), tmp_path))


def test_files_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "bad.safetensors").write_text("nothing of the kind")
    for name, words in [
        ("nowhere.safetensors", "no such file"),
        ("empty", "no safetensors file in this folder"),
        ("bad.json", "not an index of safetensors files"),
        ("bad.safetensors", "not a safetensors file"),
    ]:
        with pytest.raises(ConfigError, match=f"{name}: {words}"):
            ohmlet.load_sharded(analog(), tmp_path / name)
    with pytest.raises(ConfigError, match="at least one file"):
        ohmlet.load_sharded(analog(), [])


LARGE = """
import sys, torch, ohmlet
from contextlib import suppress
from pathlib import Path
from torch import nn
layers, size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

def memory(field):
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0])

def abstract(layers, size):
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Linear(size, size) for _ in range(layers)))
    ohmlet.convert(model, {"tile": "inference", "mapping": {"max_in": 256}, "seed": 1})
    return model

model = abstract(layers, size)
ohmlet.load_sharded(abstract(1, 1), folder + "/tiny")  # what is imported on first use
with suppress(OSError):
    Path("/proc/self/clear_refs").write_text("5")  # the largest memory so far is forgotten
begin = memory("VmRSS")
ohmlet.load_sharded(model, folder)
print(begin, memory("VmHWM"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_needs_the_memory_of_the_model_and_of_one_shard_at_most(tmp_path: Path) -> None:
    """The largest resident memory of a process, pages of mapped files included, in KiB."""
    layers, size = 6, 2048
    for i in range(layers):
        weights = {f"{i}.weight": torch.randn(size, size), f"{i}.bias": torch.zeros(size)}
        safetensors_torch.save_file(weights, tmp_path / f"part{i}.safetensors")
    (tmp_path / "tiny").mkdir()
    safetensors_torch.save_file({"0.weight": torch.ones(1, 1), "0.bias": torch.ones(1)}, tmp_path / "tiny" / "part.safetensors")
    command = [sys.executable, "-W", "ignore", "-c", LARGE, str(layers), str(size), str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    begin, peak = (int(word) for word in done.stdout.split())
    shard, code = size * (size + 1) * 4 / 1024, 4096
    assert shard * layers < peak - begin < shard * (layers + 1) + code
