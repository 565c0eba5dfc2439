"""A pipeline over graphs that two stages of two agents run together."""

from typing import Any

from pipeserve_native.server import distributed, register
from pipeserve_native.server.register import PipelineServable

distributed.declare_servable(rank_size=4, stage_size=2, with_batch_dim=False)


@register.register_method(output_names=["y"])
def embed(x: Any) -> Any:
    """The first file that each agent has."""
    y = register.call_servable(x, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def score(x: Any) -> Any:
    """The second file, which embeds once more."""
    y = register.call_servable(x, subgraph=1)
    return y


embed_graph = PipelineServable(servable_name="layers", method="embed")
score_graph = PipelineServable(servable_name="layers", method="score")


@register.register_pipeline(output_names=["scores"])
def predict(x: Any) -> Any:
    """Embeds what it is given, and scores that."""
    return score_graph.run(embed_graph.run(x))
