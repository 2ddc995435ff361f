"""Adamax and the learning rate on a plateau, as torch's own, number by number.

torch's classes import its compiler, which nothing here uses: a second of start and 75 MB in every worker of a study.
State and JSON of both are laid out as torch's are, so that training files stay what they were.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.adamax import adamax

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
#: A value counts as better from this share of the best on; a smaller change of the learning rate is none.
_THRESHOLD, _SMALLEST_CHANGE = 1e-4, 1e-8


class HasState(Protocol):
    """An optimiser, of torch or of this module."""

    def state_dict(self) -> dict[str, Any]:
        """Return parameter groups, and the tensors of each parameter."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Bring back what `state_dict` returned."""


class Adamax:
    """Adamax of Kingma and Ba, without weight decay.

    Attributes
    ----------
    parameters
        What is optimised.
    learning_rate
        The rate of the next step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        #: Of each parameter: steps taken, mean of the gradient, and its largest size, which decays.
        self._state = {
            "step": [torch.zeros(()) for _ in self.parameters],
            "exp_avg": [torch.zeros_like(weight) for weight in self.parameters],
            "exp_inf": [torch.zeros_like(weight) for weight in self.parameters],
        }

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameters, as torch's scaling of the loss asks for them."""
        return [{"params": self.parameters}]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for weight in self.parameters:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change every parameter that has a gradient."""
        used = [index for index, weight in enumerate(self.parameters) if weight.grad is not None]
        gradients: list[Tensor] = [weight.grad for weight in self.parameters if weight.grad is not None]
        steps, means, sizes = ([values[index] for index in used] for values in self._state.values())
        adamax(
            [self.parameters[index] for index in used], gradients, means, sizes, steps,
            eps=_EPSILON, beta1=_BETAS[0], beta2=_BETAS[1], lr=self.learning_rate, weight_decay=0.0,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return learning rate and state of each parameter; the tensors are those in use."""
        indices = list(range(len(self.parameters)))
        group = {"lr": self.learning_rate, "betas": list(_BETAS), "eps": _EPSILON, "weight_decay": 0, "params": indices}
        state = {index: {name: values[index] for name, values in self._state.items()} for index in indices}
        return {"state": state, "param_groups": [group]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Bring back what `state_dict` returned, of this class or of torch's."""
        self.learning_rate = float(state["param_groups"][0]["lr"])
        for index, named in state["state"].items():
            for name, tensor in named.items():
                self._state[name][index].copy_(tensor)


class Plateau:
    """Lowers the learning rate where a value has not become better for more than so many epochs.

    Attributes
    ----------
    best, waited
        The best value so far, and the epochs since.
    """

    def __init__(self, optimiser: Adamax, *, factor: float, patience: int, smallest_rate: float) -> None:
        self._optimiser = optimiser
        self._factor, self._patience, self._smallest_rate = factor, patience, smallest_rate
        self.best, self.waited = -math.inf, 0

    def step(self, value: float) -> None:
        """Note the value of an epoch; larger is better."""
        is_better = value > self.best * (1 + _THRESHOLD)
        self.best, self.waited = (value, 0) if is_better else (self.best, self.waited + 1)
        if self.waited > self._patience:
            self.waited = 0
            lower = max(self._optimiser.learning_rate * self._factor, self._smallest_rate)
            if self._optimiser.learning_rate - lower > _SMALLEST_CHANGE:
                self._optimiser.learning_rate = lower
