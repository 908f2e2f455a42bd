"""Anthropic's Messages API: its requests read, its answers folded and framed."""
