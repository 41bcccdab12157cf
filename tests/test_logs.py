"""bot/logs.py: one record is one line, with its fields, without secrets, and never a flood."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
import logging
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import logs
from bot.config import Secret

log = logging.getLogger("bot.somewhere")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Puts back what `setup` and `redact` change for the whole process."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    root.handlers.clear()
    logs._secrets.clear()
    logs._pattern = None
    for name in logs._CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET)


def start(level: str = "info", format: str = "text") -> io.StringIO:
    stream = io.StringIO()
    root = logging.getLogger()  # without pytest's own, which keep records and raise on bad ones
    root.handlers[:] = [handler for handler in root.handlers if handler is logs._handler]
    logs.setup(level, format, stream)  # type: ignore[arg-type]
    return stream


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_a_line_has_time_level_logger_and_message() -> None:
    stream = start()
    log.info("hello %s", "you")
    date, clock, level, rest = stream.getvalue().split(maxsplit=3)
    assert (len(date), len(clock), level, rest) == (10, 12, "info", "bot.somewhere: hello you\n")


def test_lines_may_be_made_by_someone_else() -> None:
    stream = start()
    logs.setup(stream=stream, line=lambda record: f"<{record.getMessage()}>")
    log.info("hello")
    assert lines(stream) == ["<hello>"]


def test_what_is_below_the_level_is_not_written() -> None:
    stream = start("warning")
    log.info("no")
    log.warning("yes")
    assert [line.split(": ")[1] for line in lines(stream)] == ["yes"]


def test_a_second_setup_takes_the_place_of_the_first() -> None:
    first, second = start(), start()
    log.info("once")
    assert (first.getvalue(), len(lines(second))) == ("", 1)


def test_a_second_setup_tells_what_the_first_held_back() -> None:
    first = start()
    for _ in range(logs.SAME_PER_MINUTE + 1):
        log.error("the same")
    start()
    assert first.getvalue().endswith("... 1 more like this: the same\n")


@pytest.mark.parametrize("name", ["irc.client", "asyncio", "watchdog.observers"])
def test_libraries_say_nothing_at_debug(name: str) -> None:
    stream = start("debug")
    logging.getLogger(name).debug("no")
    log.debug("yes")
    assert len(lines(stream)) == 1


def test_what_is_not_printable_is_escaped() -> None:
    stream = start()
    log.info("%s", "a\r\nQUIT\0\x1b[31m\u2028\u202e\ud800\tz")
    assert lines(stream)[0].endswith(r": a\r\nQUIT\x00\x1b[31m\u2028\u202e\ud800\tz")


@given(st.text(), st.text(), st.sampled_from(["text", "json"]))
def test_any_record_is_one_line(message: str, channel: str, format: str) -> None:
    stream = start("info", format)
    with logs.context(channel=channel):
        log.info(message)
    assert len(lines(stream)) == 1
    assert lines(stream)[0].isprintable()


def test_json_is_one_object_a_line() -> None:
    stream = start("info", "json")
    with logs.context(network="libera", channel="#a", plugin="karma"):
        log.warning('say "%s"', "\u00e4")
    entry = json.loads(stream.getvalue())
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "warning", "logger": "bot.somewhere", "network": "libera", "channel": "#a", "plugin": "karma",
        "message": 'say "\u00e4"',
    }  # fmt: skip


def fail() -> None:
    raise KeyError("planted\nline")


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_is_kept(format: str) -> None:
    stream = start("info", format)
    try:
        fail()
    except KeyError:
        log.exception("it failed")
    if format == "json":
        assert json.loads(stream.getvalue())["trace"].endswith(r"KeyError: 'planted\nline'")
    else:
        head, *trace = lines(stream)
        assert head.endswith("it failed")
        assert "in fail" in stream.getvalue()
        assert all(line.startswith("    ") for line in trace)


def test_a_record_that_can_t_be_written_says_where_and_nothing_of_its_content() -> None:
    stream = start()
    log.error("%d planted", "planted")
    assert "test_logs.py:" in stream.getvalue()
    assert "planted" not in stream.getvalue()


def test_a_closed_stream_ends_nothing() -> None:
    start().close()
    log.error("nobody reads this")


# Context


def where(stream: io.StringIO) -> list[str]:
    return [line.split("bot.somewhere", 1)[1] for line in lines(stream)]


def test_fields_stand_before_the_message_and_end_with_the_block() -> None:
    stream = start()
    with logs.context(network="libera"):
        with logs.context(channel="#a", plugin="karma"):
            log.info("in")
        log.info("between")
    log.info("out")
    assert where(stream) == [" libera #a karma: in", " libera: between", ": out"]


async def test_tasks_inherit_the_fields_of_their_maker_and_keep_their_own() -> None:
    stream = start()
    entered = asyncio.Event()

    async def work(name: str) -> None:
        with logs.context(plugin=name):
            entered.set()
            await asyncio.sleep(0)
            log.info("work")

    with logs.context(network="libera"):
        tasks = [asyncio.create_task(work(name)) for name in ("a", "b")]
    await entered.wait()
    log.info("meanwhile")
    await asyncio.gather(*tasks)
    await asyncio.to_thread(log.info, "thread")
    assert where(stream) == [": meanwhile", " libera a: work", " libera b: work", ": thread"]


async def test_a_generator_closed_by_another_task_is_no_error() -> None:
    async def give() -> object:
        with logs.context(plugin="a"):
            yield 1

    generator = give()
    await asyncio.create_task(anext(generator))  # type: ignore[arg-type]
    await generator.aclose()  # type: ignore[attr-defined]


# Secrets


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_secret_is_written_as_stars_wherever_it_stands(format: str) -> None:
    logs.redact("planted\"\\'x", Secret("planted-2"))
    stream = start("info", format)
    with logs.context(channel="#planted-2"):
        log.info("%s %r", "planted\"\\'x", {"key": "planted\"\\'x"})
    try:
        raise ValueError("planted\"\\'x planted-2")
    except ValueError:
        log.exception("planted-2")
    assert "planted" not in stream.getvalue()
    assert stream.getvalue().count("***") == 8  # twice in the line of source


@given(st.binary(max_size=9), st.binary(max_size=9))
def test_base64_that_holds_a_secret_shows_none_of_it(before: bytes, after: bytes) -> None:
    """SASL PLAIN sends it that way, between the account's name and the end."""
    secret = b"correct horse battery"
    logs.redact(secret.decode())
    shown = logs.clean(base64.b64encode(before + secret + after).decode())
    assert "***" in shown
    for piece in shown.split("***"):
        assert b"horse" not in base64.b64decode(piece[: len(piece) // 4 * 4])


def test_the_longer_of_two_secrets_is_found_first() -> None:
    logs.redact("planted", "planted-tail")
    assert logs.clean("planted-tail planted") == "*** ***"


def test_a_secret_of_three_letters_is_left_alone() -> None:
    logs.redact("abc")
    assert logs.clean("abc") == "abc"


# Bursts


def record(text: str, *arguments: object, line: int = 1, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord("bot.somewhere", level, "x.py", line, text, arguments, None)


def write(burst: logs.Burst, times: int, now: float, line: int = 1) -> int:
    """How many of so many records that differ in their arguments only are admitted."""
    return sum(burst.admit(record("error %d", number, line=line), now) for number in range(times))


def test_the_same_record_is_written_so_often_and_then_counted() -> None:
    burst = logs.Burst(limit=10, seconds=60)
    assert write(burst, 47, 0.0) == 10
    assert burst.ended(59.9) == []
    assert [line.getMessage() for line in burst.ended(60.0)] == ["... 37 more like this: error 0"]
    assert burst.ended(60.0) == []
    assert write(burst, 11, 60.0) == 10


def test_nothing_is_told_of_those_that_were_all_written() -> None:
    burst = logs.Burst(limit=10)
    write(burst, 10, 0.0)
    assert burst.ended(60.0) == []


def test_records_from_two_places_are_counted_apart() -> None:
    burst = logs.Burst(limit=1)
    assert (write(burst, 3, 0.0, line=1), write(burst, 3, 0.0, line=2)) == (1, 1)


def test_the_number_of_kinds_is_bounded() -> None:
    burst = logs.Burst(limit=1, most=100)
    told = 0
    for number in range(1000):
        told += len(burst.ended(0.0))
        write(burst, 2, 0.0, line=number)
    assert (told, len(burst._kinds)) == (899, 101)


def test_a_burst_of_errors_is_folded_and_told_at_the_end() -> None:
    stream = start()
    for number in range(logs.SAME_PER_MINUTE + 37):
        with logs.context(plugin="karma"):
            log.error("error %d", number)
    assert len(lines(stream)) == logs.SAME_PER_MINUTE
    log.info("another")
    logging.getLogger().handlers[-1].close()
    assert where(stream)[-2:] == [": another", " karma: ... 37 more like this: error 0"]


def test_lines_that_are_no_warnings_are_never_held_back() -> None:
    stream = start()
    for _ in range(50):
        log.info("the same")
    assert len(lines(stream)) == 50


def test_a_plugin_that_says_the_same_for_ever_does_not_fill_the_disk() -> None:
    stream = start()
    for number in range(logs.PLUGINS_SAME_PER_MINUTE + 7):
        logging.getLogger("plugins.karma").info("line %d", number)
    logging.getLogger("plugins.karma").info("another")
    assert len(lines(stream)) == logs.PLUGINS_SAME_PER_MINUTE + 1
    logging.getLogger().handlers[-1].close()
    assert lines(stream)[-1].endswith(" plugins.karma: ... 7 more like this: line 0")


def test_a_burst_keeps_nothing_of_a_plugin_alive() -> None:
    class Error(Exception):
        pass

    start()
    kept = weakref.ref(Error)
    for _ in range(20):
        try:
            raise Error("x")
        except Error as error:
            log.exception("it failed: %s", error)
    del Error
    gc.collect()
    assert kept() is None
