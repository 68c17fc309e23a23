"""Binary Windows event logs (.evtx) as the JSON texts that evtx_dump would print.

Knows the evtx library, an extra of this package. Must not know what is in the events.

    with TextFile("Security.evtx") as file:
        for record, text in evtx_texts(file): ...
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

from agent.attribution.textfile import TextFile
from agent.model.errors import AttributionError, EnvironmentFailure

MAGIC = b"ElfFile\0"
_HEADER, _CHUNK = 4096, 65536
_CHUNKS_AT = 42
"""Where the file header has the number of chunks, 16 bits."""


def evtx_texts(file: TextFile) -> Iterator[tuple[int, bytes | ValueError]]:
    """(number of the record from 1, its event as JSON, or what is wrong with it), in the file's order.

    Raises EnvironmentFailure without the library, AttributionError for a file that it cannot read.
    """
    if file.compressed:
        raise AttributionError(file.path, 0, "is a compressed .evtx file, which cannot be read in place: expand it")
    try:
        from evtx import PyEvtxParser
    except ImportError:
        raise EnvironmentFailure(
            f"{file.path}: reading .evtx files needs the evtx package: pip install 'isolation-agent[evtx]'"
        ) from None
    try:
        records = iter(PyEvtxParser(file.path, number_of_threads=1).records_json())
    except (OSError, RuntimeError, ValueError) as error:
        raise AttributionError(file.path, 0, f"is no readable .evtx file ({_line(error)})") from None
    number = 0
    for number, text in _records(records):
        yield number, text
    size, whole = os.stat(file.path).st_size, _whole_size(file.head())
    if size < whole:
        # The library passes over a chunk that is not whole without a word.
        yield number + 1, ValueError(f"is missing: the file breaks off after {size:,} of {whole:,} bytes")


def _whole_size(head: bytes) -> int:
    """The size that the file header promises."""
    chunks = struct.unpack_from("<H", head.ljust(_HEADER, b"\0"), _CHUNKS_AT)[0]
    return _HEADER + _CHUNK * int(chunks)


def _records(records: Iterator[Any]) -> Iterator[tuple[int, bytes | ValueError]]:
    number = 0
    while True:
        number += 1
        try:
            record = next(records)
        except StopIteration:
            return
        except (OSError, RuntimeError, ValueError) as error:
            yield number, ValueError(f"is a damaged record ({_line(error)})")
        else:
            if isinstance(record, Exception):
                yield number, ValueError(f"is a damaged record ({_line(record)})")
            else:
                yield number, record["data"].encode("utf-8", "replace")


def _line(error: Exception) -> str:
    """The library's message in one line, its end cut."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
