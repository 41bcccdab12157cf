"""A server, and people on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from speaking import Join, ask

from bot.server import Client, Server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server(accounts={"alice": "sesame", "long": "x" * 400}, now=lambda: 1_000_000_000.25)
    await server.start()
    yield server
    await server.stop()
    assert server.crashes == []


@pytest.fixture
async def join(server: Server) -> AsyncIterator[Join]:
    """`await join("alice", "#a", "#b", caps="...")`: a client that has joined these."""
    clients: list[Client] = []

    async def connect(nick: str, *channels: str, caps: str = "", account: str | None = None) -> Client:
        client = await Client.connect("127.0.0.1", server.port, nick, account=account, password="sesame", caps=caps)
        clients.append(client)
        await ask(client, *(f"JOIN {name}" for name in channels))
        return client

    yield connect
    for client in clients:
        await client.close()
