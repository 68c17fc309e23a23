"""The command lines that are measured, of the agent and of what stands beside it; where they are and their versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmark.shapes import BENCH, ROOT, Shape

TCPDUMP = "tcpdump -r FILE -w /dev/null 'tcp port 443'"
ARGUS = "argus -r FILE -w /dev/null"
NFSTREAM = "nfstream, flows without dissection"

NFSTREAM_PROGRAM = """
import sys
from nfstream import NFStreamer
if __name__ == "__main__":
    packets = sum(flow.bidirectional_packets for flow in NFStreamer(source=sys.argv[1], n_dissections=0))
    sys.exit(f"nfstream saw {packets} packets" if packets != int(sys.argv[2]) else 0)
"""
"""Its fastest form: default options, and no application dissection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An installed agent."""

    python: Path

    @property
    def command(self) -> list[str]:
        script = self.python.parent / "isolation-agent"
        return [str(script)] if script.exists() else [str(self.python), "-m", "agent.cli"]

    def replay(self, shape: Shape, *more: str) -> list[str]:
        """A whole replay of a shape, selective, with its rules, device and socket records."""
        folder = shape.folder()
        options = []
        for option, name in (("rules", "rules.yaml"), ("device", "device.yaml"), ("attribution", "sockets.jsonl")):
            options += [f"--{option}", str(folder / name)]
        options += ["--mode", "selective", "--summary-json", str(folder / "summary.json"), "--no-progress"]
        return [*self.command, "replay", str(shape.capture()), *options, *more]

    def recording(self, shape: Shape) -> list[str]:
        """The same with a decision record for every flow."""
        return self.replay(shape, "--decisions", str(shape.folder() / "decisions.jsonl"))

    def imports(self, shape: Shape, library: str) -> bool:
        """Whether a replay of this shape imports `library`."""
        arguments = self.replay(shape)[len(self.command) :]
        program = (
            "import sys\nfrom agent.cli.main import main\n"
            f"sys.argv = ['isolation-agent', *{arguments!r}]\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
            f"print({library!r} in sys.modules)"
        )
        done = subprocess.run([self.python, "-c", program], capture_output=True, text=True, check=True)
        return done.stdout.split()[-1] == "True"

    def version(self) -> str:
        program = (
            "import platform, agent, agent.datapath.datapath as datapath\n"
            "kind = 'interpreted' if datapath.__file__.endswith('.py') else 'compiled'\n"
            "print(agent.__version__, kind, 'with Python', platform.python_version())"
        )
        return said_by([str(self.python), "-c", program])


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """The programs beside it; None where one is not installed."""

    tcpdump: str | None
    argus: str | None
    nfstream: Path | None
    """The Python that has it: it is no dependency of the agent and gets an environment of its own."""

    def filter(self, shape: Shape) -> list[str]:
        assert self.tcpdump is not None
        return [self.tcpdump, "-r", str(shape.capture()), "-w", "/dev/null", "tcp port 443"]

    def meter(self, shape: Shape) -> list[str]:
        """argus, without this machine's configuration (-X), its records thrown away.

        It waits a second before it ends: on a small capture that is most of its time.
        """
        assert self.argus is not None
        return [self.argus, "-X", "-r", str(shape.capture()), "-w", "/dev/null"]

    def stream(self, shape: Shape) -> list[str]:
        assert self.nfstream is not None
        return [str(self.nfstream), "-c", NFSTREAM_PROGRAM, str(shape.capture()), str(shape.packets)]

    def versions(self) -> dict[str, str]:
        found = {}
        if self.tcpdump is not None:
            lines = said_by([self.tcpdump, "--version"]).splitlines()
            found["tcpdump"] = ", ".join(line.split(" (")[0].removeprefix("tcpdump version ") for line in lines[:2])
        if self.argus is not None:
            words = said_by([self.argus, "-h"]).split()
            found["argus"] = words[words.index("Version") + 1] if "Version" in words[:-1] else "of unknown version"
        if self.nfstream is not None:
            found["nfstream"] = said_by([str(self.nfstream), "-c", "import nfstream; print(nfstream.__version__)"])
        return found


def find_others(argus: str | None = None, nfstream: Path | None = None) -> Others:
    """What is installed, on the path or where it was told to be."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    own = BENCH / "nfstream/bin/python"
    return Others(
        tcpdump=shutil.which("tcpdump", path=path),
        argus=shutil.which(argus or "argus", path=path),
        nfstream=nfstream or (own if own.exists() else None),
    )


def said_by(command: list[str]) -> str:
    """What a short command prints, on either output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=ROOT)
    return (done.stdout + done.stderr).strip()


def machine() -> str:
    """The class of this machine, nothing that names it."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"
