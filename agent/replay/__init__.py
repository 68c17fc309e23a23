"""Runs recorded captures through the engine: opens, wires, drives, reports. The edge of a replay.

Never: how options are spelled, how a packet is judged, how a summary looks.
"""
