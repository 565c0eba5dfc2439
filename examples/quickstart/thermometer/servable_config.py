"""One graph, and a method of one step that calls it."""

from typing import Any

from pipeserve_native.server import register

register.declare_servable("fahrenheit.mindir", "MindIR", with_batch_dim=False)


@register.register_method(output_names=["fahrenheit"])
def convert(celsius: Any) -> Any:
    """Degrees Celsius to degrees Fahrenheit."""
    fahrenheit = register.call_servable(celsius)
    return fahrenheit
