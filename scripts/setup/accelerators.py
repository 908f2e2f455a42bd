"""Owns what an accelerator needs of the machine and of a llama.cpp build. Installs nothing."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from scripts.setup.errors import SetupError


class Accelerator(StrEnum):
    """What the engines are built for."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    METAL = "metal"
    ROCM = "rocm"
    VULKAN = "vulkan"


_CMAKE_ARGS = {
    Accelerator.CPU: "",
    Accelerator.CUDA: "-DGGML_CUDA=on",
    Accelerator.METAL: "-DGGML_METAL=on",
    Accelerator.ROCM: "-DGGML_HIP=on",
    Accelerator.VULKAN: "-DGGML_VULKAN=on",
}
_BUILD_TOOLS = {
    Accelerator.CUDA: ("nvcc", "the CUDA toolkit"),
    Accelerator.ROCM: ("hipcc", "the ROCm development packages"),
    Accelerator.VULKAN: ("glslc", "the Vulkan SDK"),
}
_TOOL_FOLDERS = ("/usr/local/cuda/bin", "/opt/cuda/bin", "/opt/rocm/bin")
# Some virtual machines list AMX and then fault on its first instruction.
_WITHOUT_AMX = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")


def for_vllm(wanted: Accelerator) -> Accelerator:
    """vLLM is installed for CUDA or for the CPU."""
    found = detected() if wanted is Accelerator.AUTO else wanted
    return Accelerator.CUDA if found is Accelerator.CUDA else Accelerator.CPU


def for_llama(wanted: Accelerator) -> Accelerator:
    """As asked; on AUTO what is there, and the CPU where a GPU's build tools are missing."""
    if wanted is not Accelerator.AUTO:
        return wanted
    found = detected()
    return found if has_build_tool(found, os.environ) else Accelerator.CPU


def detected() -> Accelerator:
    """An NVIDIA driver, or Apple silicon, or neither."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return Accelerator.METAL
    has_nvidia = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi")
    return Accelerator.CUDA if has_nvidia else Accelerator.CPU


def has_build_tool(accelerator: Accelerator, environ: Mapping[str, str]) -> bool:
    """Whether the accelerator's own compiler is there, if it has one."""
    if accelerator not in _BUILD_TOOLS:
        return True
    return shutil.which(_BUILD_TOOLS[accelerator][0], path=_search_path(environ)) is not None


def build_environment(accelerator: Accelerator, environ: Mapping[str, str]) -> dict[str, str]:
    """What the build reads, on top of what is set already. Raises SetupError for a missing tool."""
    compiler = _compiler(environ)
    if not has_build_tool(accelerator, environ):
        tool, package = _BUILD_TOOLS[accelerator]
        raise SetupError(
            f"JARVIS_ACCELERATOR={accelerator} needs {tool}, which was not found: install"
            f" {package}, or set JARVIS_ACCELERATOR=cpu"
        )
    flags = _machine_flags(compiler)
    return {
        "CMAKE_ARGS": _joined(environ.get("CMAKE_ARGS"), _CMAKE_ARGS[accelerator]),
        "CFLAGS": _joined(environ.get("CFLAGS"), flags),
        "CXXFLAGS": _joined(environ.get("CXXFLAGS"), flags),
        "PATH": _search_path(environ),
    }


def _search_path(environ: Mapping[str, str]) -> str:
    return os.pathsep.join((environ.get("PATH", os.defpath), *_TOOL_FOLDERS))


def _compiler(environ: Mapping[str, str]) -> str:
    path = _search_path(environ)
    c = _first(path, environ.get("CC"), "cc", "gcc", "clang")
    cxx = _first(path, environ.get("CXX"), "c++", "g++", "clang++")
    if c is None or cxx is None:
        remedy = "xcode-select --install" if sys.platform == "darwin" else _linux_remedy()
        raise SetupError(f"llama.cpp is compiled here and no C/C++ compiler was found: {remedy}")
    return c


def _linux_remedy() -> str:
    if shutil.which("apt-get"):
        return "sudo apt-get install build-essential"
    if shutil.which("dnf"):
        return "sudo dnf install gcc-c++ make"
    return "install gcc and g++ with your system's package manager"


def _first(path: str, *names: str | None) -> str | None:
    commands = (shlex.split(name)[0] for name in names if name)
    found = (shutil.which(name, path=path) for name in commands)
    return next((command for command in found if command), None)


def _machine_flags(compiler: str) -> str:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ""
    trial = [compiler, *_WITHOUT_AMX, "-x", "c", "-E", os.devnull, "-o", os.devnull]
    knows = subprocess.run(trial, capture_output=True, check=False).returncode == 0
    return " ".join(_WITHOUT_AMX) if knows else ""


def _joined(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)
