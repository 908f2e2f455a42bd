"""Owns what can be set, with its default, unit and meaning. Reads nothing by itself.

`load_settings` merges the layers: flags over the environment over `.env` over the defaults.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.errors import ConfigurationError
from core.operation_settings import OperationSettings
from core.sampling import LARGEST_PENALTY
from core.sampling_defaults import FIELDS, SamplingValues, sampling_value
from core.setting_types import (
    Accelerator,
    ChatFormatName,
    ExecutorBackend,
    FlashAttention,
    InferenceEngine,
    JsonObject,
    KvCacheType,
    KvLayout,
    LogLevel,
    LogLevelName,
    Names,
    Speculation,
    UserPath,
    VllmDtype,
)
from core.settings_sources import default_cache_dir, gather

__all__ = [
    "Accelerator",
    "ExecutorBackend",
    "FlashAttention",
    "InferenceEngine",
    "KvCacheType",
    "KvLayout",
    "LogLevel",
    "Settings",
    "Speculation",
    "VllmDtype",
    "load_settings",
]

_DEFAULT_CONTEXT_WINDOW = 4096


class Settings(OperationSettings):
    """Everything that can be set, frozen. A field's variable is its name in upper case with
    JARVIS_ before it; only those of other projects (HF_TOKEN, DEBUG and log levels) have none.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True
    )

    inference_engine: InferenceEngine = Field(
        InferenceEngine.LLAMA_CPP,
        description="The engine that holds the model: llama_cpp, vllm, or remote, with which other"
        " servers alone answer (JARVIS_UPSTREAMS_FILE or VLLM_BASE_URL).",
    )
    model_name: str = Field(
        "models/jarvis-tiny.gguf",
        description="The model: a GGUF file, a Hugging Face folder, or a hub id such as"
        " Qwen/Qwen3-0.6B or owner/repo-GGUF:Q4_K_M.",
    )
    model_aliases: Names = Field(
        (), description="More names that clients may use, separated by commas; * accepts any name."
    )
    embedding_model: str | None = Field(
        None,
        description="A second model on the same engine, for embeddings, rerank and score: a GGUF"
        " file, a Hugging Face folder, or a hub id of either. What the engine can't read is"
        " converted once, for models of type bert. Empty: none.",
    )
    embedding_aliases: Names = Field(
        (),
        description="More names that clients may use for the embedding model, separated by commas;"
        " * accepts any name.",
    )
    chat_format: ChatFormatName = Field(
        "auto",
        description="How messages become a prompt: auto (from the model), chatml, llama3, mistral"
        " (or mistral-v1, mistral-v3, mistral-tekken), model (its own template), or the path of"
        " a .jinja file.",
    )
    host: str = Field("127.0.0.1", description="The address to listen on; 0.0.0.0 is every one.")
    port: int = Field(8000, ge=0, le=65535, description="The port; 0 picks a free one.")
    model_context_window: int | None = Field(
        None,
        ge=1,
        description="Prompt and answer together, in tokens, on either engine. Empty:"
        " JARVIS_VLLM_MAX_MODEL_LEN for vllm, 4096 for llama_cpp (less where memory is short).",
    )
    accelerator: Accelerator = Field(
        Accelerator.AUTO,
        description="What ./run.sh builds the engines for: auto, cpu, cuda, metal, rocm or vulkan.",
    )
    n_gpu_layers: int = Field(
        -1, ge=-1, description="llama.cpp: layers to put on the GPU; -1 is all of them."
    )
    cache_dir: UserPath = Field(
        default_factory=lambda: default_cache_dir({}),
        description="Where converted models and engine probes are kept. Empty:"
        " jarvis-llm-proxy in $XDG_CACHE_HOME or ~/.cache.",
    )

    response_store: UserPath | None = Field(
        None,
        description="An SQLite file in which responses (/v1/responses) are kept, made where it is"
        " missing. Empty: in memory, until the server stops.",
    )
    response_store_count: int = Field(
        1000, ge=0, description="Responses kept at most; the least recently used goes first."
    )
    response_store_mib: int = Field(64, ge=0, description="Their size at most, in MiB.")

    default_temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description="The temperature of requests that give none, 0 to 2. Empty: what the model"
        " recommends, else 1.",
    )
    default_top_p: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The top_p of requests that give none, above 0, to 1."
        " Empty: the model's, else 1.",
    )
    default_top_k: int | None = Field(
        None,
        ge=-1,
        description="The top_k of requests that give none; 0 or -1 keeps all tokens."
        " Empty: the model's, else all.",
    )
    default_min_p: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The min_p of requests that give none, 0 to 1. Empty: the model's, else 0.",
    )
    default_repetition_penalty: float | None = Field(
        None,
        gt=0,
        le=LARGEST_PENALTY,
        description="The repetition_penalty of requests that give none, above 0, to 2."
        " Empty: the model's, else 1.",
    )
    default_presence_penalty: float | None = Field(
        None,
        ge=-LARGEST_PENALTY,
        le=LARGEST_PENALTY,
        description="The presence_penalty of requests that give none, -2 to 2."
        " Empty: the model's, else 0.",
    )
    default_frequency_penalty: float | None = Field(
        None,
        ge=-LARGEST_PENALTY,
        le=LARGEST_PENALTY,
        description="The frequency_penalty of requests that give none, -2 to 2."
        " Empty: the model's, else 0.",
    )
    use_model_sampling: bool = Field(
        True,
        description="Sample as the model's own metadata recommends, where neither the request nor a"
        " JARVIS_DEFAULT_ variable says: true or false.",
    )
    strict_fields: bool = Field(
        True,
        description="true: requests with unknown fields are refused; false: the fields are ignored"
        " and named in the response header x-jarvis-ignored.",
    )

    llama_max_num_seqs: int | None = Field(
        None,
        ge=1,
        le=127,
        description="llama.cpp: sequences at the same time. Empty: 32, fewer where memory is"
        " short.",
    )
    llama_kv_tokens: int | None = Field(
        None,
        ge=256,
        description="llama.cpp: size of the KV cache in tokens, for all sequences together."
        " Empty: by JARVIS_LLAMA_KV_LAYOUT a window for each sequence, or four windows for all;"
        " fewer where memory is short.",
    )
    llama_kv_layout: KvLayout = Field(
        KvLayout.AUTO,
        description="llama.cpp: separate gives each sequence a whole context window of its own, the"
        " fastest; shared lets all share fewer tokens; auto takes separate where a quarter of the"
        " free memory, or JARVIS_LLAMA_KV_TOKENS, suffices.",
    )
    llama_batch_tokens: int = Field(
        512, ge=1, description="llama.cpp: tokens computed in one step, at most."
    )
    llama_prefill_tokens: int = Field(
        256,
        ge=1,
        description="llama.cpp: prompt tokens computed in one step beside running answers, at most."
        " Fewer make the gaps between their tokens shorter, and the prompt's wait longer.",
    )
    llama_prefix_cache: bool = Field(
        True, description="llama.cpp: reuse what prompts begin with: true or false."
    )
    llama_prefix_mib: int | None = Field(
        None,
        ge=0,
        description="llama.cpp: memory beside the KV cache for prompts and answers that may be"
        " continued later, in MiB. Empty: an eighth of what is free.",
    )
    llama_speculation: Speculation = Field(
        Speculation.AUTO,
        description="llama.cpp: guess repeated text ahead (answers stay the same): auto or off.",
    )
    llama_kv_cache_type: KvCacheType = Field(
        KvCacheType.AUTO,
        description="llama.cpp: number format of the KV cache: auto (f32 for an f32 model, else"
        " f16), f32, f16, bf16, q8_0 or q4_0.",
    )
    llama_flash_attention: FlashAttention = Field(
        FlashAttention.AUTO, description="llama.cpp: fused attention: auto, on or off."
    )
    llama_threads: int | None = Field(
        None, ge=1, description="llama.cpp: CPU threads. Empty: one for each core."
    )
    llama_threads_batch: int | None = Field(
        None,
        ge=1,
        description="llama.cpp: CPU threads for steps of several tokens. Empty:"
        " JARVIS_LLAMA_THREADS.",
    )
    llama_mmap: bool = Field(
        True, description="llama.cpp: map the model file instead of reading it: true or false."
    )
    llama_mlock: bool = Field(
        False, description="llama.cpp: keep the model from being swapped out: true or false."
    )

    vllm_tensor_parallel_size: int = Field(1, ge=1, description="vLLM: GPUs that share each layer.")
    vllm_pipeline_parallel_size: int = Field(
        1, ge=1, description="vLLM: GPUs that the layers are spread over, one after another."
    )
    vllm_gpu_memory_utilization: float = Field(
        0.9, gt=0, le=1, description="vLLM: share of the GPU's memory to use, 0 to 1."
    )
    vllm_max_model_len: int = Field(
        4096, ge=1, description="vLLM: prompt and answer together, in tokens."
    )
    vllm_max_num_seqs: int | None = Field(
        None, ge=1, description="vLLM: sequences at the same time. Empty: vLLM's own default."
    )
    vllm_dtype: VllmDtype = Field(
        VllmDtype.AUTO,
        description="vLLM: number format to compute in: auto, half, float16, bfloat16, float or"
        " float32.",
    )
    vllm_quantization: str | None = Field(
        None, description="vLLM: quantisation method, such as awq or gptq. Empty: the model's own."
    )
    vllm_enable_prefix_caching: bool = Field(
        True, description="vLLM: reuse what prompts begin with: true or false."
    )
    vllm_enforce_eager: bool = Field(
        False,
        description="vLLM: don't compile the model (starts sooner, runs slower): true or false.",
    )
    vllm_speculative_config: JsonObject | None = Field(
        None, description="vLLM: speculative decoding, as a JSON object. Empty: off."
    )
    vllm_distributed_executor_backend: ExecutorBackend | None = Field(
        None, description="vLLM: how workers run: uni, mp or ray. Empty: vLLM decides."
    )
    vllm_cpu_kvcache_gib: int = Field(
        1, ge=1, description="vLLM without a GPU: size of the KV cache, in GiB."
    )
    vllm_extra_args: JsonObject | None = Field(
        None, description="vLLM: any other engine argument by its name, as a JSON object."
    )

    upstreams_file: UserPath | None = Field(
        None,
        description="A TOML file that names other servers, to answer for further models and where"
        " an engine can't: see upstreams.example.toml. Empty: upstreams.toml, where there is one.",
    )
    vllm_base_url: str | None = Field(
        None,
        description="The URL of a vLLM server, such as http://gpu-box:8000/v1: an upstream named"
        " vllm.",
    )
    vllm_default_model: str | None = Field(
        None, description="That server's model for requests that name none."
    )
    vllm_api_key: SecretStr | None = Field(
        None, description="That server's API key. Never printed."
    )
    vllm_timeout_seconds: float = Field(
        600, gt=0, description="The longest that a request to that server may take."
    )
    vllm_verify_ssl: bool = Field(
        True, description="Check that server's certificate: true or false."
    )
    vllm_max_retries: int = Field(
        2, ge=0, le=10, description="How often a request that failed there is sent again."
    )

    hf_token: SecretStr | None = Field(
        None, description="The Hugging Face hub's access token, for gated models. Never printed."
    )
    debug: bool = Field(False, description="Log what the server does in detail: true or false.")
    llama_log_level: LogLevelName = Field(
        LogLevel.ERROR, description="Lines of llama.cpp to show: DEBUG, INFO, WARNING or ERROR."
    )
    vllm_logging_level: LogLevelName = Field(
        LogLevel.ERROR, description="Lines of vLLM to show: DEBUG, INFO, WARNING or ERROR."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands over: the environment is read once, where a start is."""
        return (init_settings,)

    @property
    def served_model_id(self) -> str:
        """A GGUF file's stem, a folder's name, or the hub id."""
        return _served_id(self.model_name)

    @property
    def served_embedding_id(self) -> str | None:
        """By the same rule; None where no embedding model is wanted."""
        return None if self.embedding_model is None else _served_id(self.embedding_model)

    @property
    def default_sampling(self) -> SamplingValues:
        """What the JARVIS_DEFAULT_ variables choose."""
        chosen = {name: getattr(self, f"default_{name}") for name in FIELDS}
        return {
            name: sampling_value(name, value) for name, value in chosen.items() if value is not None
        }

    @property
    def default_context_window(self) -> int:
        """In tokens; a model trained on less has less."""
        if self.model_context_window is not None:
            return self.model_context_window
        if self.inference_engine is InferenceEngine.VLLM:
            return self.vllm_max_model_len
        return _DEFAULT_CONTEXT_WINDOW


def _served_id(model: str) -> str:
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf":
        return path.stem
    return path.resolve().name if path.is_dir() else model


def load_settings(
    flags: Mapping[str, str], *, environ: Mapping[str, str], env_file: Path | None
) -> Settings:
    """`flags` map variables to values. Raises ConfigurationError naming every problem, in a line.

    An empty value in `env_file` or the environment means the default.
    """
    gathered = gather(tuple(Settings.model_fields), flags, environ, env_file)
    problems = list(gathered.problems)
    try:
        settings = Settings.model_validate(gathered.values)
    except ValidationError as error:
        problems += [gathered.explain(str(e["loc"][0]), e["msg"]) for e in error.errors()]
        raise ConfigurationError("; ".join(problems)) from None
    if problems:
        raise ConfigurationError("; ".join(problems))
    return settings
