"""Builds llama.cpp's own server and benchmarks, from the very source that our engine is built from.

With the compiler flags of our own build. Run it alone: python -m benchmarks.peers_build
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import places
from scripts.setup.accelerators import build_environment

SOURCE_VARIABLE = "BENCH_LLAMA_SOURCE"
PROGRAMS = ("llama-server", "llama-batched-bench", "llama-bench")
_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    # The programs find their libraries beside them, wherever the folder is moved.
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
)
_TAKEN = ("CMAKE_ARGS", "CFLAGS", "CXXFLAGS")


@dataclass(frozen=True, slots=True)
class Peers:
    """The built programs, in one folder with their libraries."""

    folder: Path

    def path(self, program: str) -> Path:
        """`program` is one of PROGRAMS."""
        return self.folder / "bin" / program

    @property
    def has_all(self) -> bool:
        return all(self.path(program).is_file() for program in PROGRAMS)


class PeersBuildError(Exception):
    """The programs could not be built; the message says where the log is."""


def built(source: Path | None = None) -> Peers:
    """Builds what is missing, or what was built with other flags. Raises PeersBuildError.

    `source` is an unpacked source distribution of llama-cpp-python, or its archive.
    """
    folder = places.peers_dir()
    flags = build_environment(places.accelerator(), os.environ)
    facts = {"version": places.llama_version(), **{name: flags[name] for name in _TAKEN}}
    record = folder / "build.json"
    if Peers(folder).has_all and _read(record) == facts:
        return Peers(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as draft:
        tree = _source_tree(source or _given_source(), Path(draft, "source"), folder / "build.log")
        _compile(tree / "vendor" / "llama.cpp", Path(draft, "build"), flags, folder / "build.log")
        shutil.rmtree(folder / "bin", ignore_errors=True)
        os.replace(Path(draft, "build", "bin"), folder / "bin")
    record.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return Peers(folder)


def _given_source() -> Path | None:
    given = os.environ.get(SOURCE_VARIABLE)
    return Path(given).expanduser() if given else None


def _read(record: Path) -> object:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _source_tree(given: Path | None, into: Path, log: Path) -> Path:
    """An unpacked source distribution: the one given, or the index's."""
    if given is not None and given.is_dir():
        return given
    archive = given or _downloaded(into, log)
    with tarfile.open(archive) as packed:
        packed.extractall(into, filter="data")
    return next(path for path in into.iterdir() if (path / "vendor" / "llama.cpp").is_dir())


def _downloaded(into: Path, log: Path) -> Path:
    into.mkdir(parents=True)
    wanted = f"llama-cpp-python=={places.llama_version()}"
    print(f"downloading the source of {wanted}", flush=True)
    options = ("--no-binary", "llama-cpp-python", "--no-deps", "--dest", str(into))
    _run([sys.executable, "-m", "pip", "download", *options, wanted], os.environ, log)
    return next(into.glob("*.tar.gz"))


def _compile(tree: Path, build: Path, flags: Mapping[str, str], log: Path) -> None:
    environ = {**os.environ, **flags}
    print(f"compiling {', '.join(PROGRAMS)}, which takes some minutes (log: {log})", flush=True)
    tools = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    environ["PATH"] = tools
    cmake = shutil.which("cmake", path=tools)
    if cmake is None:
        raise PeersBuildError("cmake was not found: ./run.sh bench installs it")
    generator = ("-G", "Ninja") if shutil.which("ninja", path=tools) else ()
    given = environ["CMAKE_ARGS"].split()
    _run([cmake, "-S", str(tree), "-B", str(build), *generator, *_OPTIONS, *given], environ, log)
    jobs = str(os.cpu_count() or 1)
    _run([cmake, "--build", str(build), "-j", jobs, "--target", *PROGRAMS], environ, log)


def _run(command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
    with log.open("a", encoding="utf-8") as output:
        output.write(f"\n$ {' '.join(command)}\n")
        output.flush()
        done = subprocess.run(
            command, env=dict(environ), stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        raise PeersBuildError(f"{Path(command[0]).name} failed (details: {log})")


def main(arguments: Sequence[str]) -> int:
    """Builds, and prints the folder."""
    flags = argparse.ArgumentParser(prog="python -m benchmarks.peers_build", description=__doc__)
    flags.add_argument(
        "--source", type=Path, help="an unpacked source distribution, or its archive"
    )
    try:
        peers = built(flags.parse_args(arguments).source)
    except PeersBuildError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(peers.folder / "bin")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
