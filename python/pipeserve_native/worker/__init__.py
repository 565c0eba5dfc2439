"""Deprecated: the names of ``pipeserve_native.server`` before version 1.3."""

from __future__ import annotations

from pipeserve_native import server
from pipeserve_native._deprecated import warn
from pipeserve_native.server import register
from pipeserve_native.worker import distributed

__all__ = ["distributed", "register", "start_servable_in_master", "stop"]


def start_servable_in_master(
    servable_directory: str,
    servable_name: str,
    version_number: int = 0,
    device_type: str | None = None,
    device_id: int = 0,
) -> None:
    """Use ``server.start_servables``."""
    warn("worker.start_servable_in_master", "server.start_servables")
    server.start_servables(
        server.ServableStartConfig(
            servable_directory, servable_name, device_id, version_number, device_type
        )
    )


def stop() -> None:
    """Use ``server.stop``."""
    warn("worker.stop", "server.stop")
    server.stop()
