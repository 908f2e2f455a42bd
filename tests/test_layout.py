"""The limits of the code's shape: who imports whom, how long files and functions may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Thousands of files are read.
pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).resolve().parents[1]
OURS = (
    "core",
    "chat_formats",
    "backends",
    "serving",
    "api",
    "hosting",
    "jarvis",
    "scripts",
    "benchmarks",
    "parity",
    "soak",
)
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS, MAX_NESTING = 400, 60, 5, 3
ALLOWED = {
    "core": {"core"},
    "chat_formats": {"core", "chat_formats"},
    "backends": {"core", "backends"},
    "serving": {
        "core",
        "chat_formats",
        "backends.base",
        "backends.embedding",
        "backends.upstream",
        "serving",
    },
    "api": {"core", "serving", "api", "backends.upstream"},
    "hosting": {"core", "hosting"},
    "jarvis": {"core", "chat_formats", "backends", "serving", "jarvis"},
    "scripts": {"core", "chat_formats", "backends.embedding_conversion", "scripts"},
    "parity": {"core", "benchmarks.servers", "parity"},
    "soak": {"core", "benchmarks", "soak"},
    "benchmarks": {
        "core",
        "backends.conversion_listener",
        "backends.vllm_engine",
        "scripts",
        "benchmarks",
    },
}
NESTING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)
LLAMA_BINDINGS = {"backends/llama/bindings.py", "backends/llama/embedding_bindings.py"}
FORBIDDEN_WORDS = ("manager", "helper", "util", "common", "misc")


def sources() -> list[Path]:
    folders = [path for name in OURS for path in (ROOT / name).rglob("*.py")]
    tests = list((ROOT / "tests").rglob("*.py"))
    return [ROOT / "main.py", *folders, *tests]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def nesting(node: ast.AST, *, is_elif: bool = False) -> int:
    """How deep the deepest statement lies; an elif is as deep as its if."""
    own = int(isinstance(node, NESTING) and not is_elif)
    elifs = node.orelse if isinstance(node, ast.If) and len(node.orelse) == 1 else []
    inner = [
        nesting(child, is_elif=child in elifs and isinstance(child, ast.If))
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    return own + max(inner, default=0)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def is_within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_functions_and_names_keep_the_limits(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= MAX_FILE
    assert ast.get_docstring(tree), "a file says what it owns"
    assert not any(word in path.stem for word in FORBIDDEN_WORDS)
    for function in functions(tree):
        length = (function.end_lineno or 0) - function.lineno + 1
        arguments = (*function.args.posonlyargs, *function.args.args)
        count = len([a for a in arguments if a.arg not in ("self", "cls")])
        assert length <= MAX_FUNCTION, f"{function.name} has {length} lines"
        assert count <= MAX_PARAMETERS or "tests" in path.parts, f"{function.name}: {count}"
        deepest = max((nesting(child) for child in function.body), default=0)
        assert deepest <= MAX_NESTING, f"{function.name} nests {deepest} deep"


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_flow_one_way(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for module in imported(ast.parse(path.read_text())):
            is_ours = module.split(".")[0] in (*OURS, "main", "tests")
            assert not is_ours or is_within(module, ALLOWED[folder]), f"{path.name}: {module}"


def test_engines_are_imported_in_their_own_places_alone() -> None:
    for path in (p for name in OURS for p in (ROOT / name).rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        for module in imported(ast.parse(path.read_text())):
            library = module.split(".")[0]
            assert library != "llama_cpp" or where in LLAMA_BINDINGS, where
            assert library != "vllm" or where.startswith("backends/vllm_engine/"), where


def test_no_folder_or_file_shadows_an_engine() -> None:
    names = {path.stem for path in sources()} | {p.name for p in ROOT.iterdir()}
    assert not names & {"llama_cpp", "vllm"}
