"""Owns finding the model that a name means: a file, a folder, or a download from a hub.

Knows no engine beyond which kind of files it reads. Blocks: call it from a worker thread.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, hf_hub_download, scan_cache_dir, snapshot_download
from huggingface_hub.errors import (
    CacheNotFound,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from core.errors import ModelLoadError, ModelNotFoundOnHub
from core.settings import InferenceEngine, Settings

_PROJECT = Path(__file__).resolve().parents[1]
_FOLDER_FILES = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.model",
    "*.txt",
    "*.tiktoken",
    "tokenizer*",
)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_NO_TEXT_MODEL = ("mmproj", "imatrix")
_INFO_TIMEOUT_S = 15.0
_HUB_ERRORS = (httpx2.HTTPError, EntryNotFoundError, HFValidationError, OfflineModeIsEnabled)
_LONGEST_LIST = 30


class ModelKind(StrEnum):
    """What lies at a path."""

    GGUF = "gguf"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model on this machine. `path` is the first file of a split GGUF, or the folder."""

    path: Path
    kind: ModelKind
    model_id: str


@dataclass(frozen=True, slots=True)
class Hub:
    """A model hub; None takes what huggingface_hub is set up with."""

    endpoint: str | None = None
    cache_dir: Path | None = None

    @property
    def address(self) -> str:
        return HfApi(endpoint=self.endpoint).endpoint


def resolve_model(
    settings: Settings, hub: Hub | None = None, variable: str = "JARVIS_MODEL_NAME"
) -> ResolvedModel:
    """Downloads with progress bars on stderr if need be, resuming what was interrupted.

    `variable` is what the errors say that names the model.

    Raises ModelLoadError, or ModelNotFoundOnHub where the hub is at fault.
    """
    path = _local_path(settings.model_name)
    if path is None:
        found = _Fetch(settings, hub or Hub(), variable).model()
    else:
        found = _local_model(path, settings)
    if found.kind is ModelKind.FOLDER and settings.inference_engine is InferenceEngine.LLAMA_CPP:
        name = found.path.name if path else settings.model_name
        raise ModelLoadError(
            f"{name} is a Hugging Face folder, which llama.cpp can't read: choose a GGUF of the"
            " model (often found as owner/repo-GGUF:Q4_K_M), convert it with"
            " llama.cpp's convert_hf_to_gguf.py, or set JARVIS_INFERENCE_ENGINE=vllm"
        )
    return found


def _local_path(name: str) -> Path | None:
    """As seen from the working directory, else from the project. None for what isn't there."""
    path = Path(name).expanduser()
    return next((p for p in (path, _PROJECT / path) if p.exists()), None)


def _local_model(path: Path, settings: Settings) -> ResolvedModel:
    if not path.is_dir():
        if not path.is_file() or path.suffix.lower() != ".gguf":
            raise ModelLoadError(f"{path.name} is neither a .gguf file nor a folder")
        return ResolvedModel(path.resolve(), ModelKind.GGUF, settings.served_model_id)
    if (path / "config.json").is_file():
        return ResolvedModel(path.resolve(), ModelKind.FOLDER, settings.served_model_id)
    files = sorted(file.name for file in path.glob("*.gguf"))
    if files:
        raise ModelLoadError(
            f"{path.name} is a folder of GGUF files: name one of {', '.join(files)}"
        )
    raise ModelLoadError(f"{path.name} has no config.json: it is no Hugging Face model folder")


