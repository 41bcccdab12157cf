"""bot/wire/link.py: frames as bytes, and the link inside one process."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bot
from bot.wire import link as the_link
from bot.wire.link import SHAPES, Frame, LinkError, MemoryLink, decode, encode, one_line

words = st.text("az09é#/+-.:\u00a0", min_size=1, max_size=10).filter(lambda word: word[0] != ":")


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    verb = draw(st.sampled_from(sorted(SHAPES)))
    names, has_payload = SHAPES[verb]
    fields = tuple(draw(words) for _ in names)
    return Frame(verb, fields, draw(st.binary()).replace(b"\n", b"") if has_payload else b"")


@given(frames())
def test_what_was_written_is_read_back(frame: Frame) -> None:
    raw = encode(frame)
    assert raw.endswith(b"\n")
    assert raw.count(b"\n") == 1
    assert decode(raw) == frame


def rows() -> list[tuple[str, str, int, bool]]:
    """The frames of the table in docs/architecture.md: direction, verb, number of fields, whether a payload follows."""
    page = (Path(bot.__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    found, way = [], ""
    for line in page.partition("## The link\n")[2].partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and cells[3] not in ("meaning", "---"):
            way = cells[1] or way
            for frame in re.findall(r"`([^`]+)`", cells[2]):
                head, colon, _ = frame.partition(" :")
                verb, *names = head.split(" ")
                found.append((way, verb, len(names), bool(colon)))
    return found


def written() -> list[tuple[str, str, int, bool]]:
    """The same from `SHAPES`, where comments part the directions."""
    source, found, way = inspect.getsource(the_link), [], ""
    for line in source.partition("SHAPES: ")[2].partition("\n}\n")[0].splitlines():
        if match := re.fullmatch(r"    # (keeper -> worker|both ways|worker -> keeper)", line):
            way = match[1].replace("->", "\N{RIGHTWARDS ARROW}")
        elif match := re.match(r'    "(\w+)": ', line):
            fields, payload = SHAPES[match[1]]
            found.append((way, match[1], len(fields), payload))
    return found


def test_the_table_of_the_documentation_has_each_frame_once_as_it_is() -> None:
    assert {verb for _, verb, _, _ in written()} == SHAPES.keys()
    assert sorted(rows()) == sorted(written())


def test_a_frame_reads_as_in_the_protocol() -> None:
    assert encode(Frame("line", ("libera", "12", "0"), b":a PRIVMSG #c :x")) == b"line libera 12 0 ::a PRIVMSG #c :x\n"
    assert encode(Frame("live")) == b"live\n"


@pytest.mark.parametrize("payload", [b"a\nb", b"\n", b"x\ndone 5"])
def test_a_payload_with_a_line_end_is_refused(payload: bytes) -> None:
    with pytest.raises(LinkError):
        encode(Frame("close", ("n",), payload))


@pytest.mark.parametrize("field", ["", "a b", ":a", "a\nb", "a\0", "\udc80"])
def test_a_field_that_would_not_survive_is_refused(field: str) -> None:
    with pytest.raises(LinkError):
        encode(Frame("go", (field,)))


@pytest.mark.parametrize(
    "frame", [Frame("nonsense"), Frame("up"), Frame("go", ("a", "b")), Frame("live", (), b"x"), Frame("Up", ("a",))]
)
def test_a_frame_of_the_wrong_shape_is_refused(frame: Frame) -> None:
    with pytest.raises(LinkError):
        encode(frame)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"nonsense\n",
        b"up\n",
        b"up a b\n",
        b"up  a\n",
        b"down n\n",
        b"live :\n",
        b"\xff\n",
        b"go a\x01\n",
        b"go :a\n",
    ],
)
def test_bytes_that_are_no_frame_are_refused(raw: bytes) -> None:
    with pytest.raises(LinkError):
        decode(raw)


@given(st.binary())
def test_reading_raises_nothing_but_a_link_error(raw: bytes) -> None:
    try:
        decode(raw)
    except LinkError:
        pass


@pytest.mark.parametrize(
    ("text", "line"), [("a\r\nQUIT :b", b"a QUIT :b"), ("a\0b", b"a b"), ("\udc80", b"?"), ("\u2028é", "é".encode())]
)
def test_words_become_one_line(text: str, line: bytes) -> None:
    assert one_line(text) == line


async def test_frames_arrive_in_order_and_never_before_send_returned() -> None:
    link, got = MemoryLink(), list[str]()
    link.worker.on_frame = lambda frame: got.append(frame.fields[0])
    for number in range(100):
        link.keeper.send(Frame("go", (str(number),)))
    assert got == []
    await asyncio.sleep(0)
    assert got == [str(number) for number in range(100)]


async def test_a_frame_sent_from_a_frame_takes_another_turn() -> None:
    link, got = MemoryLink(), list[str]()
    link.keeper.on_frame = lambda frame: link.keeper.send(Frame("go", frame.fields))
    link.worker.on_frame = lambda frame: got.append(frame.verb)
    link.worker.send(Frame("go", ("n",)))
    await asyncio.sleep(0)
    assert got == []
    await asyncio.sleep(0)
    assert got == ["go"]


async def test_frames_wait_for_someone_to_take_them() -> None:
    link, got = MemoryLink(), list[str]()
    link.keeper.send(Frame("go", ("1",)))
    await asyncio.sleep(0)
    link.worker.on_frame = lambda frame: got.append(frame.fields[0])
    link.keeper.send(Frame("go", ("2",)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert got == ["1", "2"]


async def test_nothing_arrives_after_an_end_was_closed() -> None:
    link, got = MemoryLink(), list[str]()
    link.keeper.on_frame = lambda frame: got.append(frame.verb)
    link.worker.send(Frame("beat"))
    link.worker.close()
    link.worker.send(Frame("beat"))
    await asyncio.sleep(0)
    assert got == []


async def test_the_other_end_learns_of_a_close_once() -> None:
    link, closes = MemoryLink(), list[str]()
    link.keeper.on_close = lambda: closes.append("keeper")
    link.worker.on_close = lambda: closes.append("worker")
    link.worker.close()
    link.worker.close()
    await asyncio.sleep(0)
    assert closes == ["keeper"]


async def test_a_bad_frame_is_refused_at_the_sender() -> None:
    link = MemoryLink()
    with pytest.raises(LinkError):
        link.worker.send(Frame("nonsense"))


async def test_the_context_of_the_sender_does_not_cross() -> None:
    who = contextvars.ContextVar("who", default="nobody")
    link, got = MemoryLink(), list[str]()
    link.keeper.on_frame = lambda _: got.append(who.get())
    who.set("a plugin")
    link.worker.send(Frame("beat"))
    await asyncio.sleep(0)
    assert got == ["nobody"]
