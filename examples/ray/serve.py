"""Serves the demo on a Ray cluster until SIGINT or SIGTERM."""

import pathlib
import signal

import ray

from pipeserve_native.launch import ray as launch_ray

if __name__ == "__main__":
    ray.init(include_dashboard=False)  # On a cluster: address="auto".
    little = {"CPU": 0.1}  # So that all agents fit on a small machine; leave it out on a cluster.
    with launch_ray.serve(
        "demo/matmul",
        "demo/model",
        agents_per_host=8,  # On two machines: 4.
        agent_resources=little,
        server_resources=little,
    ) as deployment:
        pathlib.Path("address").write_text(deployment.address)
        print(f"Serving at {deployment.address}: {deployment.status()}", flush=True)
        signal.pause()  # The signal ends the block, which stops the deployment.
