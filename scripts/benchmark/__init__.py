"""What scripts/bench and scripts/bench-capture are made of. Only stages.py needs more than Python: the agent.

`shapes` names of captures and their room on the disk · `plan` the flows of a capture · `packets` their frames ·
`documents` rules, device, sockets · `processes` one whole process, measured · `tools` command lines ·
`stages` where the time goes, inside the agent · `breakdown` the same as a table · `fit` least squares ·
`tables` ratios, goals and how they look.
"""
