"""Owns the special tokens of the models that the tests speak of. Knows no format."""

from chat_formats.base import SpecialTokens

QWEN = SpecialTokens(
    controls=frozenset(
        {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|object_ref_start|>", "<|vision_pad|>"}
    ),
    eos="<|im_end|>",
)
LLAMA3 = SpecialTokens(
    controls=frozenset(
        {
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|python_tag|>",
        }
    ),
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    add_bos=True,
)
MISTRAL_V1 = SpecialTokens(
    controls=frozenset({"<unk>", "<s>", "</s>"}),
    bos="<s>",
    eos="</s>",
    add_bos=True,
    is_byte_level=False,
)
MISTRAL_TAGS = frozenset(
    {
        "[INST]",
        "[/INST]",
        "[TOOL_CALLS]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
    }
)
MISTRAL_V3 = SpecialTokens(
    controls=MISTRAL_V1.controls | MISTRAL_TAGS,
    bos="<s>",
    eos="</s>",
    add_bos=True,
    is_byte_level=False,
)
MISTRAL_TEKKEN = SpecialTokens(
    controls=MISTRAL_V3.controls, bos="<s>", eos="</s>", add_bos=True, is_byte_level=True
)
PHI = SpecialTokens(
    controls=frozenset(
        {"<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"}
    ),
    bos="<s>",
    eos="<|endoftext|>",
    is_byte_level=False,
)
EVERY_CONTROL = frozenset[str]().union(
    *(special.controls for special in (QWEN, LLAMA3, MISTRAL_V3, PHI))
)
