"""Link types: the numbers captures carry and the names people read (the registry of draft-ietf-opsawg-pcaplinktype).

>>> link_name(113), link_number("ethernet"), link_name(4000)
('sll', 1, 'link-4000')
"""

from __future__ import annotations

NULL, ETHERNET, RAW, LOOP, SLL, IPV4, IPV6, SLL2 = 0, 1, 101, 108, 113, 228, 229, 276

_NAMES = {
    NULL: "null",
    ETHERNET: "ethernet",
    6: "token-ring",
    9: "ppp",
    # Files written where the number of the capturing host's DLT_RAW was stored instead of LINKTYPE_RAW.
    12: "raw",
    14: "raw",
    50: "ppp-hdlc",
    51: "ppp-ether",
    RAW: "raw",
    105: "ieee802.11",
    LOOP: "loop",
    SLL: "sll",
    127: "radiotap",
    149: "user2",
    192: "ppi",
    195: "ieee802.15.4",
    IPV4: "ipv4",
    IPV6: "ipv6",
    239: "nflog",
    249: "usbpcap",
    253: "netlink",
    258: "pktap",
    SLL2: "sll2",
}
_NUMBERS = {name: number for number, name in sorted(_NAMES.items())}


def link_name(number: int) -> str:
    """The name of a link type, `link-NUMBER` for one without a name here."""
    return _NAMES.get(number) or f"link-{number}"


def link_number(name: str) -> int:
    """The number of a name as `link_name` gives it. Raises ValueError naming what is allowed."""
    number = _NUMBERS.get(name)
    if number is None:
        digits = name.removeprefix("link-")
        if digits == name or not (digits.isascii() and digits.isdigit() and int(digits) <= 0xFFFF):
            raise ValueError(f"{name!r} is not one of {', '.join(_NUMBERS)} or link-NUMBER up to 65535")
        number = int(digits)
    return number
