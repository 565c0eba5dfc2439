"""TLS of the doors."""

from __future__ import annotations

from pipeserve_native import _checks, _core
from pipeserve_native._errors import InvalidArgumentError


class SSLConfig:
    """Files with which a door speaks TLS. As in MindSpore Serving.

    They are read when the door opens, and again when they change: new connections see the new ones
    within about a second, those that are open go on with what they began with.

    Args:
        certificate: PEM file with the server's certificate, followed by those of its issuers.
        private_key: PEM file with its key.
        custom_ca: PEM file with the certificates that clients are checked against. Used with
            ``verify_client`` alone, which needs it.
        verify_client: Only clients with a certificate get in.

    Raises:
        InvalidArgumentError: An argument of another type, or an empty name.
    """

    def __init__(
        self,
        certificate: str,
        private_key: str,
        custom_ca: str | None = None,
        verify_client: bool = False,
    ) -> None:
        self.certificate = _checks.check_str("certificate", certificate)
        self.private_key = _checks.check_str("private_key", private_key)
        self.verify_client = _checks.check_bool("verify_client", verify_client)
        self.custom_ca = custom_ca
        if verify_client:
            _checks.check_str("custom_ca", custom_ca)

    def _options(self) -> _core.SslOptions:
        return _core.SslOptions(
            certificate_file=self.certificate,
            private_key_file=self.private_key,
            custom_ca_file=(self.custom_ca or "") if self.verify_client else "",
            verify_client=self.verify_client,
        )


def ssl_options(config: SSLConfig | None, name: str = "ssl_config") -> _core.SslOptions | None:
    """The same for the core; None is none."""
    if config is None:
        return None
    if not isinstance(config, SSLConfig):
        raise InvalidArgumentError(f"The type of {name} should be type of SSLConfig")
    return config._options()
