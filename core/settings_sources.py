"""Owns where settings come from: flags, the environment, a `.env` file. Knows no setting's type."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from core.errors import ConfigurationError

PREFIX = "JARVIS_"
FOREIGN_VARIABLES = (
    "HF_TOKEN",
    "DEBUG",
    "LLAMA_LOG_LEVEL",
    "VLLM_LOGGING_LEVEL",
    "VLLM_BASE_URL",
    "VLLM_DEFAULT_MODEL",
    "VLLM_API_KEY",
    "VLLM_TIMEOUT_SECONDS",
    "VLLM_VERIFY_SSL",
    "VLLM_MAX_RETRIES",
)
_SECRET_VARIABLES = ("HF_TOKEN", "VLLM_API_KEY", "JARVIS_API_KEYS")
_FLAGS, _ENVIRONMENT = "the command line", "the environment"


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was written, and where."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """The value in force for each field that was given one, and what was misspelt, as lines."""

    given: Mapping[str, Given]
    problems: tuple[str, ...]

    @property
    def values(self) -> dict[str, str]:
        """By field name, for validation."""
        return {field: given.text for field, given in self.given.items()}

    def explain(self, field: str, reason: str) -> str:
        """A line that names the variable, its value, its source and what is allowed."""
        variable, given = variable_of(field), self.given[field]
        text = "(hidden)" if variable in _SECRET_VARIABLES else repr(given.text)
        allowed = reason.removeprefix("Value error, ").replace("Input should be", "allowed:")
        return f"{variable}={text} ({given.source}): {allowed}{_guess(given.text, allowed)}"


def variable_of(field: str) -> str:
    """The variable that sets a field."""
    name = field.upper()
    return name if name in FOREIGN_VARIABLES else PREFIX + name


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """In $XDG_CACHE_HOME, or in ~/.cache."""
    root = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "jarvis-llm-proxy"


def gather(
    fields: Sequence[str],
    flags: Mapping[str, str],
    environ: Mapping[str, str],
    env_file: Path | None,
) -> Gathered:
    """Merges the layers, the strongest last. Raises ConfigurationError for an unreadable file."""
    fields_of = {variable_of(field): field for field in fields}
    given = {"cache_dir": Given(str(default_cache_dir(environ)), "the default")}
    problems: list[str] = []
    for variable, found in _assignments(flags, environ, env_file):
        if variable not in fields_of:
            if variable.upper().startswith(PREFIX):
                problems.append(_misspelt(variable, found.source, tuple(fields_of)))
        elif found.text:
            given[fields_of[variable]] = found
    return Gathered(given, tuple(problems))


def _assignments(
    flags: Mapping[str, str], environ: Mapping[str, str], env_file: Path | None
) -> Iterator[tuple[str, Given]]:
    for source, layer in _layers(flags, environ, env_file):
        yield from ((variable, Given(text, source)) for variable, text in layer.items())


def _layers(
    flags: Mapping[str, str], environ: Mapping[str, str], env_file: Path | None
) -> Iterator[tuple[str, Mapping[str, str]]]:
    if env_file is not None:
        yield env_file.name, read_env_file(env_file)
    yield _ENVIRONMENT, environ
    yield _FLAGS, flags


def read_env_file(env_file: Path) -> dict[str, str]:
    """All variables in it. Raises ConfigurationError."""
    # Without interpolation, so that a token with a dollar sign stays what it is.
    try:
        values = dotenv_values(env_file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{env_file} can't be read: {error}") from error
    return {name: (text or "").strip() for name, text in values.items()}


def _misspelt(variable: str, source: str, known: Sequence[str]) -> str:
    near = get_close_matches(variable.upper(), known, n=1, cutoff=0.7)
    hint = f"did you mean {near[0]}?" if near else ".env.example lists those that exist"
    return f"{variable} ({source}) is no setting: {hint}"


def _guess(text: str, allowed: str) -> str:
    choices = [part for index, part in enumerate(allowed.split("'")) if index % 2]
    near = get_close_matches(text.lower(), choices, n=1)
    return f"; did you mean {near[0]}?" if near else ""
