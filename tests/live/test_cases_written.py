"""Cases 32 to 42 of the reload catalogue: how files get written."""

from __future__ import annotations

from stage import Stage

TWO = r"hello g1 -> g2 \(\w{7} -> \w{7}\): ~hello, \d+ ms"


async def test_32_a_file_that_is_still_open_is_waited_for(stage: Stage) -> None:
    """The first chunk is a plugin by itself, and must never be one: the whole has two commands."""
    first = stage.read("hello.py").replace("hello 1", "hello half")
    second = '\n\n@command("extra")\nasync def extra(ctx):\n    return "extra"\n'
    await stage.do(("chunks", "plugins/hello.py", 50, first, second))
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
