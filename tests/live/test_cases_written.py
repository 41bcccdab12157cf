"""Cases 32 to 34, 42 to 44 and 52 of the reload catalogue, and L01, L03, L08 and L10 of the other: how files get
written. Editors, git, folders and links have files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from stage import Stage

EXTRA = '\n\n@command("extra")\nasync def extra(ctx):\n    return "extra"\n'
TWO = r"hello g1 -> g2 \(\w{7} -> \w{7}\): ~hello, \d+ ms"


async def test_32_a_file_that_is_still_open_is_waited_for(stage: Stage) -> None:
    """The first chunk is a plugin by itself, and must never be one: the whole has two commands."""
    first = stage.read("hello.py").replace("hello 1", "hello half")
    await stage.do(("chunks", "plugins/hello.py", 50, first, EXTRA))
    await stage.report(r"hello g1 -> g2 .*: \+extra ~hello, \d+ ms")
    assert await stage.ask("!hello", "!extra") == ["hello half", "extra"]


async def test_33_a_file_that_is_emptied_for_a_moment_is_no_deletion(stage: Stage) -> None:
    """The crowd asks `!hello` all the time."""
    text = stage.edited("hello.py", "hello 1", "hello 2")
    await stage.do(("write", "plugins/hello.py", ""), ("wait", 20), ("write", "plugins/hello.py", text))
    await stage.report(TWO)
    assert await stage.ask("!hello") == ["hello 2"]


async def test_34_a_file_renamed_over_it_is_live(stage: Stage) -> None:
    text = stage.edited("hello.py", "hello 1", "hello 2")
    await stage.do(("replace", "plugins/hello.py", text, "plugins/hello.py.tmp"))
    await stage.report(TWO)
    assert await stage.ask("!hello") == ["hello 2"]


async def test_34_a_file_renamed_over_it_from_outside_is_live(stage: Stage) -> None:
    text = stage.edited("hello.py", "hello 1", "hello 2")
    await stage.do(("replace", "plugins/hello.py", text, "outside.py"))
    await stage.report(TWO)
    assert await stage.ask("!hello") == ["hello 2"]


async def test_34_a_file_linked_over_it_is_live(stage: Stage) -> None:
    text = stage.edited("hello.py", "hello 1", "hello 2")
    await stage.do(("link", "plugins/hello.py", text, "outside.py"))
    await stage.report(TWO)
    assert await stage.ask("!hello") == ["hello 2"]


async def test_42_edits_of_one_size_within_one_second_are_live(stage: Stage) -> None:
    """The trap of bytecode files, which know a source by its size and its second."""
    for number in range(2, 8):
        await stage.edit("hello.py", f"hello {number - 1}", f"hello {number}")
        await stage.report(rf"hello g{number - 1} -> g{number} .*: ~hello, \d+ ms")
        assert await stage.ask("!hello") == [f"hello {number}"]


async def test_35_a_file_that_an_editor_moves_aside_is_no_deletion(stage: Stage) -> None:
    """As vim saves by default; it was seen to leave the name empty for 57 ms. The crowd asks `!hello` all the time."""
    text = stage.edited("hello.py", "hello 1", "hello 2")
    path, backup = "plugins/hello.py", "plugins/hello.py~"
    await stage.do(("move", path, backup), ("wait", 57), ("write", path, text), ("delete", backup))
    await stage.report(TWO)
    assert await stage.ask("!hello") == ["hello 2"]


async def test_l01_a_file_in_twenty_pieces_is_taken_when_it_is_closed(stage: Stage) -> None:
    """The first piece is a plugin by itself; the crowd asks `!hello`, and no piece is told of."""
    text = stage.read("hello.py").replace("hello 1", "hello half")
    rest = [f"# {number}\n" for number in range(18)]
    await stage.do(("chunks", "plugins/hello.py", 50, text, *rest, EXTRA))
    await stage.report(r"hello g1 -> g2 .*: \+extra ~hello, \d+ ms")
    assert await stage.ask("!hello", "!extra") == ["hello half", "extra"]


async def test_l01_another_plugin_does_not_wait_for_it(stage: Stage) -> None:
    text = stage.read("hello.py").replace("hello 1", "hello half")
    slow = stage.edited("slow.py", "slow 1", "slow 2")
    holder = "import sys, time; file = open(sys.argv[1], 'w'); file.write(sys.stdin.read()); file.flush()"
    (stage.folder / "holder.py").write_text(
        f"{holder}\nfor _ in range(25): time.sleep(0.1); file.write('#'); file.flush()"
    )
    (stage.folder / "half").write_text(text)
    await stage.do(
        (
            "shell",
            "python3 holder.py plugins/hello.py < half > held 2>&1 & while ! grep -q half plugins/hello.py; do :; done",
        ),
        ("write", "plugins/slow.py", slow),
    )
    await stage.report(r"slow g1 -> g2 .*")
    assert await stage.ask("!hello", "!slow 0") == ["hello 1", "slow 2 done"]
    await stage.report(r"hello g1 -> g2 .*")


async def test_43_an_edit_that_restores_size_and_time_is_live(stage: Stage) -> None:
    text = stage.edited("hello.py", "hello 1", "hello 2")
    await stage.do(("disguise", "plugins/hello.py", text))
    await stage.report(TWO)
    assert await stage.ask("!hello") == ["hello 2"]


async def test_44_of_two_hundred_saves_in_a_row_the_last_is_live_and_nothing_is_left(stage: Stage) -> None:
    """They come quicker than people save; what grows with each generation would grow by a lot."""
    text = stage.read("hello.py")

    def saves(numbers: range) -> list[tuple[str, ...]]:
        return [
            step
            for number in numbers
            for step in (("write", "plugins/hello.py", text.replace("hello 1", f"hello {number}")), ("wait", 10))
        ]

    sizes = []
    for numbers in (range(2, 102), range(102, 302), range(302, 502)):
        await stage.do(*saves(numbers))
        last = f"hello {numbers[-1]}"
        while await stage.ask("!hello") != [last]:
            await stage.report(r"hello g\d+ -> g\d+ .*: ~hello, \d+ ms")
        await stage.catch_up("hello")
        sizes.append(anonymous_bytes(stage.process))
    assert sizes[2] - sizes[1] < 1_000_000, f"memory grows: {sizes}"


def anonymous_bytes(process: int) -> int:
    """What a process holds of memory that no file stands behind, proc(5)."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


