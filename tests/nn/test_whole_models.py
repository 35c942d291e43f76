"""Whole models, converted as they are: every matrix on crossbars, and the digital model's results on ideal ones."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from tests.nn.agreement import IDEAL

SPLIT: dict[str, Any] = {**IDEAL, "mapping": {"max_in": 20, "max_out": 24, "scales": "tilewise"}}


class Residual(nn.Module):
    """The bottleneck block of a residual network."""

    def __init__(self, ins: int, width: int, stride: int) -> None:
        super().__init__()
        outs = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(ins, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outs, 1, bias=False), nn.BatchNorm2d(outs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1 or ins != outs:
            self.downsample = nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))  # type: ignore[no-any-return]


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Residual(8, 4, 1), Residual(16, 4, 1))
        self.layer2 = nn.Sequential(Residual(16, 8, 2), Residual(32, 8, 1))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))  # type: ignore[no-any-return]


class Inverted(nn.Module):
    """The inverted residual of MobileNetV2, with a depthwise convolution."""

    def __init__(self, ins: int, outs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = ins * expand
        self.residual = stride == 1 and ins == outs
        layers = [self.block(ins, hidden, 1)] if expand != 1 else []
        self.conv = nn.Sequential(
            *layers, self.block(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, outs, 1, bias=False), nn.BatchNorm2d(outs)
        )

    @staticmethod
    def block(ins: int, outs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        convolution = nn.Conv2d(ins, outs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outs), nn.ReLU6(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)  # type: ignore[no-any-return]


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Inverted.block(3, 8, 3, 2), Inverted(8, 4, 1, 1), Inverted(4, 6, 2, 6), Inverted(6, 6, 1, 6), Inverted.block(6, 16, 1)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """A vision transformer as torchvision writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, 16, 4, 4)
        self.class_token = nn.Parameter(torch.randn(1, 1, 16))
        self.pos_embedding = nn.Parameter(torch.randn(1, 17, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, 0.1, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(16), enable_nested_tensor=False)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.conv_proj(x).flatten(2).mT
        tokens = torch.cat((self.class_token.expand(len(x), -1, -1), patches), 1) + self.pos_embedding
        return self.head(self.encoder(tokens)[:, 0])  # type: ignore[no-any-return]


class Speech(nn.Module):
    """Convolutions, recurrent layers in both directions, attention and an upsampling: what the other models do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.front, self.recurrent = nn.Conv1d(6, 8, 3, 2, 1), nn.LSTM(8, 5, 2, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(10, 2, batch_first=True)
        self.gru, self.up, self.out = nn.GRU(10, 7, batch_first=True), nn.ConvTranspose1d(7, 6, 4, 2, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.recurrent(torch.relu(self.front(x)).mT)[0]
        y = self.gru(y + self.attention(y, y, y, need_weights=False)[0])[0]
        return self.out(self.up(y.mT).mT)  # type: ignore[no-any-return]


MODELS: dict[str, tuple[Any, tuple[int, ...], int]] = {
    "resnet": (ResNet, (3, 3, 32, 32), 16),
    "mobilenet_v2": (MobileNetV2, (3, 3, 32, 32), 11),
    "vision_transformer": (VisionTransformer, (3, 3, 16, 16), 10),
    "speech": (Speech, (3, 6, 12), 7),
}


def evaluated(model: nn.Module) -> nn.Module:
    """Give normalisation layers statistics of their own, and evaluate."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean, module.running_var = torch.randn(module.num_features), torch.rand(module.num_features) + 0.5
    return model.eval()


@pytest.mark.parametrize("config", [IDEAL, SPLIT], ids=["whole", "split"])
@pytest.mark.parametrize("name", MODELS)
def test_every_matrix_becomes_analog_and_the_results_stay(name: str, config: dict[str, Any]) -> None:
    cls, shape, count = MODELS[name]
    torch.manual_seed(0)
    digital = evaluated(cls())
    model = copy.deepcopy(digital)
    report = ohmlet.convert(model, config, strict=True)
    assert report.of("missing") == ()
    assert len(report.of("analog")) == count
    x = torch.randn(shape)
    with torch.no_grad():
        assert torch.allclose(model(x), digital(x), atol=1e-5)
    ohmlet.to_digital(model)
    assert str(model) == str(digital)
    with torch.no_grad():
        assert torch.equal(model(x), digital(x))


@pytest.mark.parametrize("name", MODELS)
def test_gradients_stay(name: str) -> None:
    cls, shape, _ = MODELS[name]
    torch.manual_seed(0)
    digital = evaluated(cls())
    model = ohmlet.convert(copy.deepcopy(digital), IDEAL).model
    x = torch.randn(shape)
    for each in (digital, model):
        each(x).square().mean().backward()
    gradients = dict(model.named_parameters())
    for label, parameter in digital.named_parameters():
        assert parameter.grad is not None
        assert gradients[label].grad is not None
        assert torch.allclose(gradients[label].grad, parameter.grad, atol=1e-4), label  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODELS)