class _Fetch:
    """One download: of the hub id that the settings name."""

    def __init__(self, settings: Settings, hub: Hub, variable: str) -> None:
        self._variable = variable
        self._name = settings.model_name
        self._repo, _, self._quant = self._name.partition(":")
        self._wants_gguf = bool(self._quant) or (
            settings.inference_engine is InferenceEngine.LLAMA_CPP
        )
        self._hub = hub
        self._is_offline = settings.offline
        self._token = settings.hf_token.get_secret_value() if settings.hf_token else None

    def model(self) -> ResolvedModel:
        if _HUB_ID.fullmatch(self._name) is None or self._name.lower().endswith(".gguf"):
            raise ModelLoadError(
                f"{self._variable}={self._name!r}: there is no such file or folder, and it is no"
                " hub id (owner/repo or owner/repo-GGUF:Q4_K_M)"
            )
        try:
            return self._fetch()
        except _HUB_ERRORS as error:
            raise ModelNotFoundOnHub(self._problem(error)) from error
        except OSError as error:
            raise ModelLoadError(f"{self._name} could not be stored: {error}") from error

    def _fetch(self) -> ResolvedModel:
        files = self._files()
        ggufs = [file for file in files if _is_text_gguf(file)]
        if self._quant or (self._wants_gguf and ggufs):
            return self._fetch_gguf(choose_gguf(self._name, self._quant, ggufs))
        if self._wants_gguf:
            raise ModelLoadError(
                f"{self._repo} has no GGUF file, and llama.cpp reads nothing else: look for"
                f" {self._repo}-GGUF, or set JARVIS_INFERENCE_ENGINE=vllm"
            )
        if "config.json" not in files:
            hint = f"; it has GGUF files: {_listed(ggufs)}" if ggufs else ""
            raise ModelNotFoundOnHub(f"{self._repo} has no config.json{hint}")
        return ResolvedModel(self._snapshot(_FOLDER_FILES), ModelKind.FOLDER, self._name)

    def _files(self) -> tuple[str, ...]:
        """What the hub lists; where it can't be reached, what an earlier download left."""
        try:
            info = HfApi(endpoint=self._hub.endpoint, token=self._token).model_info(
                self._repo, timeout=_INFO_TIMEOUT_S
            )
        except (httpx2.TransportError, OfflineModeIsEnabled):
            kept = self._kept_files()
            if not kept:
                raise
            return kept
        return tuple(sibling.rfilename for sibling in info.siblings or ())

    def _kept_files(self) -> tuple[str, ...]:
        try:
            repos = scan_cache_dir(self._hub.cache_dir).repos
        except CacheNotFound:
            return ()
        revisions = (r for repo in repos if repo.repo_id == self._repo for r in repo.revisions)
        newest = max(revisions, key=lambda revision: revision.last_modified, default=None)
        if newest is None:
            return ()
        folder = newest.snapshot_path
        return tuple(str(kept.file_path.relative_to(folder)) for kept in newest.files)

    def _snapshot(self, patterns: Sequence[str]) -> Path:
        folder = snapshot_download(
            self._repo,
            allow_patterns=list(patterns),
            token=self._token,
            cache_dir=self._hub.cache_dir,
            endpoint=self._hub.endpoint,
        )
        return Path(folder)

    def _fetch_gguf(self, parts: Sequence[str]) -> ResolvedModel:
        paths = [
            hf_hub_download(
                self._repo,
                part,
                token=self._token,
                cache_dir=self._hub.cache_dir,
                endpoint=self._hub.endpoint,
            )
            for part in parts
        ]
        return ResolvedModel(Path(paths[0]), ModelKind.GGUF, self._name)

    def _problem(self, error: Exception) -> str:
        where = f"{self._repo} on {self._hub.address}"
        if isinstance(error, GatedRepoError):
            return (
                f"{where} is gated: accept its terms on its page, then set HF_TOKEN to a token of"
                " the account that did"
            )
        if isinstance(error, RepositoryNotFoundError):
            return f"{where}: no such repository, or a private one that wants HF_TOKEN"
        if isinstance(error, HfHubHTTPError):
            return f"{where}: the hub answered {error.response.status_code}; try again later"
        if isinstance(error, HFValidationError):
            return f"{self._repo} is no hub id: {error}"
        if self._is_offline:
            return (
                f"{self._repo} is not in the cache, and JARVIS_OFFLINE=true: fetch it once with"
                f" JARVIS_OFFLINE=false, or set {self._variable} to a file or folder"
            )
        return (
            f"{where} can't be reached and is not in the cache: check the network, or set"
            f" {self._variable} to a file or folder"
        )


def choose_gguf(name: str, quant: str, ggufs: Sequence[str]) -> tuple[str, ...]:
    """The one file that a name means, or all parts of a split one. Raises ModelNotFoundOnHub."""
    models: dict[str, list[str]] = {}
    for file in sorted(ggufs):
        models.setdefault(_SPLIT.sub(".gguf", file), []).append(file)
    matching = [model for model in models if not quant or _has_quant(model, quant)]
    if len(matching) == 1:
        return tuple(models[matching[0]])
    wrong = "has none such" if not matching else "has several such"
    raise ModelNotFoundOnHub(
        f"{name} {wrong} among its GGUF files: {_listed(matching or list(models))}; name one as"
        " owner/repo:QUANT"
    )


def _has_quant(file: str, quant: str) -> bool:
    """Q4_K must not find Q4_K_M, nor F16 find BF16."""
    pattern = rf"(?<![a-z0-9]){re.escape(quant)}(?![a-z0-9_])"
    return re.search(pattern, file, re.IGNORECASE) is not None


def _is_text_gguf(file: str) -> bool:
    name = file.lower()
    return name.endswith(".gguf") and not any(word in name for word in _NO_TEXT_MODEL)


def _listed(files: Sequence[str]) -> str:
    shown = ", ".join(files[:_LONGEST_LIST]) or "there are none"
    return (
        shown if len(files) <= _LONGEST_LIST else f"{shown} and {len(files) - _LONGEST_LIST} more"
    )
