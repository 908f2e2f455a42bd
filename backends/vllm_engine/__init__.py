"""The vLLM engine behind the token seam. Nothing here imports vllm before a start asks for it."""
