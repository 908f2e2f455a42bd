"""Owns how a response names the fields of its request that were ignored."""

from urllib.parse import quote

from api.schemas.validation import UnknownFields

HEADER = "x-jarvis-ignored"


def ignored_header(unknown: UnknownFields) -> dict[str, str]:
    """Empty where there was none. A name may hold anything: what no header may is percent-encoded,
    the comma too.
    """
    if not unknown.paths:
        return {}
    names = [quote(path, safe="[]") for path in unknown.paths]
    more = [f"and {unknown.num_unnamed} more"] if unknown.num_unnamed else []
    return {HEADER: ", ".join([*names, *more])}
