"""Owns what can be set about running the server: who may come, how much at once, how long, what is
told. The rest is in `settings.py`.
"""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from core.bounds import RequestBounds
from core.setting_types import LogFormat, Names, UserPath

_BOUNDS = RequestBounds()


class OperationSettings(BaseSettings):
    """The first half of `Settings`."""

    api_keys: SecretStr | None = Field(
        None,
        description="Who may use the server: keys separated by commas, each plain or NAME=KEY, or"
        " the path of a .toml file with names, roles and limits (see docs/keys.md). Empty: no"
        " key is needed. Never printed.",
    )
    allow_open: bool = Field(
        False,
        description="Listen on other addresses than this machine's own though no key is needed:"
        " true or false.",
    )
    allowed_hosts: Names = Field(
        (),
        description="Host names that requests may be sent to, separated by commas, where no key is"
        " needed. Empty: this machine's own names on its own address, any name elsewhere.",
    )
    cors_origins: Names = Field(
        (),
        description="Origins of web pages that may use the server, separated by commas. Empty:"
        " none.",
    )
    tls_cert_file: UserPath | None = Field(
        None, description="The certificate (with its chain) for https, as a PEM file."
    )
    tls_key_file: UserPath | None = Field(
        None, description="That certificate's key, as a PEM file."
    )
    offline: bool = Field(
        False,
        description="Let no connection leave this machine (hub, other servers, traces): true or"
        " false.",
    )

    max_queue: int = Field(
        512, ge=0, description="Sequences that may wait for the engine; more are refused with 429."
    )
    max_queue_tokens: int = Field(
        2_000_000, ge=0, description="Prompt tokens that all of those may have together."
    )
    request_timeout_s: float | None = Field(
        None,
        gt=0,
        description="How long a request may take, waiting included, in seconds. A request's own"
        " field timeout can only shorten it. Empty: for ever.",
    )
    header_timeout_s: float = Field(
        20, gt=0, description="How long a client may take to send a request's head, in seconds."
    )
    body_timeout_s: float = Field(
        300, gt=0, description="How long a client may take to send a request's body, in seconds."
    )
    stall_timeout_s: float = Field(
        60,
        gt=0,
        description="How long a client may read nothing of its answer before it is dropped, in"
        " seconds.",
    )
    drain_timeout_s: float = Field(
        30,
        ge=0,
        description="How long running requests may go on after SIGTERM, in seconds.",
    )
    engine_restarts: int = Field(
        3,
        ge=0,
        description="How often in a row an engine that died is loaded again before the process"
        " gives up and exits.",
    )
    step_timeout_s: float = Field(
        300,
        gt=0,
        description="How long an engine with work may go without a step before it counts as dead,"
        " in seconds.",
    )

    max_body_bytes: int = Field(
        _BOUNDS.body_bytes, ge=1024, le=256 << 20, description="The largest body of a request."
    )
    max_bodies_mib: int = Field(
        _BOUNDS.all_bodies_bytes >> 20,
        ge=1,
        description="What bodies of all requests under way may hold together beyond 64 KiB each, in"
        " MiB; at least two of the largest. More are refused with 429.",
    )
    max_url_bytes: int = Field(
        _BOUNDS.url_bytes, ge=256, le=1 << 16, description="The longest URL of a request."
    )
    max_header_bytes: int = Field(
        _BOUNDS.header_bytes, ge=1024, le=1 << 20, description="All headers of a request together."
    )
    max_messages: int = Field(
        _BOUNDS.messages, ge=1, le=100_000, description="Messages in one conversation, at most."
    )
    max_tools: int = Field(_BOUNDS.tools, ge=1, le=4096, description="Tools of a request, at most.")
    max_schema_bytes: int = Field(
        _BOUNDS.schema_bytes,
        ge=256,
        le=16 << 20,
        description="JSON Schemas, grammars and patterns of a request together, at most.",
    )
    max_stop: int = Field(
        _BOUNDS.stop, ge=1, le=128, description="Stop strings of a request, at most."
    )
    max_n: int = Field(_BOUNDS.n, ge=1, le=1024, description="Choices of a request, at most.")
    max_logit_bias: int = Field(
        _BOUNDS.logit_bias, ge=1, le=1 << 14, description="Entries of logit_bias, at most."
    )
    max_prompts: int = Field(
        _BOUNDS.prompts, ge=1, le=65536, description="Prompts or inputs of one request, at most."
    )

    log_format: LogFormat = Field(
        LogFormat.TEXT, description="The form of log lines: text or json."
    )

    @property
    def bounds(self) -> RequestBounds:
        """How large a request may be."""
        return RequestBounds(
            body_bytes=self.max_body_bytes,
            all_bodies_bytes=max(self.max_bodies_mib << 20, 2 * self.max_body_bytes),
            url_bytes=self.max_url_bytes,
            header_bytes=self.max_header_bytes,
            messages=self.max_messages,
            tools=self.max_tools,
            schema_bytes=self.max_schema_bytes,
            stop=self.max_stop,
            n=self.max_n,
            logit_bias=self.max_logit_bias,
            prompts=self.max_prompts,
        )
