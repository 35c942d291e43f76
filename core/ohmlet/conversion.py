"""Whole models to analog and back: which layers become crossbars, by which rule, and a report of every module."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConversionError, OrderError
from ohmlet.nn import LAYERS, AnalogLayer, layer_for
from ohmlet.nn.array import AnalogArray
from ohmlet.nn.layer import drawn_seed
from ohmlet.registry import did_you_mean

__all__ = ["Report", "Row", "convert", "retarget", "to_digital"]


@frozen
class Row:
    """What became of one module: `kind` is "analog", "digital", or "missing" for a matrix that no analog layer exists for."""

    name: str
    module: str
    kind: str
    reason: str
    shape: tuple[int, ...] = ()
    crossbars: int = 0


@frozen
class Report:
    """Every module of a model with what became of it; `print` shows it as a table, `model` is the converted model."""

    model: nn.Module = field(repr=False)
    rows: tuple[Row, ...]

    def of(self, kind: str) -> tuple[Row, ...]:
        """Return the rows of a kind: "analog", "digital" or "missing"."""
        return tuple(row for row in self.rows if row.kind == kind)

    def __str__(self) -> str:
        cells = [("module", "class", "becomes", "matrix", "crossbars", "why")]
        for row in self.rows:
            shape = "x".join(map(str, row.shape))
            cells.append((row.name or "(model)", row.module, row.kind, shape, str(row.crossbars or ""), row.reason))
        widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
        analog = self.of("analog")
        lines.append(
            f"{len(analog)} analog layers on {sum(row.crossbars for row in analog)} crossbars, "
            f"{len(self.of('missing'))} left digital for want of one"
        )
        return "\n".join(lines)


def _parsed(rules: Mapping[Any, Any] | None, config: AnalogConfig) -> list[tuple[Any, str, AnalogConfig | str]]:
    parsed: list[tuple[Any, str, AnalogConfig | str]] = []
    if rules is not None and not isinstance(rules, Mapping):
        raise ConversionError(f"rules is a mapping from modules to what becomes of them, not a {type(rules).__name__}")
    for key, value in (rules or {}).items():
        if not isinstance(key, str | type):
            raise ConversionError(f"rules[{key!r}]: a rule is for a name pattern, 'type:Class' or a module class")
        words = f"rules[{key!r}]" if isinstance(key, str) else f"rules[{key.__name__}]"
        if isinstance(value, str) and value in {"digital", "analog"}:
            parsed.append((key, words, config if value == "analog" else value))
        elif isinstance(value, Mapping) and not value:
            raise ConversionError(f"{words} changes nothing: give 'digital', 'analog', a config, or dotted changes")
        elif isinstance(value, Mapping) and all("." in path for path in value):
            parsed.append((key, words, config.override(value)))
        else:
            parsed.append((key, words, AnalogConfig.parse(value, words)))
    return parsed


def _matches(name: str, pattern: str) -> bool:
    """Whether a module is meant by a name pattern, or lies inside one that is."""
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*")


def _rule(name: str, module: nn.Module, rules: list[tuple[Any, str, Any]]) -> tuple[int, Any] | None:
    for index, (key, _, value) in enumerate(rules):
        if isinstance(key, type):
            matches = type(module) is key
        elif key.startswith("type:"):
            matches = type(module).__name__ == key[5:]
        else:
            matches = _matches(name, key)
        if matches:
            return index, value
    return None


def _asks(key: Any, value: Any, name: str) -> bool:
    """Whether a rule means this very layer, and not whatever its pattern happens to match."""
    return value == "analog" or isinstance(key, type) or key.startswith("type:") or key == name


def _is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter may be multiplied; [1, N, C], a token or a position's vector, is added to a batch, and [C, 1, 1] is a scale."""
    return parameter.ndim == 2 or (parameter.ndim > 2 and sum(size > 1 for size in parameter.shape) > 1 and parameter.shape[0] > 1)


def _holds_matrix(module: nn.Module) -> bool:
    return any(_is_matrix(parameter) for parameter in module.parameters(recurse=False))


