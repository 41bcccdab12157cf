"""Cases 36, 37, 39, 40, 41 and 48 of the reload catalogue, and L04 and L06 of the other: folders and links that come,
go and lead elsewhere."""

from __future__ import annotations

import pytest
from crowd import ASKED
from stage import Stage

TWO = r"hello g1 -> g2 \(\w{7} -> \w{7}\): ~hello, \d+ ms"
PACKAGE = '"""A package."""\n\nfrom bot import command\n\nfrom .words import WORD\n\n\n@command("pkg")\nasync def pkg(ctx):\n    return f"pkg {WORD}"\n'  # noqa: E501
WORDS = 'WORD = "{}"\n'

patient = pytest.mark.parametrize("stage", [{"delete_grace_ms": 3000}], indirect=True, ids=["patient"])
swept = pytest.mark.parametrize("stage", [{"sweep_seconds": 0.2}], indirect=True, ids=["swept"])


async def test_36_an_edit_right_after_a_file_was_moved_out_is_live(stage: Stage) -> None:
    await stage.crowd.spare("!p1")
    text = stage.edited("hello.py", "hello 1", "hello 2")
    await stage.do(("move", "plugins/p1.py", "p1.py"), ("write", "plugins/hello.py", text))
    await stage.report(TWO)
    await stage.report("p1 unloaded")
    await stage.do(("move", "p1.py", "plugins/p1.py"))
    await stage.report(r"p1 loaded g2 .*")


@pytest.mark.parametrize("how", ["cp -r", "piece by piece", "renamed", "linked"])
async def test_37_a_new_package_is_loaded_once_it_is_complete(stage: Stage, how: str) -> None:
    files = (("write", "{}/__init__.py", PACKAGE), ("wait", 100), ("write", "{}/words.py", WORDS.format(1)))
    place = "plugins/pkg" if how == "piece by piece" else "new/pkg"
    await stage.do(
        *((step, str(first).format(place) if step == "write" else first, *rest) for step, first, *rest in files)
    )
    match how:
        case "cp -r":
            await stage.do(("shell", "cp -r new/pkg plugins/"))
        case "renamed":
            await stage.do(("move", "new/pkg", "plugins/pkg"))
        case "linked":
            await stage.do(("shell", "ln -s ../new/pkg plugins/pkg"))
    await stage.report(r"pkg loaded g1 \(\w{7}\)")
    assert await stage.ask("!pkg") == ["pkg 1"]
    await stage.write("pkg/words.py", WORDS.format(2))
    await stage.report(r"pkg g1 -> g2 .*")
    assert await stage.ask("!pkg") == ["pkg 2"]


GONE_AND_BACK = {
    "39 rm -rf and tar": "tar cf saved.tar plugins; rm -rf plugins; sleep 0.3; tar xf saved.tar",
    "L06 moved away and back": "mv plugins away; sleep 0.3; mv away plugins",
    "L06 replaced by a copy": "cp -r plugins copy; mv plugins away; sleep 0.3; mv copy plugins",
}


@patient
@pytest.mark.parametrize("how", GONE_AND_BACK)
async def test_a_folder_that_is_gone_for_a_moment_costs_nobody_a_command(stage: Stage, how: str) -> None:
    """The crowd asks all the time; what comes back as it was is no reload."""
    await stage.do(("shell", GONE_AND_BACK[how]))
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.report(TWO)
    assert await stage.ask("!hello") == ["hello 2"]


async def test_39_after_the_grace_the_commands_go_and_come_back_with_their_files(stage: Stage) -> None:
    await stage.crowd.spare(*ASKED)
    await stage.do(("shell", GONE_AND_BACK["39 rm -rf and tar"]))
    assert "unloaded" in await stage.reports.next()
    while "loaded g2" not in await stage.reports.next():  # `rm` takes its time: some may have gone before the others
        pass
    await stage.count_anew()
    stage.counter_begins_anew()
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.report(r"hello g2 -> g3 .*")


