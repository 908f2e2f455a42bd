"""A certificate of this run's own authority, in files as the settings name them."""

import ssl
from datetime import datetime
from pathlib import Path

import trustme

from core.settings import Settings
from tests.engines import settings_for


class Files:
    """A certificate with its key, as the settings name them."""

    def __init__(self, folder: Path, not_after: datetime | None = None) -> None:
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("127.0.0.1", "localhost", not_after=not_after)
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(self.cert), append=True)
        issued.private_key_pem.write_to_path(str(self.key))

    @property
    def settings(self) -> Settings:
        return with_files(self.cert, self.key)

    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


def with_files(cert: Path | None, key: Path | None) -> Settings:
    given = {"JARVIS_TLS_CERT_FILE": cert, "JARVIS_TLS_KEY_FILE": key}
    flags = {name: str(path) for name, path in given.items() if path is not None}
    return settings_for("llama_cpp", **flags)
