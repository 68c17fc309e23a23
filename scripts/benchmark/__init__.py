"""What scripts/bench and scripts/bench-capture are made of. stages.py and owners.py need the agent, others Python only.

`shapes` names of captures and their room on the disk · `plan` the flows of a capture · `packets` their frames ·
`documents` rules, device, sockets · `processes` one whole process, measured · `tools` command lines ·
`stages` where the time goes, inside the agent · `breakdown` the same as a table · `fit` least squares ·
`owners` what finding a socket's owner costs, `attribution` the same as a table ·
`tables` ratios, goals and how they look.
"""
