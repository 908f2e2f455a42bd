"""Owns the virtual environment as such: made, checked, rebuilt, and locked while it changes."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.setup.errors import SetupError
from scripts.setup.pip_runs import Pip
from scripts.setup.stamps import Stamps


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment in `folder`, which need not exist yet."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def pip(self) -> Pip:
        return Pip(self.python, self.folder / "setup.log")

    @property
    def stamps(self) -> Stamps:
        return Stamps(self.folder / "jarvis-setup.json")

    @property
    def site_packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    def ensure(self) -> None:
        """Makes it, or makes it anew if its Python or pip does not work. Raises SetupError."""
        if self.site_packages.is_dir() and self.pip.works():
            return
        word = "repairing" if self.folder.exists() else "creating"
        print(f"{word} {self.folder.name} with Python {sys.version.split()[0]}", flush=True)
        command = [_base_python(), "-m", "venv", "--clear", str(self.folder)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise SetupError(_venv_problem(made.stdout + made.stderr))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One set-up at a time: the second waits for the first, and then finds it done."""
        path = self.folder.parent / ".cache" / "setup.lock"
        path.parent.mkdir(exist_ok=True)
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("waiting for another set-up to finish", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def require_space(folder: Path, needed_gb: float) -> None:
    """Raises SetupError if the disk has less."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < needed_gb:
        raise SetupError(
            f"{needed_gb:.1f} GB of disk space are needed in {folder} and {free_gb:.1f} GB are"
            " free: free some and run this again"
        )


def _base_python() -> str:
    """Not the environment's own: it is about to be cleared."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix, "bin", name)
    return str(base) if base.exists() else sys.executable


def _venv_problem(output: str) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if "ensurepip" in output:
        return f"this Python can't make environments: sudo apt-get install python{version}-venv"
    if "No space left" in output:
        return "the disk is full: free some space and run this again"
    lines = output.strip().splitlines() or ["no output"]
    return f"python -m venv failed: {lines[-1]}"
