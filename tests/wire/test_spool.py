"""bot/wire/spool.py: who writes to it never waits, whoever reads."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest

from bot.wire.spool import MOST_BYTES, Spool

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """One that is full."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 65536)
    os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)


def test_what_nobody_reads_holds_nobody_up_and_what_is_dropped_is_counted_and_told(pipe: Pipe) -> None:
    reader, writer = pipe
    spool = Spool(writer)
    handler = logging.StreamHandler(spool)
    log = logging.getLogger("bot.wire.spool")
    log.addHandler(handler)
    try:
        line = "é" + "a" * 1000
        fit = MOST_BYTES // len(f"{line}\n".encode())
        for _ in range(fit + 7):
            print(line, file=spool, end="\n", flush=True)
        assert spool.dropped >= 7
        before = time.monotonic()
        spool.end(0.05)
        assert time.monotonic() - before >= 0.05
        found = bytearray()
        while b"entries were dropped\n" not in found:
            found += os.read(reader, 1 << 20)
        text = bytes(found).lstrip(b"x").decode()
        assert "nobody read this log for a while" in text.splitlines()[-1]
        assert fit - 7 <= text.count(line) <= fit
        spool.end(20)
        assert (spool.dropped, threading.active_count() > 1) == (0, True)
        os.set_blocking(writer, False)  # as a terminal may be that somebody shares
        spool.write("y" * 500_000)
        left = 500_000
        while left:
            left -= len(os.read(reader, 1 << 20))
        spool.end(20)
        assert spool._bytes == 0
    finally:
        log.removeHandler(handler)
        os.close(writer)


def test_a_reader_that_is_gone_is_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    spool = Spool(writer)
    spool.write("to nobody\n")
    spool.end(20)
    assert spool._bytes == 0
    os.close(writer)
