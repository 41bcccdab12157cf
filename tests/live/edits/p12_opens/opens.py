"""Opens things at each load and closes none."""

import socket
import tempfile

from bot import command, setup

file = open(__file__)  # noqa: SIM115
sockets = socket.socketpair()


@setup
async def more(ctx):
    global scratch
    scratch = tempfile.TemporaryFile()  # noqa: SIM115


@command("opens")
async def opens(ctx):
    """Answer."""
    return "opens 1"
