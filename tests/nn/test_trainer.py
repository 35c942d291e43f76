"""Hugging Face's Trainer, unchanged, trains, saves and resumes a GPT-2 on crossbars."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ohmlet

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

pytestmark = [
    # Of accelerate and torch's DataLoader on a machine without an accelerator.
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator:UserWarning"),
]
TEXT = (Path(__file__).parent / "valley.txt").read_text("utf-8")
LETTERS = sorted(set(TEXT))
WINDOW = 32


class Windows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Windows of the text, letter by letter."""

    def __init__(self) -> None:
        codes = torch.tensor([LETTERS.index(letter) for letter in TEXT])
        self.windows = codes.unfold(0, WINDOW, 4)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.windows[index], "labels": self.windows[index]}


def gpt2() -> tuple[Any, Any]:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=len(LETTERS), n_positions=WINDOW, n_embd=48, n_layer=2, n_head=4)
    model = transformers.GPT2LMHeadModel(config)
    changes = {
        "tile.forward.input_range": {"type": "learned", "init_batches": 10},
        "tile.training.modifier": {"type": "add_normal", "std": 0.03},
    }
    return model, ohmlet.convert(model, ohmlet.load_config("pcm_inference").override(changes))


def arguments(folder: Path, steps: int, **more: Any) -> Any:
    return transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=16,
        learning_rate=5e-3,
        lr_scheduler_type="constant",
        logging_steps=5,
        dataloader_drop_last=True,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=1,
        **more,
    )


@pytest.mark.slow
def test_the_trainer_trains_an_analog_gpt2(tmp_path: Path) -> None:
    model, report = gpt2()
    assert {row.module for row in report.of("analog")} == {"Conv1D", "Linear"}
    assert not report.of("missing")
    trainer = transformers.Trainer(model=model, args=arguments(tmp_path, 80, save_strategy="no"), train_dataset=Windows())
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert math.log(len(LETTERS)) * 0.6 < losses[0] < math.log(len(LETTERS)) * 1.1
    # From near that of a letter at random to well below that of letters by their frequency (2.86 nats in this text).
    assert losses[-1] < 2.3
    layer = model.transformer.h[0].attn.c_attn
    assert int(layer.array.steps) == 80
    assert int(layer.array.trained_samples) == 80 * 16
    assert model.lm_head.weight is model.transformer.wte.weight
    assert any(value.abs() > 0 for name, value in model.state_dict().items() if name.endswith("shift"))


def test_the_trainer_saves_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole, _ = gpt2()
    transformers.Trainer(model=whole, args=arguments(tmp_path / "a", 6, save_strategy="no"), train_dataset=Windows()).train()
    first, _ = gpt2()
    transformers.Trainer(model=first, args=arguments(tmp_path / "b", 6, save_steps=3), train_dataset=Windows()).train()
    assert (tmp_path / "b" / "checkpoint-3" / "model.safetensors").is_file()
    resumed, _ = gpt2()
    trainer = transformers.Trainer(model=resumed, args=arguments(tmp_path / "b", 6, save_strategy="no"), train_dataset=Windows())
    trainer.train(resume_from_checkpoint=str(tmp_path / "b" / "checkpoint-3"))
    expected, found = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert int(resumed.lm_head.array.steps) == 6
