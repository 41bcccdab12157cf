"""bot/live/claims.py: which plugin a command belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from bot.live.claims import Claims, Refusal


def claims(**ledger: str) -> Claims:
    """`claims(roll="dice craps")`: dice had !roll first, craps wants it too."""
    return Claims({command: names.split() for command, names in ledger.items()})


def refused(
    book: Claims, wanted: dict[str, str], live: dict[str, str] | None = None, absent: str = ""
) -> dict[str, tuple[str, str]]:
    """Who is refused, with the command and its holder; commands are words."""
    found = book.resolve(
        {plugin: commands.split() for plugin, commands in wanted.items()},
        {plugin: commands.split() for plugin, commands in (live or {}).items()},
        absent.split(),
    )
    return {plugin: (loss.command, loss.holder) for plugin, loss in found.items()}


def test_without_a_clash_nobody_is_refused() -> None:
    assert refused(claims(), {"dice": "roll", "karma": "karma"}) == {}


def test_a_newcomer_that_claims_a_taken_command_is_refused() -> None:
    book = claims(roll="dice")
    assert refused(book, {"dice": "roll", "craps": "roll"}, {"dice": "roll"}) == {"craps": ("roll", "dice")}


def test_a_refusal_names_command_and_holder() -> None:
    found = claims(roll="dice").resolve({"dice": ["roll"], "craps": ["x", "roll"]}, {"dice": ["roll"]}, ())
    assert found == {"craps": Refusal("craps", "roll", "dice")}


def test_a_newcomer_is_refused_as_a_whole() -> None:
    book = claims(roll="dice")
    wanted = {"dice": "roll", "craps": "bet roll", "other": "bet"}
    assert set(refused(book, wanted, {"dice": "roll"})) == {"craps"}


def test_at_the_very_first_start_the_order_of_the_claimants_decides() -> None:
    assert refused(claims(), {"a": "roll", "b": "roll"}) == {"b": ("roll", "a")}
    assert refused(claims(), {"b": "roll", "a": "roll"}) == {"a": ("roll", "b")}


def test_after_a_restart_the_ledger_decides_and_not_the_order() -> None:
    assert refused(claims(roll="dice craps"), {"craps": "roll", "dice": "roll"}) == {"craps": ("roll", "dice")}


def test_an_owner_that_comes_back_takes_its_command_back() -> None:
    book = claims(roll="dice craps")
    assert refused(book, {"dice": "roll", "craps": "roll"}, {"craps": "roll"}) == {"craps": ("roll", "dice")}


def test_when_the_owner_is_gone_the_earliest_claim_wins() -> None:
    book = claims(roll="dice craps yahtzee")
    wanted = {"yahtzee": "roll", "craps": "roll"}
    assert refused(book, wanted, absent="dice") == {"yahtzee": ("roll", "craps")}


def test_an_owner_that_did_not_load_keeps_its_command() -> None:
    assert refused(claims(roll="dice"), {"craps": "roll"}) == {"craps": ("roll", "dice")}


def test_an_owner_that_comes_back_broken_does_not_silence_who_is_live() -> None:
    assert refused(claims(roll="dice craps"), {"craps": "roll"}, {"craps": "roll"}) == {}


def test_an_owner_that_lets_go_of_the_command_frees_it() -> None:
    book = claims(roll="dice craps")
    assert refused(book, {"dice": "throw", "craps": "roll"}, {"dice": "roll"}) == {}


def test_who_is_live_stays_against_an_equal_claim() -> None:
    assert refused(claims(), {"a": "roll", "b": "roll"}, {"b": "roll"}) == {"a": ("roll", "b")}


def test_two_that_swap_their_commands_both_go_live() -> None:
    book = claims(roll="a", bet="b")
    assert refused(book, {"a": "bet", "b": "roll"}, {"a": "roll", "b": "bet"}) == {}


def test_a_refused_one_does_not_stand_in_the_way_of_others() -> None:
    # c loses !x to a; then nobody but b wants !y.
    book = claims(x="a c", y="c b")
    assert refused(book, {"a": "x", "c": "x y", "b": "y"}, {"a": "x"}, absent="c") == {"c": ("x", "a")}


# --- the ledger


def test_a_live_plugin_is_noted_and_gives_up_what_it_no_longer_has() -> None:
    disk: dict[str, Any] = {}
    book = Claims(disk)
    book.note("dice", ["roll", "coin"], live=True)
    book.note("dice", ["roll"], live=True)
    book.write()
    assert disk == {"roll": ["dice"]}
    assert book.commands() == ["roll"]


def test_claims_stand_in_the_order_they_were_made() -> None:
    book = claims()
    for plugin in ("dice", "craps", "dice"):
        book.note(plugin, ["roll"], live=plugin == "dice")
    assert book.order("roll") == ["dice", "craps"]


def test_one_that_waits_does_not_lose_its_other_claims() -> None:
    book = claims(bet="craps")
    book.note("craps", ["roll"], live=False)
    assert book.order("bet") == ["craps"]


def test_what_nobody_claims_has_no_order() -> None:
    assert list(claims().order("roll")) == []


def test_the_ledger_is_read_back_after_a_restart() -> None:
    disk: dict[str, Any] = {}
    book = Claims(disk)
    book.note("dice", ["roll"], live=True)
    book.write()
    assert Claims(disk).order("roll") == ["dice"]


def test_reading_the_ledger_changes_nothing_on_disk() -> None:
    disk: dict[str, Any] = {"roll": ["dice"]}
    book = Claims(disk)
    book.resolve({"craps": ["roll"]}, {}, ["dice"])
    assert disk == {"roll": ["dice"]}


@pytest.mark.parametrize("wanted", [{}, {"a": ""}])
def test_who_wants_nothing_is_never_refused(wanted: dict[str, str]) -> None:
    assert refused(claims(roll="dice"), wanted) == {}


def test_what_cannot_be_written_is_written_the_next_time() -> None:
    class Disk(dict[str, Any]):
        full = True

        def __setitem__(self, key: str, value: Any) -> None:
            if self.full:
                raise OSError("full")
            super().__setitem__(key, value)

    disk = Disk()
    book = Claims(disk)
    book.note("dice", ["roll"], live=True)
    with pytest.raises(OSError):
        book.write()
    assert book.order("roll") == ["dice"] and not book.written
    disk.full = False
    book.write()
    assert disk == {"roll": ["dice"]} and book.written
