"""Holds the whole process."""

import socket

from bot import command


@command("deaf")
async def deaf(ctx):
    """Never come back."""
    ours, theirs = socket.socketpair()
    ours.recv(1)
