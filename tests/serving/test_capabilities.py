"""What a loaded model can be asked for is told field by field, with the reason where it can't."""

from dataclasses import asdict, replace

from backends.base import ModelCard
from backends.embedding import EmbeddingCard
from backends.scripted import byte_vocabulary
from chat_formats.chatml import ChatmlFormat
from chat_formats.llama3 import Llama3Format
from core.lifecycle import EngineState, EngineStatus
from core.sampling_defaults import FIELDS, NOTHING, Default, Origin, resolve
from serving.capabilities import (
    SAMPLING_ORDER,
    AcceptedFields,
    ApiFacts,
    Capabilities,
    EmbeddingFacts,
    EmbeddingModel,
    FieldSupport,
    LoadedFacts,
    Makes,
    Support,
    capabilities,
)
from serving.infill import Infill, InfillOrder
from serving.prompting import special_tokens

CARD = ModelCard(
    name="m",
    vocabulary=byte_vocabulary(),
    context_window=64,
    num_slots=8,
    chat_template=None,
    is_byte_level=True,
    engine_build="scripted 1",
    weights_digest="abc",
)
INFILL = Infill(InfillOrder.PREFIX_FIRST, 1, 2, 3, None, frozenset({1, 2, 3}))
CHATML = ChatmlFormat(special_tokens(CARD))
FACTS = LoadedFacts(CARD, CHATML, resolve(NOTHING, NOTHING), INFILL, "fp_0123456789ab")
KNOWN = ("temperature", "seed", "response_format", "structured_outputs", "user", "tools")
CHAT = AcceptedFields(
    (*KNOWN, "chat_template_kwargs"), unused=frozenset({"user"}), idle=frozenset({"tools"})
)
PLAIN = AcceptedFields((*KNOWN, "suffix"), unused=frozenset({"user", "tools"}))
API = ApiFacts(
    {
        "/v1/chat/completions": CHAT,
        "/v1/completions": PLAIN,
        "/v1/responses": AcceptedFields(("text", "reasoning")),
        "/v1/embeddings": AcceptedFields(
            ("input", "user"), unused=frozenset({"user"}), makes=Makes.VECTORS
        ),
        "/v1/rerank": AcceptedFields(("query",), makes=Makes.SCORES),
    },
    {"stop_strings": 16},
)
RANKER = EmbeddingCard(
    name="file",
    num_dimensions=1,
    context_window=512,
    vocabulary_size=100,
    is_normalized=False,
    ranks_pairs=True,
    engine_build="scripted 2",
    weights_digest="def",
)
EMBEDDER = replace(RANKER, num_dimensions=384, is_normalized=True, ranks_pairs=False)


def told(facts: LoadedFacts) -> Capabilities:
    return capabilities(facts, API)


def supports(facts: LoadedFacts, path: str) -> dict[str, Support]:
    return {name: each.support for name, each in told(facts).fields[path].items()}


def test_fields_are_told_for_each_endpoint() -> None:
    assert supports(FACTS, "/v1/chat/completions") == {
        "temperature": Support.HONOURED,
        "seed": Support.HONOURED,
        "response_format": Support.HONOURED,
        "structured_outputs": Support.HONOURED,
        "user": Support.UNUSED,
        "tools": Support.IDLE,
        "chat_template_kwargs": Support.REFUSED,
    }
    assert supports(FACTS, "/v1/completions")["tools"] is Support.UNUSED
    assert supports(FACTS, "/v1/completions")["suffix"] is Support.HONOURED


def test_a_model_without_an_end_token_has_no_structured_output() -> None:
    vocabulary = replace(CARD.vocabulary, eos_id=None)
    found = told(replace(FACTS, card=replace(CARD, vocabulary=vocabulary)))
    field = found.fields["/v1/completions"]["response_format"]
    assert field == FieldSupport(Support.REFUSED, "the model has no end-of-text token")
    assert not found.has_structured_output
    assert found.fields["/v1/responses"]["text"] == field
    assert found.fields["/v1/responses"]["reasoning"].support is Support.HONOURED
    assert told(FACTS).has_structured_output


def test_without_an_embedding_model_its_endpoints_refuse_all() -> None:
    found = told(FACTS)
    assert found.embedding is None
    for path in ("/v1/embeddings", "/v1/rerank"):
        assert {each.support for each in found.fields[path].values()} == {Support.REFUSED}
    assert "JARVIS_EMBEDDING_MODEL" in (found.fields["/v1/embeddings"]["input"].reason or "")


