"""Link types: the numbers captures carry and the names people read (the registry of draft-ietf-opsawg-pcaplinktype).

>>> link_name(113), link_number("ethernet"), link_name(4000)
('sll', 1, 'link-4000')
>>> registered_name(249)
'LINKTYPE_USBPCAP (249)'
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
    104: "cisco-hdlc",
    105: "ieee802.11",
    LOOP: "loop",
    109: "enc",
    SLL: "sll",
    117: "pflog",
    119: "prism",
    127: "radiotap",
    149: "user2",
    163: "avs",
    166: "ppp-pppd",
    192: "ppi",
    195: "ieee802.15.4",
    204: "ppp-with-direction",
    219: "mpls",
    IPV4: "ipv4",
    IPV6: "ipv6",
    239: "nflog",
    249: "usbpcap",
    253: "netlink",
    258: "pktap",
    SLL2: "sll2",
}
_NUMBERS = {name: number for number, name in sorted(_NAMES.items())}

_REGISTERED = {
    0: "NULL", 1: "ETHERNET", 2: "EXP_ETHERNET", 3: "AX25", 4: "PRONET", 5: "CHAOS", 6: "IEEE802_5", 7: "ARCNET_BSD",
    8: "SLIP", 9: "PPP", 10: "FDDI", 12: "RAW", 14: "RAW", 50: "PPP_HDLC", 51: "PPP_ETHER", 99: "SYMANTEC_FIREWALL",
    100: "ATM_RFC1483", 101: "RAW", 104: "C_HDLC", 105: "IEEE802_11", 106: "ATM_CLIP", 107: "FRELAY", 108: "LOOP",
    109: "ENC", 112: "HDLC", 113: "LINUX_SLL", 114: "LTALK", 117: "PFLOG", 119: "IEEE802_11_PRISM", 122: "IP_OVER_FC",
    123: "SUNATM", 127: "IEEE802_11_RADIOTAP", 129: "ARCNET_LINUX", 138: "APPLE_IP_OVER_IEEE1394",
    139: "MTP2_WITH_PHDR", 140: "MTP2", 141: "MTP3", 142: "SCCP", 143: "DOCSIS", 144: "LINUX_IRDA",
    163: "IEEE802_11_AVS", 165: "BACNET_MS_TP", 166: "PPP_PPPD", 169: "GPRS_LLC", 177: "LINUX_LAPD",
    187: "BLUETOOTH_HCI_H4", 189: "USB_LINUX", 192: "PPI", 195: "IEEE802_15_4_WITHFCS", 196: "SITA", 197: "ERF",
    201: "BLUETOOTH_HCI_H4_WITH_PHDR", 202: "AX25_KISS", 203: "LAPD", 204: "PPP_WITH_DIR", 205: "C_HDLC_WITH_DIR",
    206: "FRELAY_WITH_DIR", 209: "IPMB_LINUX", 215: "IEEE802_15_4_NONASK_PHY", 219: "MPLS", 220: "USB_LINUX_MMAPPED",
    224: "FC_2", 225: "FC_2_WITH_FRAME_DELIMS", 226: "IPNET", 227: "CAN_SOCKETCAN", 228: "IPV4", 229: "IPV6",
    230: "IEEE802_15_4_NOFCS", 231: "DBUS", 239: "NFLOG", 240: "NETANALYZER", 241: "NETANALYZER_TRANSPARENT",
    242: "IPOIB", 243: "MPEG_2_TS", 247: "INFINIBAND", 248: "SCTP", 249: "USBPCAP", 250: "RTAC_SERIAL",
    251: "BLUETOOTH_LE_LL", 253: "NETLINK", 254: "BLUETOOTH_LINUX_MONITOR", 255: "BLUETOOTH_BREDR_BB",
    256: "BLUETOOTH_LE_LL_WITH_PHDR", 258: "PKTAP", 259: "EPON", 265: "RDS", 266: "USB_DARWIN", 267: "OPENFLOW",
    268: "SDLC", 271: "VSOCK", 272: "NORDIC_BLE", 274: "ETHERNET_MPACKET", 276: "LINUX_SLL2", 280: "VPP_DISPATCH",
    281: "DSA_TAG_BRCM", 282: "DSA_TAG_BRCM_PREPEND", 283: "IEEE802_15_4_TAP", 284: "DSA_TAG_DSA",
    285: "DSA_TAG_EDSA", 288: "USB_2_0", **{147 + number: f"USER{number}" for number in range(16)},
}  # fmt: skip
"""Those that general captures have; the registry's other names are of devices nobody replays here."""


def link_name(number: int) -> str:
    """The name of a link type, `link-NUMBER` for one without a name here."""
    return _NAMES.get(number) or f"link-{number}"


def registered_name(number: int) -> str:
    """The registry's name with the number, for a message about a link type."""
    name = _REGISTERED.get(number)
    return f"LINKTYPE_{name} ({number})" if name else f"LINKTYPE {number}"


def link_number(name: str) -> int:
    """The number of a name as `link_name` gives it. Raises ValueError naming what is allowed."""
    number = _NUMBERS.get(name)
    if number is None:
        digits = name.removeprefix("link-")
        if digits == name or not (digits.isascii() and digits.isdigit() and int(digits) <= 0xFFFF):
            raise ValueError(f"{name!r} is not one of {', '.join(_NUMBERS)} or link-NUMBER up to 65535")
        number = int(digits)
    return number
