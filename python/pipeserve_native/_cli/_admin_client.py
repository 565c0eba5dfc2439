"""What the commands for a running server say to its admin door."""

from __future__ import annotations

import argparse
import json
import urllib.parse
from typing import Any

from pipeserve_native._cli._common import UsageError

DEFAULT_ADDRESS = "127.0.0.1:1600"


def add_door(parser: argparse.ArgumentParser) -> None:
    """The flags that say where the door is."""
    parser.add_argument(
        "--admin-address",
        default=DEFAULT_ADDRESS,
        metavar="ADDRESS",
        help="of the server, as in 'pipeserve serve' (default: %(default)s)",
    )
    tls = parser.add_argument_group("TLS")
    tls.add_argument("--ssl-ca", metavar="FILE", help="the server must have a certificate of it")
    tls.add_argument("--ssl-certificate", metavar="FILE", help="what this command shows")
    tls.add_argument("--ssl-private-key", metavar="FILE")


class AdminError(RuntimeError):
    """What the server answered instead of doing it."""


class AdminClient:
    """Asks one server, over a connection for each question."""

    def __init__(self, args: argparse.Namespace) -> None:
        host, _, port = args.admin_address.rpartition(":")
        if not host or not port.isdigit():
            raise UsageError(f"--admin-address should be IP:PORT, but is {args.admin_address}")
        self._address = args.admin_address
        self._host, self._port = host.strip("[]"), int(port)
        self._files = (args.ssl_ca, args.ssl_certificate, args.ssl_private_key)
        if (args.ssl_certificate is None) != (args.ssl_private_key is None):
            raise UsageError("--ssl-certificate and --ssl-private-key go together")
        if args.ssl_certificate is not None and args.ssl_ca is None:
            raise UsageError("--ssl-certificate goes with --ssl-ca")

    def status(self) -> dict[str, Any]:
        """See ``server.status``."""
        return self._ask("GET", "/v2/status", None, timeout=10.0)

    def act(self, servable: str, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Has the server do something; returns when it is done, however long it takes."""
        path = f"/v2/repository/models/{urllib.parse.quote(servable, safe='')}/{action}"
        return self._ask("POST", path, json.dumps({"parameters": parameters}), timeout=None)

    def _ask(
        self, method: str, path: str, body: str | None, timeout: float | None
    ) -> dict[str, Any]:
        # Not at the top: it brings the system's TLS library into every user of the package.
        import http.client

        connection = self._connect(timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            parsed: dict[str, Any] = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise AdminError(
                f"no server answers at {self._address}: {error or type(error).__name__}. Is it "
                "running, with this --admin-address?"
            ) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise AdminError(str(parsed.get("error", text)))
        return parsed

    def _connect(self, timeout: float | None) -> Any:
        import http.client
        import ssl

        authority, certificate, key = self._files
        if authority is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        context = ssl.create_default_context(cafile=authority)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=context)