def beside(card: EmbeddingCard | None, state: EngineState = EngineState.READY) -> Capabilities:
    return capabilities(FACTS, API, EmbeddingModel("mini", EngineStatus(state, "llama_cpp"), card))


def test_an_embedding_model_is_told_of_by_its_name_for_clients() -> None:
    found = beside(EMBEDDER)
    assert found.embedding == EmbeddingFacts(
        "mini", "ready", "scripted 2", 384, 512, is_normalized=True, ranks_pairs=False
    )
    assert found.fields["/v1/embeddings"]["input"] == FieldSupport(Support.HONOURED)
    assert found.fields["/v1/embeddings"]["user"].support is Support.UNUSED
    assert found.fields["/v1/rerank"]["query"].support is Support.HONOURED


def test_a_model_that_ranks_pairs_makes_no_vectors() -> None:
    found = beside(RANKER)
    assert found.embedding is not None
    assert found.embedding.ranks_pairs
    assert (found.embedding.dimensions, found.embedding.is_normalized) == (None, None)
    field = found.fields["/v1/embeddings"]["user"]
    assert field.support is Support.REFUSED
    assert field.reason == "mini ranks pairs of texts and makes no vectors"
    assert found.fields["/v1/rerank"]["query"].support is Support.HONOURED


def test_an_embedding_model_that_loads_or_failed_is_told_of_too() -> None:
    found = beside(None, EngineState.FAILED)
    assert found.embedding == EmbeddingFacts("mini", "failed")
    assert found.fields["/v1/embeddings"]["input"].support is Support.HONOURED


def test_a_model_without_infill_tokens_refuses_a_suffix() -> None:
    found = told(replace(FACTS, infill=None))
    assert not found.has_infill
    field = found.fields["/v1/completions"]["suffix"]
    assert field == FieldSupport(Support.REFUSED, "the model has no tokens for infilling")
    assert told(FACTS).has_infill


def test_what_the_engine_can_not_do_is_refused_with_its_name() -> None:
    card = replace(CARD, unsupported_fields=frozenset({"seed", "user", "response_format"}))
    found = told(replace(FACTS, card=card))
    seed = found.fields["/v1/completions"]["seed"]
    assert seed.support is Support.REFUSED
    assert "scripted 1" in (seed.reason or "")
    assert found.fields["/v1/completions"]["user"].support is Support.UNUSED
    assert not found.has_structured_output


def test_the_chat_format_tells_its_variables() -> None:
    found = told(replace(FACTS, chat_format=Llama3Format(special_tokens(CARD))))
    assert found.chat_format.name == "llama3"
    assert found.chat_format.variables == ("date_string",)
    kwargs = found.fields["/v1/chat/completions"]["chat_template_kwargs"]
    assert kwargs == FieldSupport(Support.HONOURED)
    refused = told(FACTS).fields["/v1/chat/completions"]["chat_template_kwargs"]
    assert refused.reason is not None
    assert refused.reason.startswith("the chat format chatml has no variables")


def test_defaults_are_told_with_who_chose_them() -> None:
    defaults = resolve({"temperature": 0.5}, {"top_k": None})
    found = told(replace(FACTS, defaults=defaults)).sampling
    assert tuple(found.defaults) == FIELDS
    assert found.defaults["temperature"] == Default(0.5, Origin.SETTINGS)
    assert found.defaults["top_k"] == Default(None, Origin.MODEL)
    assert found.greedy_below == 1e-5
    assert set(FIELDS) < set(SAMPLING_ORDER) == set(found.order)


def test_limits_hold_the_context_window_beside_the_api_s_own() -> None:
    found = told(FACTS)
    assert found.limits == {"context_window_tokens": 64, "slots": 8, "stop_strings": 16}
    assert (found.model, found.engine, found.system_fingerprint, found.modalities) == (
        "m",
        "scripted 1",
        "fp_0123456789ab",
        ("text",),
    )


def test_it_can_be_told_as_json_values() -> None:
    tree = asdict(told(FACTS))
    assert tree["sampling"]["defaults"]["top_p"] == {"value": 1.0, "origin": "standard"}
    assert tree["fields"]["/v1/completions"]["seed"] == {"support": "honoured", "reason": None}
