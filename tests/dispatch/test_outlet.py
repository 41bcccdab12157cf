"""bot/dispatch/outlet.py: the lines that one call says, cut, numbered and only so many at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from types import SimpleNamespace

import pytest

from bot.dispatch.outlet import CUT, MAX_ASKERS, MAX_TEXT_CHARACTERS, MAX_WAITING_LINES, CallOutlet, Pending
from bot.errors import UnsafeText
from bot.protocol.message import Message

HERE = ("libera", "#a")
BOB = ("libera", "#a", "bob")


class Sender:
    """Takes lines as the connections would; `room` bytes fit into each."""

    def __init__(self, room: int = 400) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.bytes = room
        self.sent: list[tuple[str, Message, str, str, int]] = []
        self.waiting: Awaitable[object] | None = None
        self.one, self.groups = False, list[int]()  # whether the network joins lines, and how many came at a time

    def room(self, network: str, command: str, target: str) -> int:
        return self.bytes

    def together(self, network: str) -> bool:
        return self.one

    def deliver(
        self, network: str, messages: Sequence[Message], cause: str, handler: str, k: int
    ) -> list[Awaitable[object] | None]:
        self.groups.append(len(messages))
        for number, message in enumerate(messages, k):
            message.encode()
            self.sent.append((network, message, cause, handler, number))
        return [self.waiting]

    @property
    def texts(self) -> list[str]:
        return [message.params[1] for _, message, *_ in self.sent]

    @property
    def numbers(self) -> list[int]:
        return [k for *_, k in self.sent]


def outlet(sender: Sender, limit: int = 3, pending: Pending | None = None) -> CallOutlet:
    return CallOutlet(sender, "7", "weather.forecast", HERE, limit=limit, pending=pending, asker=BOB)


def say(out: CallOutlet, *texts: str, kind: str = "say", target: str = "#a") -> None:
    for text in texts:
        out.send("libera", target, kind, text)


# --- what becomes of a text


async def test_a_text_is_one_line_that_answers_the_asked_one() -> None:
    sender = Sender()
    say(outlet(sender), "hi")
    assert sender.sent == [("libera", Message("PRIVMSG", ("#a", "hi")), "7", "weather.forecast", 0)]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("say", Message("PRIVMSG", ("#a", "hi"))),
        ("notice", Message("NOTICE", ("#a", "hi"))),
        ("action", Message("PRIVMSG", ("#a", "\x01ACTION hi\x01"))),
    ],
)
async def test_each_kind_has_its_form(kind: str, message: Message) -> None:
    sender = Sender()
    say(outlet(sender), "hi", kind=kind)
    assert sender.sent[0][1] == message


@pytest.mark.parametrize("text", ["a\r\nQUIT :x", "a\nQUIT :x", "a\rQUIT :x", "a\r\n\r\nQUIT :x\r\n"])
@pytest.mark.parametrize("kind", ["say", "notice", "action"])
async def test_a_line_end_begins_a_new_message_never_a_command(text: str, kind: str) -> None:
    sender = Sender()
    say(outlet(sender), text, kind=kind)
    assert [message.param(0) for _, message, *_ in sender.sent] == ["#a", "#a"]
    assert [text.strip("\x01").removeprefix("ACTION ") for text in sender.texts] == ["a", "QUIT :x"]


async def test_nul_and_the_sign_of_ctcp_become_spaces() -> None:
    sender = Sender()
    say(outlet(sender), "a\0b", "\x01VERSION\x01")
    assert sender.texts == ["a b", " VERSION "]


@pytest.mark.parametrize("text", ["", " ", "\r\n", "\0", "\n\n \n"])
async def test_nothing_to_say_says_nothing(text: str) -> None:
    sender = Sender()
    say(outlet(sender), text)
    assert sender.sent == []


async def test_a_long_line_is_cut_to_what_fits() -> None:
    sender = Sender(room=20)
    say(outlet(sender, limit=8), "the quick brown fox jumps over the lazy dog")
    assert all(len(text.encode()) <= 20 for text in sender.texts)
    assert " ".join(sender.texts) == "the quick brown fox jumps over the lazy dog"


async def test_an_action_leaves_room_for_its_frame() -> None:
    sender = Sender(room=30)
    say(outlet(sender, limit=8), "the quick brown fox jumps over the lazy dog", kind="action")
    assert all(len(text.encode()) <= 30 and text.endswith("\x01") for text in sender.texts)


async def test_a_text_beyond_all_measure_is_cut_with_a_note() -> None:
    sender = Sender()
    pending = Pending()
    out = outlet(sender, limit=1, pending=pending)
    say(out, "x" * (MAX_TEXT_CHARACTERS + 1))
    out.finish()
    assert pending.take(BOB)[-1].params[1].endswith(" [cut]")


@pytest.mark.parametrize("target", ["#a\r\nQUIT", "#a\nb", "#a\0", "#a b", "", ":a"])
async def test_a_target_that_is_more_than_a_name_is_refused(target: str) -> None:
    sender = Sender()
    with pytest.raises(UnsafeText):
        say(outlet(sender), "hi", target=target)
    assert sender.sent == []


async def test_a_bad_target_is_refused_to_the_caller_in_another_thread_too() -> None:
    sender = Sender()
    with pytest.raises(UnsafeText):
        await asyncio.to_thread(say, outlet(sender), "hi", target="#a\r\nQUIT")
    assert sender.sent == []


# --- numbers


async def test_lines_are_numbered_in_the_order_said() -> None:
    sender = Sender()
    out = outlet(sender)
    say(out, "a", "b", "c")
    out.finish()
    assert sender.numbers == [0, 1, 2]


async def test_lines_from_another_thread_come_in_order_before_the_end() -> None:
    sender = Sender()
    out = outlet(sender, limit=100)
    await asyncio.to_thread(say, out, *map(str, range(50)))
    say(out, "last")
    assert sender.texts == [*map(str, range(50)), "last"]
    assert sender.numbers == list(range(51))


async def test_words_after_the_end_answer_nothing_in_particular() -> None:
    sender = Sender()
    out = outlet(sender)
    say(out, "a")
    out.finish()
    say(out, "late")
    assert [cause for _, _, cause, _, _ in sender.sent] == ["7", "-"]


async def test_what_is_said_can_be_awaited_until_there_is_room() -> None:
    sender = Sender()
    sender.waiting = room = sender.loop.create_future()
    sent = outlet(sender).send("libera", "#a", "say", "hi")

    async def wait() -> None:
        await sent

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    room.set_result(None)
    await waiting


# --- how many


async def test_the_last_line_of_the_allowance_waits_for_the_end() -> None:
    sender = Sender()
    out = outlet(sender)
    say(out, "1", "2", "3")
    assert sender.texts == ["1", "2"]
    out.finish()
    assert sender.texts == ["1", "2", "3"]


async def test_what_is_beyond_the_allowance_waits_for_more() -> None:
    sender, pending = Sender(), Pending()
    out = outlet(sender, pending=pending)
    say(out, "1", "2", "3", "4", "5")
    out.finish()
    assert sender.texts == ["1", "2", "3 (+2 more: !more)"]
    assert [message.params[1] for message in pending.take(BOB)] == ["4", "5"]


async def test_the_hint_fits_into_the_line_and_what_it_pushes_out_comes_first() -> None:
    sender, pending = Sender(room=40), Pending()
    out = outlet(sender, limit=1, pending=pending)
    say(out, "one two three four five six seven eight", "nine")
    out.finish()
    (shown,) = sender.texts
    rest = [message.params[1] for message in pending.take(BOB)]
    assert len(shown.encode()) <= 40 and shown.endswith(f" (+{len(rest)} more: !more)")
    assert " ".join([shown.partition(" (+")[0], *rest]) == "one two three four five six seven eight nine"


async def test_a_line_of_codes_alone_may_be_the_one_with_the_hint() -> None:
    sender, pending = Sender(room=40), Pending()
    out = outlet(sender, limit=1, pending=pending)
    say(out, "\x02" * 40, "next")
    out.finish()
    assert sender.texts == [" (+1 more: !more)"]


async def test_an_action_keeps_its_form_around_the_hint() -> None:
    sender, pending = Sender(), Pending()
    out = outlet(sender, limit=1, pending=pending)
    say(out, "waves", "bows", kind="action")
    out.finish()
    assert sender.texts == ["\x01ACTION waves (+1 more: !more)\x01"]
    assert [message.params[1] for message in pending.take(BOB)] == ["\x01ACTION bows\x01"]


async def test_lines_to_another_place_are_not_counted() -> None:
    sender = Sender()
    out = outlet(sender, limit=1)
    say(out, *"abcdef", target="#b")
    assert sender.texts == list("abcdef")


async def test_the_same_place_on_another_network_is_not_counted() -> None:
    sender = Sender()
    out = outlet(sender, limit=1)
    for text in "abc":
        out.send("oftc", "#a", "say", text)
    assert sender.texts == list("abc")


async def test_without_a_place_nothing_is_counted() -> None:
    sender = Sender()
    out = CallOutlet(sender, "-", "weather.poll", limit=1)
    say(out, "a", "b", "c")
    out.finish()
    assert sender.texts == ["a", "b", "c"]


async def test_what_waits_is_bounded() -> None:
    sender, pending = Sender(), Pending()
    out = outlet(sender, limit=1, pending=pending)
    say(out, *["x"] * (MAX_WAITING_LINES + 1))
    out.finish()
    assert [message.params[1] for message in pending.take(BOB)] == ["x"] * MAX_WAITING_LINES


@pytest.mark.parametrize("text", ["x", "x\n" * 2000], ids=["many texts", "long texts"])
async def test_what_is_beyond_that_is_cut_with_a_note(text: str) -> None:
    sender, pending = Sender(), Pending()
    out = outlet(sender, limit=1, pending=pending)
    say(out, *[text] * (MAX_WAITING_LINES + 50))
    out.finish()
    assert sender.texts == [f"x (+{MAX_WAITING_LINES} more: !more)"]
    assert [message.params[1] for message in pending.take(BOB)] == ["x"] * (MAX_WAITING_LINES - 1) + [CUT]


async def test_what_is_cut_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, pending = Sender(), Pending()
    out = outlet(sender, limit=1, pending=pending)
    say(out, "x\n" * (MAX_WAITING_LINES + 50))
    monkeypatch.setattr("bot.dispatch.outlet.split", None)
    say(out, "never split")
    out.finish()
    assert sender.texts == [f"x (+{MAX_WAITING_LINES} more: !more)"]
    assert [message.params[1] for message in pending.take(BOB)] == ["x"] * (MAX_WAITING_LINES - 1) + [CUT]


async def test_a_thread_that_is_far_ahead_of_the_loop_hands_over_no_more_than_can_wait() -> None:
    sender, pending = Sender(), Pending()
    out = outlet(sender, limit=3, pending=pending)
    handed: list[object] = []
    sender.loop = SimpleNamespace(call_soon_threadsafe=lambda *call: handed.append(call))  # type: ignore[assignment]
    await asyncio.to_thread(say, out, *["x"] * 10_000)
    assert len(handed) == MAX_WAITING_LINES + 4
    for function, *arguments in handed:  # type: ignore[misc]
        function(*arguments)
    out.finish()
    assert sender.texts == ["x", "x", f"x (+{MAX_WAITING_LINES} more: !more)"]
    assert pending.take(BOB)[-1].params[1] == CUT


async def test_finishing_without_a_word_says_nothing() -> None:
    sender = Sender()
    outlet(sender).finish()
    assert sender.sent == []


# --- pending


def test_what_waits_is_taken_once() -> None:
    pending = Pending()
    pending.put(BOB, [Message("PRIVMSG", ("#a", "x"))])
    assert len(pending.take(BOB)) == 1
    assert pending.take(BOB) == []


def test_a_new_answer_replaces_what_waited() -> None:
    pending = Pending()
    pending.put(BOB, [Message("PRIVMSG", ("#a", "old"))])
    pending.put(BOB, [Message("PRIVMSG", ("#a", "new"))])
    assert [message.params[1] for message in pending.take(BOB)] == ["new"]


def test_the_asker_who_waited_longest_is_forgotten_first() -> None:
    pending = Pending()
    for number in range(MAX_ASKERS + 1):
        pending.put(("n", "#a", str(number)), [Message("PRIVMSG", ("#a", "x"))])
    assert pending.take(("n", "#a", "0")) == []
    assert pending.take(("n", "#a", "1")) != []


# --- lines that are one message


def joining(limit: int = 8, room: int = 400) -> tuple[Sender, CallOutlet]:
    sender = Sender(room)
    sender.one = True
    return sender, outlet(sender, limit)


async def test_the_lines_of_one_text_are_one_message_where_the_network_takes_that() -> None:
    sender, out = joining()
    say(out, "one\ntwo\nthree", "four")
    assert sender.texts == ["one", "two", "three", "four"]
    assert (sender.groups, sender.numbers) == ([3, 1], [0, 1, 2, 3])


async def test_elsewhere_each_is_its_own() -> None:
    sender = Sender()
    say(outlet(sender, 8), "one\ntwo\nthree")
    assert sender.groups == [1, 1, 1]


async def test_notices_and_actions_are_not_joined() -> None:
    sender, out = joining()
    say(out, "one\ntwo", kind="notice")
    say(out, "one\ntwo", kind="action")
    assert sender.groups == [1, 1, 1, 1]


async def test_the_pieces_of_a_long_line_are_marked_to_be_put_together_again() -> None:
    sender, out = joining(room=12)
    say(out, "the quick brown fox\nnext")
    assert "".join(sender.texts[:-1]) == "the quick brown fox"
    assert ["draft/multiline-concat" in message.tags for _, message, *_ in sender.sent] == [False, True, False]


async def test_a_text_that_fills_the_allowance_waits_for_the_end_and_is_one_message_still() -> None:
    sender, out = joining(limit=3)
    say(out, "one\ntwo\nthree")
    assert sender.sent == []
    out.finish()
    assert sender.groups == [3]


async def test_what_is_more_waits_and_the_hint_stands_in_the_last_line_of_the_message() -> None:
    sender, out = joining(limit=3)
    say(out, "one\ntwo\nthree\nfour\nfive")
    out.finish()
    assert sender.groups == [3]
    assert sender.texts == ["one", "two", "three (+2 more: !more)"]


async def test_a_second_run_says_each_message_as_the_first_did() -> None:
    sender, out = joining()
    out.said = []
    say(out, "one\ntwo", "three")
    again = Sender()
    outlet(again).again(out.said)
    assert (again.texts, again.groups, again.numbers) == (sender.texts, sender.groups, sender.numbers)


async def test_only_the_first_line_of_an_answer_names_what_it_answers() -> None:
    sender = Sender(12)
    asked = Message("PRIVMSG", ("#a", "x"), tags={"msgid": "7"})
    outlet(sender, 8).send("libera", "#a", "say", "the quick brown fox\nnext", asked)
    tags = {"+reply": "7", "+draft/reply": "7"}
    assert [dict(message.tags) for _, message, *_ in sender.sent] == [tags, {}, {}]
