"""Owns which fields an upstream has in the file, and what each may hold. Reads no file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from backends.remote.base_urls import base_url_of, usual_base_url
from backends.remote.secrets import checked_secret, header_name, secret_of_variable
from core.upstreams import BreakerRules, Upstream, UpstreamKind, UpstreamTimeouts

LONGEST_NAME = 512
_DAY_S = 86_400.0
_UPSTREAM_NAME = re.compile(r"[a-z0-9._-]{1,64}")
# What this process's own models are called by, where answers are told apart.
_RESERVED_NAME = "local"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the file's fields may point to: variables, and files beside it."""

    environ: Mapping[str, str]
    folder: Path


def _upstream_name(value: str) -> str:
    if not _UPSTREAM_NAME.fullmatch(value):
        raise ValueError("allowed: up to 64 of a-z, 0-9, '.', '_' and '-'")
    if value == _RESERVED_NAME:
        raise ValueError("this name means the models of this process; choose another")
    return value


def _model_name(value: str) -> str:
    if not value or len(value) > LONGEST_NAME or not value.isprintable():
        raise ValueError(f"allowed: 1 to {LONGEST_NAME} printable characters")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_table(value: object) -> object:
    """A list of names, each of which is the server's own."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return value
    if len(set(value)) != len(value):
        raise ValueError("a name is listed twice")
    return {name: name for name in value}


def _none_or_number(value: object) -> object:
    return None if value == "none" else value


Seconds = Annotated[float, Field(gt=0, le=_DAY_S, allow_inf_nan=False)]
ModelName = Annotated[str, AfterValidator(_model_name)]


class Table(BaseModel):
    """What all tables of the file have in common: nothing is converted, nothing ignored."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=()
    )


class TimeoutsTable(Table):
    """`[upstreams.timeouts]`, in seconds."""

    connect_s: Seconds = UpstreamTimeouts().connect_s
    read_s: Seconds = UpstreamTimeouts().read_s
    total_s: Annotated[Seconds | None, BeforeValidator(_none_or_number)] = (
        UpstreamTimeouts().total_s
    )


class BreakerTable(Table):
    """`[upstreams.breaker]`."""

    failures: int = Field(default=BreakerRules().num_failures, ge=1, le=1000)
    open_s: Seconds = BreakerRules().open_s


class UpstreamTable(Table):
    """`[[upstreams]]`. To be validated with Surroundings as the context."""

    name: Annotated[str, AfterValidator(_upstream_name)]
    kind: Annotated[UpstreamKind, Field(strict=False)]
    base_url: Annotated[list[str], BeforeValidator(_as_list), Field(max_length=64)] = Field(
        [], validate_default=True
    )
    api_key: SecretStr | None = None
    api_key_env: str | None = None
    default_model: ModelName | None = None
    models: Annotated[dict[ModelName, ModelName], BeforeValidator(_as_table)] = {}
    priority: int = Field(default=0, ge=0, le=1000)
    weight: float = Field(default=1.0, gt=0, le=1000, allow_inf_nan=False)
    timeouts: TimeoutsTable = TimeoutsTable()
    max_retries: int = Field(default=2, ge=0, le=10)
    breaker: BreakerTable = BreakerTable()
    hedge_after_s: Seconds | None = None
    verify_ssl: bool = True
    ca_file: str | None = None
    extra_headers: dict[str, SecretStr] = {}
    pass_client_key: bool = False

    @field_validator("base_url")
    @classmethod
    def _base_urls(cls, value: list[str], info: ValidationInfo) -> list[str]:
        kind = info.data.get("kind")
        if kind is None:
            return value
        given = value or [url for url in [usual_base_url(kind)] if url]
        if not given:
            raise ValueError("it is missing; such as http://gpu-box:8000/v1")
        urls = [base_url_of(each, kind) for each in given]
        if len(set(urls)) != len(urls):
            raise ValueError("a URL is given twice")
        return urls

    @field_validator("api_key")
    @classmethod
    def _literal_key(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else checked_secret(value.get_secret_value())

    @field_validator("api_key_env")
    @classmethod
    def _named_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if info.data.get("api_key") is not None:
            raise ValueError("give api_key or api_key_env, not both")
        secret_of_variable(value, _surroundings(info).environ)
        return value

    @field_validator("ca_file")
    @classmethod
    def _certificates(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if info.data.get("verify_ssl") is False:
            raise ValueError("it is not used with verify_ssl = false; leave one of them out")
        return str(_file_beside(value, info))

    @field_validator("extra_headers", mode="before")
    @classmethod
    def _headers(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, dict):
            return value
        if len({name.lower() for name in value}) != len(value):
            raise ValueError("a header is given twice")
        has_key = any(info.data.get(field) for field in ("api_key", "api_key_env"))
        environ = _surroundings(info).environ
        return {
            header_name(name, has_key=has_key): _header_value(name, given, environ)
            for name, given in value.items()
        }


def upstream_of(table: UpstreamTable, environ: Mapping[str, str]) -> Upstream:
    """The value that a valid table stands for."""
    key = table.api_key
    if table.api_key_env is not None:
        key = secret_of_variable(table.api_key_env, environ)
    times, breaker = table.timeouts, table.breaker
    return Upstream(
        name=table.name,
        kind=table.kind,
        base_urls=tuple(table.base_url),
        api_key=key,
        default_model=table.default_model,
        models=dict(table.models),
        priority=table.priority,
        weight=table.weight,
        timeouts=UpstreamTimeouts(times.connect_s, times.read_s, times.total_s),
        max_retries=table.max_retries,
        breaker=BreakerRules(breaker.failures, breaker.open_s),
        hedge_after_s=table.hedge_after_s,
        verify_ssl=table.verify_ssl,
        ca_file=None if table.ca_file is None else Path(table.ca_file),
        extra_headers=dict(table.extra_headers),
        passes_client_key=table.pass_client_key,
    )


def _header_value(name: str, given: Any, environ: Mapping[str, str]) -> SecretStr:
    try:
        if isinstance(given, str):
            return checked_secret(given)
        if isinstance(given, dict) and set(given) == {"env"} and isinstance(given["env"], str):
            return secret_of_variable(given["env"], environ)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    raise ValueError(f'{name}: allowed: a text, or {{ env = "NAME" }}')


def _surroundings(info: ValidationInfo) -> Surroundings:
    assert isinstance(info.context, Surroundings)
    return info.context


def _file_beside(value: str, info: ValidationInfo) -> Path:
    try:
        path = _surroundings(info).folder / Path(value).expanduser()
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError):
        is_file = False
    if not is_file:
        raise ValueError("there is no such file")
    return path
