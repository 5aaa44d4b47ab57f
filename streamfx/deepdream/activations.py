"""Activations of any network at named modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from streamfx.errors import unknown


class LayerActivations(nn.Module):
    """Wraps any network and returns the activations of named modules; stops once all of them have run."""

    def __init__(
        self, network: nn.Module, layers: Sequence[str], mean: Sequence[float], deviation: Sequence[float]
    ) -> None:
        super().__init__()
        modules = dict(network.named_modules())
        for layer in layers:
            if layer not in modules:
                raise unknown("layer", layer, modules)
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]  # would overwrite recorded activations
        self.network, self.layers = network, tuple(layers)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        activations: dict[str, Tensor] = {}
        modules = dict(self.network.named_modules())
        targets = {name: modules[name] for name in self.layers}
        run = record_activations(self.network, targets, activations, len(set(self.layers)))
        run((images - self.get_buffer("mean")) / self.get_buffer("deviation"))
        return {layer: activations[layer] for layer in self.layers}


class _AllRecorded(Exception):
    """All requested layers have been recorded."""


def record_activations(
    network: nn.Module, modules: dict[str, nn.Module], activations: dict[str, Tensor], limit: int | None
) -> Callable[[Tensor], None]:
    """A function that runs the network and stores the modules' outputs in `activations`, in order of execution.

    It stops after `limit` modules.
    """

    def hook_of(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            if isinstance(output, Tensor) and name not in activations:
                activations[name] = output
                if len(activations) == limit:
                    raise _AllRecorded
                return output.clone()  # the next module may modify it in place
            return output

        return hook

    def run(images: Tensor) -> None:
        hooks = [module.register_forward_hook(hook_of(name)) for name, module in modules.items()]
        try:
            network(images)
        except _AllRecorded:
            pass
        finally:
            for hook in hooks:
                hook.remove()

    return run
