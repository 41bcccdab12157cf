"""What the bot holds of its trial processes, and that it lets go of all of it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from bot.live.trialorigin import fresh
from bot.live.trialspares import Zygote


async def test_a_wait_for_a_child_that_is_cancelled_as_it_comes_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zygote = Zygote(fresh())
    came = zygote._came
    made = list[socket.socket]()

    def then_cancel(pid: int) -> None:
        wanted = zygote._wanted[0]
        came(pid)
        made.append(wanted.result()[1])
        asking.cancel()

    monkeypatch.setattr(zygote, "_came", then_cancel)
    asking = asyncio.create_task(zygote.fork())
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [each.fileno() for each in made] == [-1]
    await zygote.close()
