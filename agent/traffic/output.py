"""Writes what a scenario gave: the capture, the socket records, the device document - all of them or none.

write(generate(load_scenario("beacon")), "out.pcapng", "out.jsonl", "out.yaml")
"""

from __future__ import annotations

import contextlib
import json
import os
import re

from agent.capture.links import ETHERNET
from agent.capture.writer import PcapngWriter
from agent.model.errors import EnvironmentFailure, UsageError
from agent.policy.fields import Tree
from agent.traffic.generate import Generated

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\\-]*", re.ASCII)
_INTERFACE = "lab0"


def write(generated: Generated, capture_path: str, sockets_path: str | None, device_path: str | None) -> None:
    """Writes up to three files beside their names, then renames them. Raises UsageError and EnvironmentFailure."""
    _require_distinct(capture_path, sockets_path, device_path)
    texts = []
    if sockets_path is not None:
        texts.append((sockets_path, socket_lines(generated)))
    if device_path is not None:
        texts.append((device_path, device_yaml(generated.device)))
    writer = PcapngWriter(capture_path)
    beside: list[tuple[str, str]] = []
    try:
        for path, content in texts:
            beside.append((path, _write_beside(path, content)))
        writer.add_interface(ETHERNET, _INTERFACE, generated.interface_addresses)
        for packet in generated.packets:
            writer.write(packet.time_ns, ETHERNET, packet.data, len(packet.data), "", packet.direction)
        writer.close()
        while beside:
            path, partial = beside.pop(0)
            _rename(partial, path)
    finally:
        writer.abandon()
        for path, partial in beside:
            if partial != path:
                with contextlib.suppress(OSError):
                    os.unlink(partial)


def socket_lines(generated: Generated) -> str:
    """The socket records as JSON lines."""
    return "".join(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in generated.sockets)


def device_yaml(device: dict[str, Tree]) -> str:
    """The device document as YAML. By hand: yaml has its home elsewhere, and this needs scalars, lists, mappings."""
    return "".join(
        f"{key}: {_flow(value)}\n" if not _long(value) else _block(key, value) for key, value in device.items()
    )


def _block(key: str, value: Tree) -> str:
    """A long list or mapping, one item a line."""
    if isinstance(value, dict):
        return f"{key}:\n" + "".join(f"  {_scalar(name)}: {_flow(item)}\n" for name, item in value.items())
    assert isinstance(value, list)
    return f"{key}:\n" + "".join(f"  - {_flow(item)}\n" for item in value)


def _long(value: Tree) -> bool:
    return isinstance(value, (list, dict)) and len(value) > 0 and len(_flow(value)) > 60


def _flow(value: Tree) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return "null" if value is None else _scalar(value)


def _scalar(text: str) -> str:
    """Quoted unless harmless. Readers take every scalar as text; single quotes know no escapes but ''."""
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "''") + "'"


def _require_distinct(*paths: str | None) -> None:
    given = [path for path in paths if path is not None]
    for index, path in enumerate(given):
        if os.path.realpath(path) in (os.path.realpath(other) for other in given[:index]):
            raise UsageError(f"{path}: named for two outputs; give each its own file")


def _write_beside(path: str, content: str) -> str:
    """The path that holds the content until everything is written: a device is written at once, and as it stands."""
    beside = not os.path.exists(path) or os.path.isfile(path)
    partial = os.path.realpath(path) + ".partial" if beside else path
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            file.write(content)
    except (OSError, ValueError) as error:
        if beside:
            with contextlib.suppress(OSError, ValueError):
                os.unlink(partial)
        raise _failure(path, error) from None
    return partial


def _rename(partial: str, path: str) -> None:
    if partial != path:
        try:
            os.replace(partial, os.path.realpath(path))
        except OSError as error:
            raise _failure(path, error) from None


def _failure(path: str, error: Exception) -> EnvironmentFailure:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return EnvironmentFailure(f"{path}: cannot write: {reason}; give a place that can be written")