def convert(model: nn.Module, config: Any, rules: Mapping[Any, Any] | None = None, *, strict: bool = False) -> Report:
    """Replace a model's layers by analog ones (`ohmlet.nn.LAYERS`), in place, and return a report of every module.

    `config` is an AnalogConfig, a preset's name or a mapping. `rules` maps a name pattern ("encoder", with all that is
    inside it, or "*.fc2"), "type:Conv2d" or a module class to "digital", "analog", a config of its own, or dotted changes to `config`
    ({"tile.forward.adc.bits": 6}); the first rule that matches counts. Embeddings become analog only by a rule that says "analog" or
    names them or their class. Parameters stay the same objects, so optimizers and tied weights keep working. When the model itself is
    such a layer it cannot be replaced in place: use `report.model`.

    Raises ConversionError when a rule matches nothing, when nothing becomes analog, for weights that are not finite, and with
    `strict` when a matrix stays digital that no rule keeps digital; OrderError for a model that is analog already.
    """
    config = AnalogConfig.parse(config)
    if not isinstance(model, nn.Module):
        raise ConversionError(f"convert takes a torch.nn.Module, got {type(model).__name__}")
    if any(isinstance(module, AnalogLayer) for module in model.modules()):
        raise OrderError("this model has analog layers already; ohmlet.retarget(model, config) gives it other hardware")
    parsed, seed = _parsed(rules, config), drawn_seed() if config.seed is None else config.seed
    with _parameters_kept(model, [config, *(value for _, _, value in parsed if isinstance(value, AnalogConfig))]):
        rows, made, used = _taken_over(model, config, parsed, list((rules or {}).items()), seed)
        _refuse(rows, parsed, used, strict)
    for module in list(model.modules()):
        _close_bypass(module)
    _replace(model, made)
    return Report(made.get(model, model), tuple(rows))


def _taken_over(
    model: nn.Module, config: AnalogConfig, parsed: list[tuple[Any, str, Any]], given: list[tuple[Any, Any]], seed: int
) -> tuple[list[Row], dict[nn.Module, AnalogLayer], set[int]]:
    """Return a row for each module, the analog layers that modules are replaced by, and which rules have matched."""
    rows: list[Row] = []
    made: dict[nn.Module, AnalogLayer] = {}
    owners: dict[int, str] = {}
    read_by: dict[nn.Module, Row] = {}
    used: set[int] = set()
    for name, module in list(model.named_modules()):
        rule = _rule(name, module, parsed)
        used |= {rule[0]} if rule else set()
        label = type(module).__name__
        chosen = rule[1] if rule else config
        shape = next((tuple(p.shape) for p in module.parameters(recurse=False) if _is_matrix(p)), ())
        if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
            raise ConversionError(
                f"module '{name}' ({label}) has parameters without a size yet; run the model once on an input, then convert it"
            )
        analog = layer_for(type(module))
        if analog is not None and analog.only_by_rule and not (rule and _asks(*given[rule[0]], name)):
            analog = None
        whole = analog is not None and _owns(module, analog.weight_names(module)) and not _bound(module)
        if analog is not None and whole and chosen != "digital" and module not in read_by:
            layer = analog.from_digital(module, chosen, name, chosen.seed if chosen.seed is not None else seed)
            made[module] = layer
            tied = [owners.setdefault(id(module._parameters[weight]), name) for weight in analog.weight_names(module)]
            _refuse_one_weight_in_two_arrays(layer, [other for other in made.values() if other is not layer and other.name in tied])
            reason = parsed[rule[0]][1] if rule else "a crossbar layer"
            reason += "".join(f"; weight tied with {owner}" for owner in dict.fromkeys(tied) if owner != name) + _left_behind(module)
            rows.append(Row(name, label, "analog", reason, shape, layer.size))
        elif rule and chosen == "digital":
            rows.append(Row(name, label, "digital", parsed[rule[0]][1], shape))
        elif module in read_by:
            owner = read_by[module]
            rows.append(Row(name, label, owner.kind, f"its weight is read by {owner.module} '{owner.name}', which stays digital", shape))
        elif any(known.only_by_rule and isinstance(module, digital) for digital, known in LAYERS.items()):
            rows.append(Row(name, label, "digital", "a look-up, which needs no product; the rule 'analog' puts it on crossbars", shape))
        elif _holds_matrix(module) or isinstance(module, tuple(LAYERS)):
            rows.append(Row(name, label, "missing", _why(module), shape))
        elif isinstance(module, nn.TransformerEncoderLayer):
            rows.append(Row(name, label, "digital", "its fused path, which reads weights past the layers, is switched off"))
        elif list(module.parameters(recurse=False)) or not list(module.children()):
            reason = "element-wise parameters" if list(module.parameters(recurse=False)) else "no parameters"
            rows.append(Row(name, label, "digital", reason, shape))
        if isinstance(module, nn.MultiheadAttention) and module not in made:
            read_by[module.out_proj] = rows[-1]
    return rows, made, used