def test_chips_of_it_evaluate_all_instances_at_once(name: str) -> None:
    cls, shape, _ = MODELS[name]
    torch.manual_seed(0)
    chip = ohmlet.program(ohmlet.convert(evaluated(cls()), "pcm_inference").model, 2, seed=1)
    x = torch.randn(shape)
    one_by_one = torch.stack([chip.at("1 day").instance(index)(x) for index in range(2)]).detach()
    together = chip.at("1 day")(x)
    # Products of other sizes are summed in another order, which moves a few outputs by one step of a converter.
    assert float((together - one_by_one).abs().mean()) < 0.02 * float(one_by_one.abs().mean())


def test_parameters_of_a_batch_are_no_matrices_and_those_of_a_model_itself_are() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.scale, self.layer = nn.Parameter(torch.ones(1, 5, 4)), nn.Parameter(torch.ones(4, 1, 1)), nn.Linear(4, 4)

    class Own(Odd):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.Parameter(torch.ones(3, 4, 4))

    rows = {row.name: row for row in ohmlet.convert(nn.ModuleDict({"odd": Odd(), "own": Own()}), IDEAL).rows}
    assert (rows["odd"].kind, rows["odd"].reason) == ("digital", "element-wise parameters")
    assert rows["own"].kind == "missing"
    assert "no analog layer exists for Own" in rows["own"].reason


def hugging_face(name: str) -> tuple[Any, dict[str, Tensor]]:
    """Return a small model with random weights, and inputs for it."""
    transformers: Any = pytest.importorskip("transformers", reason="needs transformers, which `pip install ohmlet[dev]` brings")
    tokens = torch.arange(3 * 9).view(3, 9) % 50
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, 6:] = 0
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    with warnings.catch_warnings():
        # Importing a model's module meets deprecations that are not ours.
        warnings.simplefilter("ignore")
        if name == "gpt2":
            config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
            return transformers.GPT2LMHeadModel(config).eval(), {"input_ids": tokens, "attention_mask": mask}
        if name == "bert":
            config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, **size)
            return transformers.BertForMaskedLM(config).eval(), {"input_ids": tokens, "attention_mask": mask}
        config = transformers.ViTConfig(image_size=16, patch_size=4, **size)
        return transformers.ViTForImageClassification(config).eval(), {"pixel_values": torch.linspace(-2, 2, 3 * 768).view(3, 3, 16, 16)}


@pytest.mark.parametrize(("name", "count", "digital"), [("gpt2", 9, {"Embedding"}), ("bert", 14, {"Embedding"}), ("vit", 14, set())])
def test_hugging_faces_models_become_wholly_analog_and_their_logits_stay(name: str, count: int, digital: set[str]) -> None:
    torch.manual_seed(0)
    original, inputs = hugging_face(name)
    for parameter in original.parameters():
        parameter.data.normal_(0, 0.1)
    model = copy.deepcopy(original)
    report = ohmlet.convert(model, IDEAL, strict=True)
    assert report.of("missing") == ()
    assert len(report.of("analog")) == count
    # What stays digital holds no matrix that anything is multiplied by.
    assert {row.module for row in report.of("digital") if row.shape} == digital
    with torch.no_grad():
        expected, found = original(**inputs).logits, model(**inputs).logits
        assert float(expected.std()) > 0.01
        assert torch.allclose(found, expected, atol=1e-5)
        ohmlet.to_digital(model)
        assert str(model) == str(original)
        assert torch.equal(model(**inputs).logits, expected)


def test_tied_embeddings_of_gpt2_stay_tied_and_train() -> None:
    model, inputs = hugging_face("gpt2")
    noisy = {"tile": {"type": "inference", "forward": {"out_noise": 0.02}}}
    report = ohmlet.convert(model.train(), noisy, strict=True)
    assert model.lm_head.weight is model.transformer.wte.weight
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(**inputs, labels=inputs["input_ids"]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < sum(losses[:3]) - 1.0
    assert int(model.lm_head.array.steps) == 8
    assert next(row.reason for row in report.rows if row.name == "transformer.wte").startswith("a look-up")


@pytest.mark.parametrize("name", ["gpt2", "bert", "vit"])
def test_chips_of_hugging_faces_models(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = hugging_face(name)
    chip = ohmlet.program(ohmlet.convert(model, "pcm_inference").model, 2, seed=1)
    together = chip.at("1 h")(**inputs)["logits"]
    one_by_one = torch.stack([chip.at("1 h").instance(index)(**inputs).logits for index in range(2)]).detach()
    assert float((together - one_by_one).abs().mean()) < 0.02 * float(one_by_one.abs().mean())
