"""Compiles the per-packet and per-flow path where a C compiler exists; without one the same source is interpreted."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.sdist import sdist

COMPILED = [
    "agent.capture.scan",
    "agent.attribution.values",
    "agent.attribution.timeline",
    "agent.attribution.subjects",
    "agent.attribution.sockets",
    "agent.attribution.chain",
    "agent.datapath.layers",
    "agent.datapath.wireless",
    "agent.datapath.links",
    "agent.datapath.headers",
    "agent.datapath.flows",
    "agent.datapath.scout",
    "agent.datapath.datapath",
    "agent.policy.intervals",
    "agent.engine.events",
    "agent.engine.pairs",
    "agent.engine.tally",
    "agent.engine.verdicts",
    "agent.engine.direction",
    "agent.engine.essentials",
    "agent.engine.names",
    "agent.engine.engine",
    "agent.replay.pump",
    "agent.sinks.buffer",
    "agent.sinks.community",
    "agent.sinks.jsonl",
    "agent.sinks.lines",
]

DIRECTIVES = {
    # Types come from the .pxd beside each module; the annotations in the .py are for people and mypy.
    "annotation_typing": False,
    "language_level": 3,
    # It reads attacker-controlled bytes: bounds checks stay on. Indexes are never negative.
    "boundscheck": True,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}

extensions = cythonize(
    [Extension(name, [name.replace(".", "/") + ".py"]) for name in COMPILED],
    compiler_directives=DIRECTIVES,
    quiet=True,
)
for extension in extensions:
    # A failing compiler is a warning, not the end of the installation. Set here: cythonize drops it.
    extension.optional = True


class SourceDistribution(sdist):
    """Holds what is needed to build, compiled, and to run the tests, without a MANIFEST.in in the tree."""

    def make_release_tree(self, base_dir, files):
        more = [Path("CHANGELOG.md"), Path(".ci/run"), *Path("agent").rglob("*.pxd")]
        for folder in ("policies", "tests", "scripts"):
            more += [path for path in Path(folder).rglob("*") if path.is_file()]
        chosen = {*files, *(path.as_posix() for path in more)}
        # Generated files fit one version of Cython and of Python.
        generated = (".c", ".so", ".pyd", ".pyc", ".pyo")
        super().make_release_tree(base_dir, sorted(name for name in chosen if not name.endswith(generated)))


setup(
    cmdclass={"sdist": SourceDistribution},
    # policies/ lies beside agent/ in the tree and inside it, as agent/policydata, when installed: policy/data.py.
    packages=[*find_packages(include=["agent", "agent.*"]), "agent.policydata"],
    package_dir={"agent.policydata": "policies"},
    ext_modules=extensions,
    options={"build_ext": {"parallel": os.cpu_count()}},
)
