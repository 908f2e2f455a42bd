"""Owns bytes to text for a stream: a character is held back until its last byte has come."""

import codecs


class Utf8Stream:
    """Feed bytes, get the text that is whole. Bytes that are no UTF-8 become U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        return self._decoder.decode(data)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is held back."""
        return not self._decoder.getstate()[0]

    def flush(self) -> str:
        """What is still held back, as U+FFFD."""
        return self._decoder.decode(b"", final=True)
