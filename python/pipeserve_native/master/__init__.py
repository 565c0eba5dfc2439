"""Deprecated: the names of ``pipeserve_native.server`` before version 1.3."""

from __future__ import annotations

from pipeserve_native import _checks, server
from pipeserve_native._deprecated import warn
from pipeserve_native.server import SSLConfig
from pipeserve_native.server.master import context

__all__ = ["context", "start_grpc_server", "start_restful_server", "stop"]


def start_grpc_server(
    ip: str = "127.0.0.1",
    grpc_port: int = 5500,
    max_msg_mb_size: int = 100,
    ssl_config: SSLConfig | None = None,
) -> None:
    """Use ``server.start_grpc_server``."""
    warn("master.start_grpc_server", "server.start_grpc_server")
    _checks.check_port("grpc_port", grpc_port)
    server.start_grpc_server(
        f"{_checks.check_str('ip', ip)}:{grpc_port}", max_msg_mb_size, ssl_config
    )


def start_restful_server(
    ip: str = "127.0.0.1",
    restful_port: int = 5900,
    max_msg_mb_size: int = 100,
    ssl_config: SSLConfig | None = None,
) -> None:
    """Use ``server.start_restful_server``."""
    warn("master.start_restful_server", "server.start_restful_server")
    _checks.check_port("restful_port", restful_port)
    server.start_restful_server(
        f"{_checks.check_str('ip', ip)}:{restful_port}", max_msg_mb_size, ssl_config
    )


def stop() -> None:
    """Use ``server.stop``."""
    warn("master.stop", "server.stop")
    server.stop()
