"""Owns the bodies of rerank and score requests, and which texts are compared with which."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from api.schemas.embeddings import IDLE_POOLING_FIELDS
from api.schemas.fields import without_idle_fields
from api.schemas.strict_object import StrictObject
from api.schemas.validation import UnknownFields, validate
from core.errors import InvalidValue
from serving.embedding import MAX_INPUTS, Comparison

IDLE_SCORING_FIELDS: Mapping[str, tuple[Any, ...]] = {
    **{name: IDLE_POOLING_FIELDS[name] for name in IDLE_POOLING_FIELDS if name != "embed_dtype"},
    "chat_template_kwargs": ({},),
    "instruction": (),
    "max_chunks_per_doc": (),
    "max_tokens_per_doc": (0,),
    "max_tokens_per_query": (0,),
    "rank_fields": (["text"],),
}


def _documents(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_INPUTS:
        raise _document_refusal()
    return tuple(_document(each) for each in value)


def _document(value: object) -> str:
    text = value["text"] if isinstance(value, dict) and set(value) == {"text"} else value
    if not isinstance(text, str) or not text:
        raise _document_refusal()
    return text


def _document_refusal() -> PydanticCustomError:
    return PydanticCustomError(
        "documents",
        "allowed is a list of texts or objects such as {example}, none empty",
        {"example": '{"text": "..."}'},
    )


def _texts(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 0 < len(texts) <= MAX_INPUTS:
        raise _text_refusal()
    if not all(isinstance(each, str) and each for each in texts):
        raise _text_refusal()
    return tuple(texts)


def _text_refusal() -> PydanticCustomError:
    return PydanticCustomError(
        "texts",
        "allowed is a text or a list of texts, none empty",
    )


Documents = Annotated[
    tuple[str, ...],
    BeforeValidator(_documents, json_schema_input_type=list[str | dict[str, str]]),
]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts, json_schema_input_type=str | list[str])]


class RerankRequest(StrictObject):
    """The body of POST /v1/rerank."""

    query: str = Field(min_length=1)
    documents: Documents = Field()
    timeout: float | None = Field(
        None, gt=0, description="Seconds that the request may take, waiting included."
    )
    model: str | None = Field(None, max_length=1000)
    top_n: int | None = Field(
        None, ge=0, le=2**31 - 1, description="So many of the best; all by default and with 0."
    )
    return_documents: bool | None = Field(None, description="True by default.")
    user: str | None = Field(None, description="Accepted and not used.")

    @property
    def comparison(self) -> Comparison:
        return Comparison("query", (self.query,), "documents", self.documents)

    @property
    def num_results(self) -> int:
        return min(self.top_n or len(self.documents), len(self.documents))


class ScoreRequest(StrictObject):
    """The body of POST /v1/score."""

    text_1: Texts = Field(description="One text for all of text_2, or one for each.")
    text_2: Texts = Field()
    timeout: float | None = Field(
        None, gt=0, description="Seconds that the request may take, waiting included."
    )
    model: str | None = Field(None, max_length=1000)
    user: str | None = Field(None, description="Accepted and not used.")

    @property
    def comparison(self) -> Comparison:
        return Comparison("text_1", self.text_1, "text_2", self.text_2)


def read_rerank(body: Mapping[str, Any], unknown: UnknownFields) -> RerankRequest:
    """Raises InvalidValue or UnsupportedField."""
    return validate(RerankRequest, without_idle_fields(body, IDLE_SCORING_FIELDS), unknown)


def read_score(body: Mapping[str, Any], unknown: UnknownFields) -> ScoreRequest:
    """Raises InvalidValue or UnsupportedField."""
    plain = without_idle_fields(body, IDLE_SCORING_FIELDS)
    request = validate(ScoreRequest, plain, unknown)
    ones, twos = len(request.text_1), len(request.text_2)
    if ones not in (1, twos):
        raise InvalidValue(
            f"text_1 has {ones} texts and text_2 {twos}; allowed is one text_1 for all, or as many"
            " of both",
            param="text_1",
        )
    return request
