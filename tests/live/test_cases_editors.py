"""Case 35 of the reload catalogue, and L02 of the other: real editors and tools, each as people use it.

One save is one reload and never an unload; the crowd asks `!hello` all the time. vim and emacs make no backup of what
lies in a folder for temporary files, so they are told to: it is the way they save elsewhere.
"""

from __future__ import annotations

import shutil

import pytest
from stage import Stage

FILE = "plugins/hello.py"
VIM = ("hello 1", ":%s/hello 1/hello 2/\r:wq\r", 0)
BACKUPS = "(setq backup-enable-predicate (lambda (name) t))"


def replacing(before: int) -> str:
    """Keys for emacs: to the beginning, replace, save."""
    return f"\x1b<\x1bxreplace-string\rhello {before}\rhello {before + 1}\r\x18\x13"


TYPED = {
    "vim": (["vim", "--cmd", "set backupskip=", FILE], VIM),
    "vim backupcopy=yes": (["vim", "--cmd", "set backupskip= backupcopy=yes", FILE], VIM),
    "vim backupcopy=no backup": (["vim", "--cmd", "set backupskip= backupcopy=no backup", FILE], VIM),
    "vim nowritebackup": (["vim", "--cmd", "set nowritebackup", FILE], VIM),
    "nano": (
        ["nano", FILE],
        ("hello 1", "\x1c", 0),
        ("Search", "hello 1\r", 0),
        ("Replace with", "hello 2\r", 0),
        ("this instance", "A", 0),
        ("occurrence", "\x0f", 0),
        ("Write", "\r", 0),
        ("Wrote", "\x18", 0),
    ),
}


def skip_without(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


async def live(stage: Stage) -> None:
    await stage.report(r"hello g1 -> g2 \(\w{7} -> \w{7}\): ~hello, \d+ ms")
    assert await stage.ask("!hello") == ["hello 2"]


@pytest.mark.parametrize("name", TYPED)
async def test_35_a_save_of_an_editor_is_one_reload(stage: Stage, name: str) -> None:
    skip_without(name.split()[0])
    await stage.do(("typed", *TYPED[name]))
    await live(stage)


async def test_35_emacs_saves_by_renaming_first_and_in_place_from_then_on(stage: Stage) -> None:
    skip_without("emacs")
    command = ["emacs", "-nw", "-Q", "--eval", BACKUPS, FILE]
    steps = (("hello 1", replacing(1), 0), ("Wrote", replacing(2), 400), ("Wrote", "\x18\x03", 0))
    await stage.do(("typed", command, *steps))
    await stage.report(r"hello g1 -> g2 .*: ~hello, \d+ ms")
    await stage.report(r"hello g2 -> g3 .*: ~hello, \d+ ms")
    assert await stage.ask("!hello") == ["hello 3"]
    assert (stage.folder / "plugins" / "hello.py~").exists()


COMMANDS = {
    "sed -i": "sed -i 's/hello 1/hello 2/' {file}",
    "sed -i with a backup": "sed -i.bak 's/hello 1/hello 2/' {file}",
    "perl -i": "perl -pi -e 's/hello 1/hello 2/' {file}",
    "cp": "sed 's/hello 1/hello 2/' {file} > new && cp new {file}",
    "cp -p": "sed 's/hello 1/hello 2/' {file} > new && touch -d '2001-01-01' new && cp -p new {file}",
    "mv": "sed 's/hello 1/hello 2/' {file} > new && mv new {file}",
    "ln -f": "sed 's/hello 1/hello 2/' {file} > new && ln -f new {file}",
    "install": "sed 's/hello 1/hello 2/' {file} > new && install -m 644 new {file}",
    "tee": "sed 's/hello 1/hello 2/' {file} > new && tee {file} < new > /dev/null",
    "dd and fsync": "sed 's/hello 1/hello 2/' {file} > new && dd if=new of={file} conv=fsync bs=16 status=none",
    "ed": "printf '%s\\n' ',s/hello 1/hello 2/' w q | ed -s {file}",
    "patch": "sed 's/hello 1/hello 2/' {file} > new; diff -u {file} new | patch -s {file}; rm -f {file}.orig",
    # Without -I a file of the same second and size is the same to it.
    "rsync": "mkdir new && sed 's/hello 1/hello 2/' {file} > new/hello.py && rsync -aI new/ plugins/",
    "tar": "mkdir new && sed 's/hello 1/hello 2/' {file} > new/hello.py && tar cC new hello.py | tar xC plugins",
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_l02_a_save_of_a_tool_is_one_reload(stage: Stage, name: str) -> None:
    skip_without(name.split()[0])
    await stage.do(("shell", COMMANDS[name].format(file=FILE)))
    await live(stage)