@contextmanager
def _parameters_kept(model: nn.Module, configs: Iterable[AnalogConfig]) -> Iterator[None]:
    """Give parameters back as they were when a conversion fails: cells that learn show what they hold in them as soon as they are made."""
    learn = any(hasattr(config.tile, "update_algorithm") for config in configs)
    before = [(each, each.requires_grad, each.detach().clone()) for each in model.parameters() if learn and not is_lazy(each)]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for parameter, asked, value in before:
                parameter.copy_(value)
                parameter.requires_grad_(asked)
        raise


def _refuse_one_weight_in_two_arrays(layer: AnalogLayer, others: Iterable[AnalogLayer]) -> None:
    """Raise ConversionError for a weight that cells learn and another layer has on crossbars of its own."""
    for other in others:
        if layer.held or other.held:
            raise ConversionError(
                f"layers '{other.name}' and '{layer.name}' share a weight, and cells that learn in memory cannot be in two crossbars: "
                "untie them first, or keep one of them digital with a rule"
            )


def _replace(model: nn.Module, made: Mapping[nn.Module, nn.Module]) -> None:
    for parent in [*model.modules(), *made.values()]:
        # named_children() names a module only once, and a parent may hold it under several names.
        for name, child in list(parent._modules.items()):
            if child is not None and child in made:
                setattr(parent, name, made[child])


def _owns(module: nn.Module, weights: tuple[str, ...]) -> bool:
    """Whether weights are parameters of the module itself, not computed from others in a hook (spectral norm, pruning)."""
    return all(isinstance(module._parameters.get(weight), nn.Parameter) for weight in weights)


def _bound(module: nn.Module) -> str:
    """Return what ties a module to its own class, so that an analog layer would lose it; hooks on its passes move along."""
    if "forward" in vars(module):
        return "its forward was replaced on the object itself"
    if any(isinstance(vars(module).get(name.removesuffix("_orig")), Tensor) for name in module._parameters):
        return "one of its parameters is computed from others by a hook; make it a parameter first (torch.nn.utils.prune.remove)"
    return ""


def _left_behind(module: nn.Module) -> str:
    """Return a remark on what of a module does not move along."""
    hooks = (module._state_dict_hooks, module._state_dict_pre_hooks, module._load_state_dict_pre_hooks, module._load_state_dict_post_hooks)
    return "; its hooks on the state_dict are left behind" if any(hooks) else ""


def _why(module: nn.Module) -> str:
    analog_layer = layer_for(type(module))
    if analog_layer is not None and _owns(module, analog_layer.weight_names(module)):
        return _bound(module)
    if analog_layer is not None:
        return "its weight is computed from other parameters by a hook; make it a parameter first (torch.nn.utils.prune.remove)"
    analog = [digital for digital in LAYERS if isinstance(module, digital)]
    if analog:
        return f"a subclass of {analog[0].__name__}, which may compute something else; register it in ohmlet.nn.LAYERS"
    return f"no analog layer exists for {type(module).__name__}; a rule 'digital' states that this is meant"