@pytest.mark.parametrize("stage", [{"linked": "releases/1"}], indirect=True, ids=["linked"])
async def test_40_a_folder_that_is_a_link_is_watched_and_its_swap_is_one_reload(stage: Stage) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.report(TWO)
    await stage.do(
        ("shell", "cp -r releases/1 releases/2 && sed -i 's/hello 2/hello 3/; s/slow 1/slow 2/' releases/2/*.py")
    )
    await stage.do(("swap", "plugins", "releases/2"))
    await stage.report(r"hello g2 -> g3 .*; slow g1 -> g2 .*, \d+ ms")
    assert await stage.ask("!hello", "!slow 0") == ["hello 3", "slow 2 done"]
    await stage.edit("hello.py", "hello 3", "hello 4")  # in the new tree
    await stage.report(r"hello g3 -> g4 .*")


async def test_41_a_link_that_the_files_lead_through_is_swapped(stage: Stage) -> None:
    """As Kubernetes updates a ConfigMap: the plugin's own link gets no event."""
    await stage.do(
        ("shell", "mkdir plugins/..1 && cp plugins/hello.py plugins/..1/"),
        ("swap", "plugins/..data", "..1"),
        ("swap", "plugins/hello.py", "..data/hello.py"),
    )
    await stage.do(
        ("shell", "mkdir plugins/..2 && sed 's/hello 1/hello 2/' plugins/hello.py > plugins/..2/hello.py"),
        ("swap", "plugins/..data", "..2"),
        ("shell", "rm -r plugins/..1"),
    )
    await stage.report(TWO)
    assert await stage.ask("!hello") == ["hello 2"]


@swept
async def test_l04_the_target_of_a_link_that_is_edited_elsewhere_is_live(stage: Stage) -> None:
    text = stage.edited("hello.py", "hello 1", "hello 2")
    await stage.do(
        ("shell", "mkdir real && cp plugins/hello.py real/"), ("swap", "plugins/hello.py", "../real/hello.py")
    )
    await stage.do(("write", "real/hello.py", text))
    await stage.report(TWO)
    assert await stage.ask("!hello") == ["hello 2"]


@swept
async def test_l04_a_half_written_target_of_a_link_is_never_loaded(stage: Stage) -> None:
    """No event tells of it: a sweep finds it while its writer has it open."""
    half = stage.read("hello.py").replace("hello 1", "hello half")
    await stage.do(
        ("shell", "mkdir real && cp plugins/hello.py real/"), ("swap", "plugins/hello.py", "../real/hello.py")
    )
    rest = '\n\n@command("extra")\nasync def extra(ctx):\n    return "extra"\n'
    await stage.do(("chunks", "real/hello.py", 800, half, rest))
    await stage.report(r"hello g1 -> g2 .*: \+extra ~hello, \d+ ms")


@swept
async def test_l04_a_link_that_leads_nowhere_is_a_missing_file(stage: Stage) -> None:
    await stage.crowd.spare("!hello")
    await stage.do(
        ("shell", "mkdir real && cp plugins/hello.py real/"), ("swap", "plugins/hello.py", "../real/hello.py")
    )
    await stage.do(("delete", "real/hello.py"))
    await stage.report("hello unloaded")
    await stage.do(("shell", "rm plugins/hello.py"))


async def test_48_a_module_that_becomes_a_package_and_back_answers_all_the_time(stage: Stage) -> None:
    module = stage.read("hello.py")
    package = module.replace('return "hello 1"', "return HELLO").replace(
        "from bot import command\n", "from bot import command\n\nfrom .words import HELLO\n"
    )
    await stage.do(
        ("write", "plugins/hello/words.py", 'HELLO = "hello 2"\n'),
        ("write", "plugins/hello/__init__.py", package),
        ("delete", "plugins/hello.py"),
    )
    await stage.report(r"hello g1 -> g2 .*")
    assert await stage.ask("!hello") == ["hello 2"]
    await stage.do(("write", "plugins/hello.py", module), ("delete", "plugins/hello"))
    await stage.report(r"hello g2 -> g3 .*")
    assert await stage.ask("!hello") == ["hello 1"]
