"""Calls methods and pipelines of a server over gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeserve_native import _checks, _core, _lifetime
from pipeserve_native._errors import Error, InvalidArgumentError

__all__ = ["Client", "InferFuture", "SSLConfig"]

Instance = Mapping[str, Any]
Reply = list[dict[str, Any]] | dict[str, Any]

_CODE_NAMES = {
    1: "cancelled",
    2: "unknown",
    3: "invalid argument",
    4: "deadline exceeded",
    5: "not found",
    6: "already exists",
    7: "permission denied",
    8: "resource exhausted",
    9: "failed precondition",
    10: "aborted",
    11: "out of range",
    12: "unimplemented",
    13: "internal",
    14: "unavailable",
    15: "data loss",
    16: "unauthenticated",
}


class SSLConfig:
    """Files for a TLS connection: those of this client, both or neither, and the server's CA."""

    def __init__(
        self,
        certificate: str | None = None,
        private_key: str | None = None,
        custom_ca: str | None = None,
    ) -> None:
        if (certificate is None) != (private_key is None):
            raise InvalidArgumentError(
                "The certificate and private_key should be passed at the same time"
            )
        for name, value in (
            ("certificate", certificate),
            ("private_key", private_key),
            ("custom_ca", custom_ca),
        ):
            if value is not None:
                _checks.check_str(name, value)
        self.certificate = certificate
        self.private_key = private_key
        self.custom_ca = custom_ca

    def _options(self) -> _core.ClientSslOptions:
        return _core.ClientSslOptions(
            certificate_file=self.certificate or "",
            private_key_file=self.private_key or "",
            custom_ca_file=self.custom_ca or "",
        )


def _merge(instances: list[dict[str, Any]], errors: list[tuple[int, str]], count: int) -> Reply:
    """One dict per instance, or one ``{"error": text}`` for the whole request."""
    if len(errors) == 1 and errors[0][0] != 0:
        return {"error": errors[0][1]}
    if not errors:
        return instances
    if len(errors) != count or len(instances) != count:
        return {
            "error": f"error msg result size {len(errors)} not be 0, 1 or length of "
            f"instances {count}"
        }
    return [
        {"error": text} if code != 0 else instance
        for instance, (code, text) in zip(instances, errors, strict=True)
    ]


class InferFuture:
    """The reply of ``infer_async``, on its way."""

    def __init__(self, pending: _core.PendingReply, count: int) -> None:
        self._pending = pending
        self._count = count

    def result(self) -> Reply:
        """Waits for the reply. Raises the transport's error, where ``infer`` returns it."""
        instances, errors = self._pending.result()
        return _merge(instances, errors, self._count)


class Client:
    """A client of one method or pipeline. Thread-safe.

    >>> client = Client("localhost:5500", "matmul", "predict")
    >>> client.infer({"x": np.ones((128, 96), np.float32)})
    """

    def __init__(
        self,
        address: str,
        servable_name: str,
        method_name: str,
        version_number: int = 0,
        ssl_config: SSLConfig | None = None,
    ) -> None:
        _checks.check_str("address", address)
        _checks.check_str("servable_name", servable_name)
        _checks.check_str("method_name", method_name)
        if isinstance(version_number, bool):  # Accepted by clients, unlike anywhere else.
            version_number = int(version_number)
        _checks.check_int("version_number", version_number, 0)
        if ssl_config is not None and not isinstance(ssl_config, SSLConfig):
            raise InvalidArgumentError("The type of ssl_config should be type of SSLConfig")
        _lifetime.start_housekeeping()
        self._client = _core.Client(
            address=address,
            servable=servable_name,
            method=method_name,
            version=version_number,
            ssl=None if ssl_config is None else ssl_config._options(),
        )

    def infer_async(self, instances: Instance | Sequence[Instance]) -> InferFuture:
        """Sends the instances (a dict of input name to value, or several); does not wait."""
        if isinstance(instances, dict):
            instances = [instances]
        if not isinstance(instances, (list, tuple)):
            raise InvalidArgumentError("instance should be a map")
        for instance in instances:
            if not isinstance(instance, dict):
                raise InvalidArgumentError("instance should be a map")
            for name in instance:
                _checks.check_str("instance key", name)
        return InferFuture(self._client.infer(list(instances)), len(instances))

    def infer(self, instances: Instance | Sequence[Instance]) -> Reply:
        """The results: per instance a dict of output name to value, or ``{"error": text}``.

        An error of the whole request, or of its only instance, is one ``{"error": text}``.
        """
        pending = self.infer_async(instances)
        try:
            return pending.result()
        except Error as error:
            name = _CODE_NAMES.get(error.code, "unknown")
            return {"error": f"Grpc Error, ({error.code}, '{name}'), {error}"}
