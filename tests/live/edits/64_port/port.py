"""Listens on a port."""

import asyncio

from bot import command, start

PORT = 0
listening = []


async def greet(reader, writer):
    writer.write(b"port 1")
    writer.close()


@start
async def listen(ctx):
    server = await ctx.enter(await asyncio.start_server(greet, "127.0.0.1", PORT))
    listening.append(server.sockets[0].getsockname()[1])


@command("port")
async def port(ctx):
    """Tell the port."""
    return str(listening[0])
