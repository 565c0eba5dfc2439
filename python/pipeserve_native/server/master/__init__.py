"""Limits of the server."""

from pipeserve_native.server.master import context

__all__ = ["context"]
