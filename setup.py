"""Compiles the per-packet and per-flow path where a C compiler exists; without one the same source is interpreted."""

import os

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

COMPILED = [
    "agent.capture.scan",
    "agent.attribution.timeline",
    "agent.attribution.chain",
    "agent.datapath.headers",
    "agent.datapath.flows",
    "agent.datapath.datapath",
    "agent.engine.events",
    "agent.engine.direction",
    "agent.engine.essentials",
    "agent.engine.names",
    "agent.engine.engine",
    "agent.sinks.community",
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

setup(
    # policies/ lies beside agent/ in the tree and inside it, as agent/policydata, when installed: policy/data.py.
    packages=[*find_packages(include=["agent", "agent.*"]), "agent.policydata"],
    package_dir={"agent.policydata": "policies"},
    ext_modules=extensions,
    options={"build_ext": {"parallel": os.cpu_count()}},
)
