"""Peers of the engine on the same tasks. One file a peer; each runs in a process (and environment) of its own."""
