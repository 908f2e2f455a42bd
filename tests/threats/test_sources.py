"""What our own code may not do at all, whatever is asked of it: run text, unpickle, start a shell,
follow redirects, listen anywhere else.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.engines import ROOT
from tests.threats.conftest import EngineTarget

# Thousands of files are read.
pytestmark = pytest.mark.timeout(60)

OURS = ("core", "chat_formats", "backends", "serving", "api", "jarvis", "hosting")


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in [ROOT / "main.py", *(p for name in OURS for p in (ROOT / name).rglob("*.py"))]:
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def modules(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def keywords() -> Iterator[tuple[str, ast.keyword]]:
    """Of every call, with its file."""
    for where, tree in trees():
        for _, call in calls(tree):
            yield from ((where, keyword) for keyword in call.keywords)


def test_cve_2025_9141_no_text_is_run_as_a_program() -> None:
    for where, tree in trees():
        for name, _ in calls(tree):
            assert name not in ("eval", "exec", "compile", "__import__"), f"{where}: {name}"
            assert not name.endswith("literal_eval"), f"{where}: {name}"


def test_cve_2025_62164_nothing_is_unpickled() -> None:
    for where, tree in trees():
        assert not modules(tree) & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}, where
        for name, call in calls(tree):
            assert name not in ("torch.load", "numpy.load", "np.load"), where
            assert not name.endswith("joblib.load"), where
            for keyword in call.keywords:
                is_true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                assert keyword.arg != "allow_pickle" or not is_true, where


def test_ghsa_h3rc_6mm3_gc2m_no_code_of_a_model_is_trusted() -> None:
    for where, keyword in keywords():
        is_other = keyword.arg != "trust_remote_code"
        assert is_other or ast.unparse(keyword.value) == "False", where


def test_cve_2024_2029_no_shell_is_started() -> None:
    for where, tree in trees():
        for name, call in calls(tree):
            assert name not in ("os.system", "os.popen", "subprocess.getoutput"), where
            assert not name.endswith("create_subprocess_shell"), where
            assert "shell" not in {keyword.arg for keyword in call.keywords}, where


def test_ghsa_3mj3_57v2_4636_no_redirect_is_followed() -> None:
    for where, keyword in keywords():
        is_other = keyword.arg not in ("follow_redirects", "allow_redirects")
        assert is_other or ast.unparse(keyword.value) == "False", where


def test_cve_2025_59425_keys_are_compared_in_constant_time() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "api/access").glob("*.py")))
    assert "hmac.compare_digest" in source


def test_ghsa_5mg7_485q_xm76_every_dependency_has_one_version() -> None:
    for path in ROOT.glob("requirements-*.txt"):
        for line in path.read_text().splitlines():
            if line and not line.startswith(("#", "-")):
                assert "==" in line or " @ " in line, f"{path.name}: {line}"


@pytest.mark.engine
@pytest.mark.asyncio(loop_scope="session")
async def test_cve_2025_30202_an_engine_listens_on_no_address_of_others(
    engine_target: EngineTarget,
) -> None:
    """Its processes may talk over sockets of this machine, and over nothing that others reach."""
    await engine_target.chat()
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        for each in process.net_connections(kind="inet"):
            if each.status == psutil.CONN_LISTEN:
                assert each.laddr.ip in ("127.0.0.1", "::1"), f"{process.name()} {each}"


def test_the_table_of_threats_names_tests_that_are_there() -> None:
    named = {
        cell
        for line in (ROOT / "docs" / "threats.md").read_text().splitlines()
        for cell in line.split("`")
        if cell.startswith("test_")
    }
    there = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(Path(path).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert named
    assert not named - there