def _refuse_tied(model: nn.Module, folding: Iterable[AnalogLayer]) -> None:
    """Raise ConversionError when learned scales would go into a weight that another module reads without them."""
    owners: dict[int, set[str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(name or "(model)")
    for layer in folding:
        if all(array.learned_scales is None for array in layer.arrays().values()):
            continue
        for label, parameter in layer.named_parameters(recurse=False):
            others = sorted(owners.get(id(parameter), set()))
            if len(others) > 1 and parameter.ndim > 1:
                raise ConversionError(
                    f"layers {', '.join(others)} share one {label}, and learned scales of one of them cannot go into it; "
                    "untie them first, or train without mapping.learned_scales"
                )


def _close_bypass(module: nn.Module) -> None:
    """Switch off the inference path of torch's encoder layer, which hands the raw weights of its linear layers to a fused kernel."""
    if isinstance(module, nn.TransformerEncoderLayer):
        module.activation_relu_or_gelu = 0
    if isinstance(module, nn.TransformerEncoder):
        module.enable_nested_tensor = module.use_nested_tensor = False


def _refuse(rows: list[Row], parsed: list[tuple[Any, str, Any]], used: set[int], strict: bool) -> None:
    names = [row.name for row in rows]
    for index, (key, words, _) in enumerate(parsed):
        if index not in used:
            hint = did_you_mean(key, names) if isinstance(key, str) and not key.startswith("type:") else ""
            raise ConversionError(f"{words} matches no module that an earlier rule leaves; {hint}".rstrip("; "))
    missing = [row for row in rows if row.kind == "missing"]
    if strict and missing:
        listed = "; ".join(f"{row.name or '(model)'} ({row.module}): {row.reason}" for row in missing)
        raise ConversionError(f"{len(missing)} modules with matrices would stay digital: {listed}")
    if not any(row.kind == "analog" for row in rows):
        known = ", ".join(sorted(digital.__name__ for digital in LAYERS))
        raise ConversionError(f"nothing became analog: the model has no {known} that the rules leave to crossbars")


def analog_layers(model: nn.Module, purpose: str) -> dict[str, AnalogLayer]:
    """Return the analog layers of a model by name; raises OrderError when there is none."""
    if not isinstance(model, nn.Module):
        raise OrderError(f"{purpose} takes the model that was trained, a torch.nn.Module, not a {type(model).__name__}")
    found = {name: module for name, module in model.named_modules() if isinstance(module, AnalogLayer)}
    if not found:
        raise OrderError(f"{purpose} needs a model with analog layers; ohmlet.convert(model, config) makes them")
    if any(isinstance(module, AnalogArray) and module.read is not None for module in model.modules()):
        raise OrderError(f"{purpose} takes the model that was trained, not a chip made from it")
    return found


def retarget(model: nn.Module, config: Any) -> None:
    """Give every analog layer of a model other hardware, in place; weights and biases stay the same parameters.

    `config` is an AnalogConfig, a preset's name, a mapping, or dotted changes to each layer's own config
    ({"tile.forward.adc.bits": 6}). Where the new crossbars have the same state (learned input ranges), it is kept, as are noise
    counters; the seed stays unless the config states one. Learned scales that the new crossbars cannot keep, as they are cut otherwise
    or have none, are multiplied into the weights. Raises OrderError for a model without analog layers, ConfigError for a config that
    does not make sense, ConversionError for learned scales that would go into a weight which other layers share.
    """
    changes = config if isinstance(config, Mapping) and config and all("." in str(path) for path in config) else None
    layers = list(analog_layers(model, "retarget").values())
    configs = [layer.config.override(changes) if changes is not None else AnalogConfig.parse(config) for layer in layers]
    _refuse_tied(model, [layer for layer, new in zip(layers, configs, strict=True) if not layer.keeps_scales(new)])
    for layer, its_config in zip(layers, configs, strict=True):
        layer.retarget(its_config)


def to_digital(model: nn.Module, keep: Iterable[str] = ()) -> nn.Module:
    """Replace a model's analog layers by digital ones with the same parameters, in place, and return the model.

    `keep` holds name patterns, as in the rules of `convert`, of layers that stay analog. Learned scales are multiplied into the weights.
    Raises OrderError for a model without analog layers, ConversionError for a pattern that matches none of them and for learned scales
    that would go into a weight which other layers share.
    """
    layers, patterns = analog_layers(model, "to_digital"), [keep] if isinstance(keep, str) else list(keep)
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in layers):
            raise ConversionError(f"keep={pattern!r} matches no analog layer; {did_you_mean(pattern, list(layers))}".rstrip("; "))
    digital = {name: layer for name, layer in layers.items() if not any(_matches(name, pattern) for pattern in patterns)}
    _refuse_tied(model, digital.values())
    made: dict[nn.Module, nn.Module] = {layer: layer.to_digital() for layer in digital.values()}
    _replace(model, made)
    return made.get(model, model)
