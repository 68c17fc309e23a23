"""Packet generators: scenario files become captures, socket records and device documents.

Knows how hosts talk. Never: expected verdicts, rules, isolation. scapy lives only in this package, and only below
`generate`: reading a scenario or listing the built-in ones does not import it.

    >>> from agent.traffic.scenario import load_scenario
    >>> load_scenario("beacon").device.platform
    'Windows11'
"""
