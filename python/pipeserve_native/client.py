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
    """Files for a TLS connection. As in MindSpore Serving.

    Args:
        certificate: PEM file with this client's certificate; with ``private_key`` or not at all.
        private_key: PEM file with its key.
        custom_ca: PEM file with the certificates that the server's is checked against; None takes
            those of the system.

    Raises:
        InvalidArgumentError: One of a pair alone, an argument of another type, or an empty name.
    """

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
        """Waits for the reply, and returns what ``infer`` returns.

        Raises:
            Error: The transport's error, which ``infer`` returns: UnavailableError when there is no
                server, ResourceExhaustedError for a message that is too large, and so on.
        """
        instances, errors = self._pending.result()
        return _merge(instances, errors, self._count)


class Client:
    """A client of one method or pipeline, over gRPC. Thread-safe. As in MindSpore Serving.

    >>> client = Client("localhost:5500", "matmul", "predict")
    >>> client.infer({"x": np.ones((128, 96), np.float32)})

    Args:
        address: ``host:port`` or ``unix:<path>`` of the server. It need not run yet.
        servable_name: Name of the servable.
        method_name: Name of a pipeline or, in a servable without pipelines, a method.
        version_number: Version of the servable; 0 is the newest that runs, or the one that
            the server was switched to.
        ssl_config: Files for TLS; None is none.

    Raises:
        InvalidArgumentError: An argument of another type or out of range, files that cannot be
            read.
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
        """Sends the instances and does not wait.

        Args:
            instances: As for ``infer``. Arrays must not be written to until the reply is there.

        Raises:
            InvalidArgumentError: Instances, names or values of another type.
        """
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
        """Sends the instances and waits for the results. There is no deadline but the server's.

        Args:
            instances: A dict of input name to value, or a list or tuple of them. A value is a numpy
                array or scalar of bool, int, uint or float16 to float64, a str or bytes, or a bool,
                int or float, which the server gets as an array of shape (1,) and bool, int64 or
                float64.

        Returns:
            Per instance a dict of output name to value, or ``{"error": text}``. A value is a
                read-only array, a str or bytes, or a list of these. An error of the whole request,
                of its only instance or of the transport is one ``{"error": text}`` and no list.

        Raises:
            InvalidArgumentError: Instances, names or values of another type.
        """
        pending = self.infer_async(instances)
        try:
            return pending.result()
        except Error as error:
            name = _CODE_NAMES.get(error.code, "unknown")
            return {"error": f"Grpc Error, ({error.code}, '{name}'), {error}"}