async def test_52_a_plugin_that_came_before_the_module_it_needs_is_live_without_another_save(stage: Stage) -> None:
    user = 'from bot import command\n\nfrom ._new import V\n\n\n@command("user")\nasync def user(ctx):\n    return V\n'
    await stage.do(("write", "plugins/user.py", user), ("wait", 50), ("write", "plugins/_new.py", 'V = "new"\n'))
    # Whether it was tried before its module came is a matter of chance.
    line = await stage.report(r"user (loaded g1|not loaded: user\.py:3: .*_new).*")
    if "not loaded" in line:
        await stage.report(r"user loaded g1 \(\w{7}\)")
    if stage.program.errors():
        await stage.trace("from ._new import V")
    assert await stage.ask("!user") == ["new"]


@pytest.mark.parametrize(
    "name",
    [
        *(".hello.py.swp", "4913", "hello.py~", ".#hello.py", "#hello.py#", "hello.py.tmp", "hello.py.bak"),
        *("__pycache__/hello.cpython-311.pyc", ".git/index"),
    ],
)
async def test_l03_what_tools_leave_beside_a_plugin_is_none(stage: Stage, name: str) -> None:
    """That nothing was told is checked at the end of each case."""
    text = stage.edited("hello.py", "hello 1", "hello 2")
    top = Path("plugins") / Path(name).parts[0]
    await stage.do(("write", f"plugins/{name}", text), ("wait", 20), ("delete", str(top)))
    assert await stage.ask("!hello") == ["hello 1"]


async def test_l08_forty_edits_of_one_size_are_told_apart(stage: Stage) -> None:
    """The bot runs with byte-code caching on."""
    text = stage.read("hello.py")
    for number in range(10, 50):
        await stage.do(("write", "plugins/hello.py", text.replace("hello 1", f"hello {number}")), ("wait", 50))
    while await stage.ask("!hello") != ["hello 49"]:
        await stage.report(r"hello g\d+ -> g\d+ .*: ~hello, \d+ ms")
    await stage.catch_up("hello")
    assert stage.generations["hello"] > 2


async def test_l10_what_leaves_the_content_is_no_reload(stage: Stage) -> None:
    text = stage.read("hello.py")
    await stage.do(
        ("touch", "plugins/hello.py"),
        ("chmod", "plugins/hello.py", "600"),
        ("write", "plugins/hello.py", text),
        ("replace", "plugins/hello.py", text, "plugins/hello.py.tmp"),
        ("shell", "cat plugins/*.py > all"),
    )
    await stage.nothing_happens()
    assert (await stage.order("!version hello", "usr")).startswith("hello g1 ")
