"""Where a request comes from: what counts as one place.

Rule of this file: pure. An owner of one address of a network may have them all, so they count as one.
"""

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from callmarket.bridge.api.errors import Invalid

# A site with IPv6 has at least this network for itself, so single addresses of it are no different peers.
_NETWORK_BITS: Final = 64
_ADDRESS_CHARS_MAX: Final = 64


@lru_cache(maxsize=1_024)
def site_of(peer: str) -> str:
    """What counts as one peer: an address, of IPv6 its network, else whatever the transport says, shortened."""
    address = _address_of(peer)
    if address is None:
        return peer[:_ADDRESS_CHARS_MAX]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))


def among(networks: str, field: str) -> Callable[[str], bool]:
    """Whether a peer has one of these addresses; networks of them too, with commas between. Raises `Invalid`."""
    known = []
    for text in filter(None, (part.strip() for part in networks.split(","))):
        try:
            known.append(ipaddress.ip_network(text))
        except ValueError:
            raise Invalid(field, text, "an address or a network, as 10.0.0.7 or 10.0.0.0/24") from None

    @lru_cache(maxsize=1_024)
    def is_among(peer: str) -> bool:
        address = _address_of(peer)
        return address is not None and any(address in network for network in known)

    return is_among


def _address_of(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
