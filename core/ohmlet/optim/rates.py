"""The learning rates that a plain optimizer of torch's would step a chain of layers with, where it does nothing else to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import optimizer as torch_optimizer

from ohmlet.nn.chain import Chain
from ohmlet.nn.layer import changes
from ohmlet.nn.steps import count_step, stepped_by
from ohmlet.optim.attach import learn, once, take
from ohmlet.optim.sgd import AnalogSGD

__all__ = ["Rates"]

OURS = (learn, once, take)
PLAIN = {"momentum": 0, "weight_decay": 0, "nesterov": False, "maximize": False, "differentiable": False}


class Rates:
    """What an optimizer does to the parameters of a chain: plain gradient descent, and the layers' updates in memory."""

    def __init__(self, optimizer: torch.optim.Optimizer, chain: Chain) -> None:
        self.optimizer, self.chain = optimizer, chain
        self.seen: list[Any] = []
        self.alive: list[Any] = []
        """All parameters that were seen by their ids, so that no other has them."""
        self.groups: list[tuple[int, int, int]] | None = None
        """Of each layer, the parameter groups of its anchor, its bias and its learned scale; -1 for what is not learned."""
        self.parameters: list[nn.Parameter] = []
        """Those of the layers that are learned."""
        self.stepped: list[nn.Parameter] = []
        """All that the optimizer steps."""
        self.lrs: list[float] = []
        self.count = False
        """Whether the optimizer's steps count as steps of the layers."""

    def now(self) -> list[tuple[float, float, float]] | None:
        """Return the rates of each layer's cells, bias and learned scales, or None where the optimizer does anything else."""
        optimizer = self.optimizer
        if type(optimizer) not in (torch.optim.SGD, AnalogSGD) or not _unchanged(optimizer) or not _only_ours(optimizer):
            return None
        groups = optimizer.param_groups
        for group in groups:
            if group["fused"]:
                return None
            for name, value in PLAIN.items():
                if group[name] != value:
                    return None
        # By identity: another parameter of the same layer, as load_state_dict(assign=True) leaves, may be unknown to the optimizer.
        seen: list[Any] = [changes(), *map(id, self.chain.parameters())]
        for group in groups:
            seen += [(id(each), each.requires_grad) for each in group["params"]]
            seen.append(None)
        if seen != self.seen:
            self.groups, self.seen = self._grouped(), seen
            self.alive = [*self.chain.parameters(), *(each for group in groups for each in group["params"])]
        if self.groups is None:
            return None
        for parameter in self.parameters:
            if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
                return None
        lrs = []
        for group in groups:
            if type(group["lr"]) not in (float, int):
                return None
            lrs.append(float(group["lr"]))
        self.lrs = lrs
        return [(lrs[cells], lrs[bias] if bias >= 0 else 0.0, lrs[scale] if scale >= 0 else 0.0) for cells, bias, scale in self.groups]

    def graded(self) -> bool:
        """Whether anything that the optimizer steps has a gradient."""
        return any([each.grad is not None for each in self.stepped])  # noqa: C419  (a list is the quicker to make)

    def stands(self) -> bool:
        """Whether the rates are those that `now` has returned."""
        return [group["lr"] for group in self.optimizer.param_groups] == self.lrs

    def _grouped(self) -> list[tuple[int, int, int]] | None:
        """Return the groups of the layers' parameters if the optimizer steps all of them, and no other layer on crossbars."""
        if type(self.optimizer) is torch.optim.SGD and not getattr(self.optimizer, "learns_in_memory", False):
            return None
        groups = self.optimizer.param_groups
        where = {id(each): index for index, group in enumerate(groups) for each in group["params"]}
        found: list[tuple[int, int, int]] = []
        self.parameters, counted = [], set()
        for member, array in zip(self.chain.members, self.chain.arrays(), strict=True):
            in_situ, scales = array.in_situ, array.learned_scales
            learned = () if scales is None else tuple(scales)
            if in_situ is None or not in_situ.anchor.requires_grad or len(list(array.parameters())) != 1 + len(learned):
                return None
            parts = (in_situ.anchor, member.layer._parameters.get("bias"), learned[0] if learned else None)
            stepping = [each for each in parts if each is not None and each.requires_grad]
            if not all(id(each) in where for each in stepping):
                return None
            self.parameters += stepping
            found.append(tuple(where[id(each)] if each is not None and each.requires_grad else -1 for each in parts))  # type: ignore[arg-type]
            counted.add(id(member.layer._parameters.get("weight")) in where or any(id(each) in where for each in learned))
        # A bias that two layers share would be stepped twice.
        once_each = len({id(each) for each in self.parameters}) == len(self.parameters)
        layers = {id(reference()) for reference, _ in stepped_by(self.optimizer)[1]}
        if not once_each or len(counted) > 1 or layers != {id(member.layer) for member in self.chain.members}:
            return None
        self.count = counted == {True}
        self.stepped = [each for group in groups for each in group["params"] if each.requires_grad]
        for array in self.chain.arrays():
            array.in_situ.attached = True
        return found


def _unchanged(optimizer: torch.optim.Optimizer) -> bool:
    """Whether nobody has given an optimizer another `step` or `zero_grad`, apart from a scheduler and `attach`."""
    own = optimizer.__dict__
    step, zero_grad = own.get("step"), own.get("zero_grad")
    # Schedulers count with a function around the class's own; so may others, whose function has their mark copied.
    scheduled = step is None or (hasattr(step, "_wrapped_by_lr_sched") and step.__wrapped__ is type(optimizer).step)
    return scheduled and (zero_grad is None or hasattr(zero_grad, "is_ohmlets"))


def _only_ours(optimizer: torch.optim.Optimizer) -> bool:
    """Whether nobody else wants to know of an optimizer's steps."""
    everywhere = torch_optimizer._global_optimizer_post_hooks
    if torch_optimizer._global_optimizer_pre_hooks or len(everywhere) != 1 or next(iter(everywhere.values())) is not count_step:
        return False
    for hooks in (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks):
        for hook in hooks.values():
            if hook not in OURS:
                return False
    return True
