"""Opens a file under construction so that it is nobody else's.

Knows how links mislead. Must not know what is written.

    open(path + ".partial", "wb", opener=fresh)
"""

from __future__ import annotations

import contextlib
import os

_UNLINKED = getattr(os, "O_NOFOLLOW", 0)


def fresh(path: str, flags: int) -> int:
    """An opener for open(): what lies there, a link that somebody else laid among it, is removed and not written to."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, flags | os.O_EXCL | _UNLINKED, 0o666)
