"""Starts this machine's eight agents, each with its shard of both graphs."""

from pipeserve_native.server import distributed

if __name__ == "__main__":
    shards = [f"model/device{rank}" for rank in range(8)]
    distributed.startup_agents(
        distributed_address="127.0.0.1:6200",
        model_files=[[f"{shard}/begin.mindir", f"{shard}/step.mindir"] for shard in shards],
        group_config_files=[[f"{shard}/group_config.pb"] for shard in shards],
        agent_start_port=7000,
    )
