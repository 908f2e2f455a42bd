"""Owns what an engine is made of, for all kinds of engine alike. Opens nothing.

Only `from_env` reads the environment or a file.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from backends.remote.base_urls import base_url_of
from backends.remote.plan import plan_of
from backends.remote.secrets import checked_secret
from core.errors import ConfigurationError
from core.settings import InferenceEngine, Settings, load_settings
from core.settings_sources import read_env_file
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan

# What a setting is about that has no meaning without the server.
_OF_THE_SERVER = frozenset(
    {
        "host",
        "port",
        "model_aliases",
        "embedding_model",
        "embedding_aliases",
        "response_store",
        "response_store_count",
        "response_store_mib",
        "strict_fields",
        "debug",
        "accelerator",
        "upstreams_file",
        "vllm_base_url",
        "vllm_default_model",
        "vllm_api_key",
        "vllm_timeout_seconds",
        "vllm_verify_ssl",
        "vllm_max_retries",
    }
)
_OWN_NAMES = {"inference_engine": "engine", "model_name": "model"}


class EngineConfig:
    """One engine: `llama_cpp` or `vllm` in this process, or `remote`, a server that speaks OpenAI's
    API. Immutable.
    """

    __slots__ = ("_model", "_plan", "_settings")

    def __init__(
        self,
        engine: str = "llama_cpp",
        model: str | Path | None = None,
        *,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        kind: str = "vllm",
        upstreams: Upstream | UpstreamPlan | None = None,
        **settings: Any,
    ) -> None:
        """`model` is a GGUF file, a Hugging Face folder or a hub id; with `remote`, a name that the
        server knows, or None for its default one.

        `base_url`, `api_key` and `kind` (vllm, jarvis, llama_cpp, openrouter, openai) are of a
        remote server; `upstreams`, in place of these, says more of it or names several. `settings`
        are those of .env.example, in lower case and without JARVIS_. Raises ConfigurationError.
        """
        self._settings = _validated(engine, model, settings)
        self._model = None if model is None else str(model)
        is_remote = self.engine is InferenceEngine.REMOTE
        if base_url is not None and upstreams is not None:
            raise ConfigurationError("base_url and upstreams are both given: give one of them")
        if base_url is None and api_key is not None:
            raise ConfigurationError("api_key goes with base_url: it is a remote server's key")
        single = None if base_url is None else _upstream(base_url, api_key, kind, self._model)
        self._plan = _as_plan(single or upstreams)
        if is_remote and self._plan is None:
            raise ConfigurationError("base_url is missing: engine='remote' asks the server there")
        if not is_remote and self._plan is not None:
            raise ConfigurationError("base_url and upstreams go with engine='remote' alone")
        if not is_remote and model is None:
            raise ConfigurationError(
                "model is missing: give a GGUF file, a Hugging Face folder or a hub id"
            )

    @classmethod
    def from_env(
        cls, env_file: str | Path | None = None, *, environ: Mapping[str, str] | None = None
    ) -> Self:
        """As the server is set up: by the environment (os.environ, where no other is given), over
        the lines of `env_file`, over the defaults. Raises ConfigurationError.
        """
        given = os.environ if environ is None else environ
        path = None if env_file is None else Path(env_file)
        if path is not None and not path.is_file():
            raise ConfigurationError(f"env_file={str(path)!r}: there is no such file")
        settings = load_settings({}, environ=given, env_file=path)
        config = cls.__new__(cls)
        config._settings = settings
        config._plan, config._model = None, settings.model_name
        if settings.inference_engine is InferenceEngine.REMOTE:
            in_file = {} if path is None else read_env_file(path)
            config._plan, config._model = plan_of(settings, {**in_file, **given}), None
        return config

    @property
    def engine(self) -> InferenceEngine:
        return self._settings.inference_engine

    @property
    def model(self) -> str | None:
        return self._model

    @property
    def settings(self) -> Settings:
        """Everything that can be set, defaults included."""
        return self._settings

    @property
    def plan(self) -> UpstreamPlan | None:
        """The servers to ask; None where the engine is in this process."""
        return self._plan

    def __repr__(self) -> str:
        return f"EngineConfig(engine={self.engine.value!r}, model={self._model!r})"


def _validated(engine: str, model: str | Path | None, given: Mapping[str, Any]) -> Settings:
    """Raises ConfigurationError naming every problem, in a line."""
    problems = [_unknown(name) for name in given if not _is_known(name)]
    values = {name: value for name, value in given.items() if _is_known(name) and value is not None}
    values["inference_engine"] = engine
    if model is not None:
        values["model_name"] = str(model)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        found = ((str(each["loc"][0]), each["msg"]) for each in error.errors())
        problems += [_explained(name, reason, values) for name, reason in found]
        raise ConfigurationError("; ".join(problems)) from None
    if problems:
        raise ConfigurationError("; ".join(problems))
    return settings


def _is_known(name: str) -> bool:
    return name in Settings.model_fields and name not in (_OF_THE_SERVER | _OWN_NAMES.keys())


def _unknown(name: str) -> str:
    if name in _OF_THE_SERVER:
        return f"{name} is a setting of the server alone"
    known = [each for each in Settings.model_fields if _is_known(each)]
    near = get_close_matches(name, [*known, *_OWN_NAMES.values()], n=1, cutoff=0.7)
    near = [_OWN_NAMES[name]] if name in _OWN_NAMES else near
    hint = f"did you mean {near[0]}?" if near else ".env.example lists those that exist"
    return f"{name} is no setting: {hint}"


def _explained(name: str, reason: str, values: Mapping[str, Any]) -> str:
    is_secret = name == "hf_token"
    value = "(hidden)" if is_secret else repr(values.get(name))
    allowed = reason.removeprefix("Value error, ").replace("Input should be", "allowed:")
    return f"{_OWN_NAMES.get(name, name)}={value}: {allowed}"


def _upstream(
    base_url: str, api_key: str | SecretStr | None, kind: str, model: str | None
) -> Upstream:
    """Raises ConfigurationError, which shows no key."""
    if kind not in tuple(UpstreamKind):
        raise ConfigurationError(f"kind={kind!r}: allowed are {', '.join(UpstreamKind)}")
    of = UpstreamKind(kind)
    try:
        url = base_url_of(base_url, of)
    except ValueError as error:
        raise ConfigurationError(f"base_url: {error}") from None
    key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
    try:
        secret = None if key is None else checked_secret(key)
    except ValueError as error:
        raise ConfigurationError(f"api_key: {error}") from None
    # The default one is asked for by its name, also where no list tells of it.
    return Upstream(urlsplit(url).netloc, of, (url,), secret, default_model=model)


def _as_plan(upstreams: Upstream | UpstreamPlan | None) -> UpstreamPlan | None:
    return UpstreamPlan((upstreams,)) if isinstance(upstreams, Upstream) else upstreams
