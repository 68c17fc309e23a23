"""This machine's device document: one that replay takes, and that says nothing it does not know."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from agent.model.address import parse_address
from agent.policy.document import load_device
from agent.record.device import device_document

ADDRESSES = [parse_address(text) for text in ("127.0.0.1", "10.0.0.5", "::1", "fe80::5", "2001:db8::5")]


@pytest.mark.parametrize(
    ("files", "version", "resolvers"),
    [
        pytest.param({}, None, [], id="nothing-known"),
        pytest.param(
            {"etc/os-release": 'NAME="Debian"\nVERSION_ID="12"\n', "etc/resolv.conf": "# own\nnameserver 10.0.0.1\n"},
            "12", ["10.0.0.1"], id="plain",
        ),
        pytest.param(
            {
                "etc/resolv.conf": "nameserver 127.0.0.53\nsearch corp\n",
                "run/systemd/resolve/resolv.conf": "nameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver x\n",
            },
            None, ["10.0.0.1", "fe80::1", "127.0.0.53"], id="behind-a-stub",
        ),
    ],
)  # fmt: skip
def test_it_loads_and_holds_what_the_machine_says(
    tmp_path: Path, files: dict[str, str], version: str | None, resolvers: list[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    path = tmp_path / "device.yaml"
    path.write_text(device_document(ADDRESSES, root=str(tmp_path)), "utf-8")
    device = load_device(str(path))
    assert (device.platform, device.name, device.os_version) == ("Linux", socket.gethostname(), version)
    assert [str(address) for address in device.addresses] == ["10.0.0.5", "fe80::5", "2001:db8::5"]
    assert [str(address) for address in device.resolvers] == resolvers
