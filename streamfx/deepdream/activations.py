"""Any network's activations at named modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from streamfx.errors import unknown


class Watched(nn.Module):
    """A network of any make, watched at named modules; it stops when all of them have spoken."""

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
                module.inplace = False  # type: ignore[assignment]  # what was seen must stay as it was seen
        self.network, self.layers = network, tuple(layers)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}
        modules = dict(self.network.named_modules())
        watched = watch(self.network, {name: modules[name] for name in self.layers}, seen, len(set(self.layers)))
        watched((images - self.get_buffer("mean")) / self.get_buffer("deviation"))
        return {layer: seen[layer] for layer in self.layers}


class _Enough(Exception):
    """All layers asked for have been seen."""


def watch(
    network: nn.Module, modules: dict[str, nn.Module], seen: dict[str, Tensor], enough: int | None
) -> Callable[[Tensor], None]:
    """A run of the network that puts what the modules give into `seen`, in the order in which they first do."""

    def hook_of(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, given: Any, output: Any) -> Any:
            if isinstance(output, Tensor) and name not in seen:
                seen[name] = output
                if len(seen) == enough:
                    raise _Enough
                return output.clone()  # who comes next may write into it
            return output

        return hook

    def run(images: Tensor) -> None:
        hooks = [module.register_forward_hook(hook_of(name)) for name, module in modules.items()]
        try:
            network(images)
        except _Enough:
            pass
        finally:
            for hook in hooks:
                hook.remove()

    return run
