"""Makes benches, over a link in memory and over one between two sockets; and supervisors with workers that are none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from bench import LINKS, Bench
from scripted import ScriptedServer
from staff import Loop, Staff


@pytest_asyncio.fixture(params=LINKS)
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    """Makes benches with settings, on plain text unless a TLS context is given; ends what was made."""
    made = list[Bench]()

    async def make(tls_server: Any = None, *, kept: bool = False, **settings: Any) -> Bench:
        server = await ScriptedServer(tls_server).__aenter__()
        made.append(Bench(server, request.param, **settings))
        await made[-1].work(kept=kept)
        return made[-1]

    yield make
    for bench in made:
        await bench.end()


@pytest.fixture
def staff(monkeypatch: pytest.MonkeyPatch) -> Iterator[Staff]:
    """A supervisor on a loop of its own; for tests that are `staged`."""
    loop = Loop()
    yield Staff(loop, monkeypatch)
    loop.close()
