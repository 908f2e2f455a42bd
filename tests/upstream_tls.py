"""Owns certificates of test servers: an authority that nobody trusts, and what it vouches for."""

import ssl
from pathlib import Path

import trustme

from tests.faulty_upstream import LOOPBACK


class TestAuthority:
    """`ca_file` is what a client needs to trust its servers."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca_file))

    def server_context(self, host: str = LOOPBACK, alpn: str = "http/1.1") -> ssl.SSLContext:
        """For a server that says it is `host`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(host).configure_cert(context)
        context.set_alpn_protocols([alpn])
        return context
