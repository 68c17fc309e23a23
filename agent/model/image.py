"""Image paths in one canonical form, made once at the border; everything else compares the result with ==.

Windows: one-to-one upper case (NTFS' way, never full case folding: straße is not strasse), `/` = `\\`, prefixes
and NT device names resolved, trailing dots and spaces stripped. POSIX: case kept, `.` and `..` resolved.

    >>> windows_image(r"\\\\?\\c:/Windows/./notepad.EXE. ")
    'C:\\\\WINDOWS\\\\NOTEPAD.EXE'
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"%([^%]+)%")
_DRIVE = re.compile(r"[A-Za-z]:\\")
_FORBIDDEN = frozenset('<>"|?*')
_CANONICAL_BUT_FOR_CASE = re.compile(r"""[A-Za-z]:(?:\\[^\\/:<>"|?*\x00-\x1f]*[^\\/:<>"|?*\x00-\x1f. ])+""")
"""A drive, then components of which none is empty, `.` or `..`, or ends in a dot or space: most paths there are."""


def upper_one_to_one(text: str) -> str:
    """Upper case character by character, leaving alone those whose upper case is longer (ß, ŉ, ligatures)."""
    if text.isascii():
        return text.upper()
    return "".join(upper if len(upper := character.upper()) == 1 else character for character in text)


def expand_variables(text: str, environment: Mapping[str, str]) -> str:
    """`%NAME%` replaced from the machine environment, names without regard to case. Raises ValueError if unknown."""
    if "%" not in text:
        return text
    known = {name.upper(): value for name, value in environment.items()}

    def value_of(match: re.Match[str]) -> str:
        try:
            return known[match[1].upper()]
        except KeyError:
            raise ValueError(f"the device has no environment variable %{match[1]}%") from None

    return _VARIABLE.sub(value_of, text)


def map_device(text: str, drives: Mapping[str, str]) -> str:
    r"""`\Device\HarddiskVolume3\x` as `C:\x` where the drive map knows the volume, else unchanged."""
    for device, drive in drives.items():
        if text[: len(device)].upper() == device.upper() and text[len(device) : len(device) + 1] in ("\\", "/"):
            return drive.rstrip("\\/") + text[len(device) :]
    return text


def windows_image(text: str, drives: Mapping[str, str] | None = None) -> str:
    """Canonical form of an absolute Windows path without variables. Raises ValueError saying what is wrong.

    A volume that `drives` does not know keeps its `\\DEVICE\\...` name: comparable with itself, equal to no drive.
    """
    if text.isascii() and _CANONICAL_BUT_FOR_CASE.fullmatch(text) and map_device(text, drives or {}) is text:
        return text.upper()
    path = text.replace("/", "\\")
    for prefix in ("\\\\?\\UNC\\", "\\??\\UNC\\"):
        if path[: len(prefix)].upper() == prefix:
            path = "\\\\" + path[len(prefix) :]
    for prefix in ("\\\\?\\", "\\??\\", "\\\\.\\"):
        path = path.removeprefix(prefix)
    path = map_device(path, drives or {})
    if _DRIVE.match(path):
        root, rest = path[:2], path[3:]
    elif path.startswith("\\\\"):
        root, rest = "\\", path[1:].lstrip("\\")
        root = "\\\\" + rest.split("\\", 1)[0]
        rest = rest.partition("\\")[2]
    elif path[:8].upper() == "\\DEVICE\\":
        root, rest = "\\DEVICE", path[8:]
    else:
        raise ValueError(f"{text!r} is not an absolute Windows path such as C:\\Windows\\notepad.exe")
    if ":" in rest:
        raise ValueError(f"{text!r}: ':' is allowed only after the drive letter")
    if bad := sorted(_FORBIDDEN & set(rest)) or [c for c in rest if ord(c) < 32]:
        raise ValueError(f"{text!r}: {bad[0]!r} cannot stand in a Windows file name")
    components = _resolve(rest.split("\\"), windows=True)
    if not components:
        raise ValueError(f"{text!r} names no file")
    return upper_one_to_one("\\".join([root, *components]))


def posix_image(text: str) -> str:
    """Canonical form of an absolute POSIX path. Raises ValueError saying what is wrong."""
    if not text.startswith("/") or "\0" in text:
        raise ValueError(f"{text!r} is not an absolute path such as /usr/bin/curl")
    components = _resolve(text.split("/"), windows=False)
    if not components:
        raise ValueError(f"{text!r} names no file")
    return "/" + "/".join(components)


def _resolve(parts: list[str], *, windows: bool) -> list[str]:
    """Components with `.`, `..` and empty ones resolved; on Windows trailing dots and spaces stripped."""
    kept: list[str] = []
    for part in parts:
        if part == "..":
            if kept:
                kept.pop()
            continue
        name = part.rstrip(". ") if windows else part
        if name and name != ".":
            kept.append(name)
    return kept


def image_name(canonical: str) -> str:
    """The last component: what a person calls the program."""
    return canonical.replace("\\", "/").rpartition("/")[2]
