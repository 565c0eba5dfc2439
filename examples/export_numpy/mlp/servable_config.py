"""The same for both versions."""

from typing import Any

from pipeserve_native.server import register

register.declare_servable("mlp.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["y"])
def predict(x: Any) -> Any:
    """Logits, a row for each of x."""
    y = register.call_servable(x)
    return y
