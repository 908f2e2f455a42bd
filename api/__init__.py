"""HTTP alone: parse and validate requests, frame answers. Knows no engine and no chat format."""
