"""Owns which addresses and names are this machine's own. Looks nothing up."""

import ipaddress

_OWN_NAME = "localhost"


def is_loopback(address: str) -> bool:
    """Of an address in digits: whether nothing that is sent there leaves this machine."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def is_own_name(name: str) -> bool:
    """Whether a name or an address in digits always means this machine, by RFC 6761."""
    lower = name.lower().removesuffix(".")
    return lower == _OWN_NAME or lower.endswith(f".{_OWN_NAME}") or is_loopback(lower)
