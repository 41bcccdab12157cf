"""bot/live/look.py: what folders look like from outside, and who writes in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.live.look import identity, is_open_for_writing, look, silent_kind

linux = pytest.mark.skipif(sys.platform != "linux", reason="fcntl(2) has leases on Linux alone")


def plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    (folder / "pkg").mkdir(parents=True)
    (folder / "weather.py").write_text("x = 1")
    (folder / "pkg" / "__init__.py").write_text("")
    return folder


def restore(path: Path) -> None:
    """An edit that restores the size and the times."""
    stat = path.stat()
    path.write_text("x = 2")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    "edit",
    [
        lambda folder: (folder / "weather.py").write_text("x = 22"),
        lambda folder: restore(folder / "weather.py"),
        lambda folder: (folder / "weather.py").unlink(),
        lambda folder: (folder / "dice.py").write_text(""),
        lambda folder: (folder / "pkg" / "__init__.py").write_text("x"),
        lambda folder: (folder / "weather.py").chmod(0o600),
        lambda folder: (folder.rename(folder.parent / "old"), (folder.parent / "old" / "..").resolve()),
    ],
    ids=["longer", "restored", "deleted", "new", "in a package", "chmod", "moved away"],
)
def test_every_edit_shows(tmp_path: Path, edit: Callable[[Path], object]) -> None:
    folder = plugins(tmp_path)
    (folder / "weather.py").chmod(0o644)
    before = look([folder])
    edit(folder)
    assert look([folder]) != before


@pytest.mark.parametrize("name", [".weather.py.swp", "weather.py~", "notes.txt", "__pycache__/a.py"])
def test_by_products_do_not_show(tmp_path: Path, name: str) -> None:
    folder = plugins(tmp_path)
    before = look([folder])
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("")
    assert look([folder]) == before


def test_the_target_of_a_link_shows_and_a_link_that_leads_nowhere_is_nothing(tmp_path: Path) -> None:
    folder = plugins(tmp_path)
    target = tmp_path / "target.py"
    (folder / "link.py").symlink_to(target)
    before = look([folder])
    assert str(folder / "link.py") not in before
    target.write_text("x")
    assert look([folder]) != before


def test_a_pipe_is_not_looked_at(tmp_path: Path) -> None:
    folder = plugins(tmp_path)
    os.mkfifo(folder / "pipe.py")
    assert str(folder / "pipe.py") not in look([folder])


def test_folders_that_lead_back_to_themselves_end(tmp_path: Path) -> None:
    folder = plugins(tmp_path)
    (folder / "pkg" / "again").symlink_to(folder)
    assert look([folder])


def test_what_is_missing_has_no_identity(tmp_path: Path) -> None:
    assert identity(tmp_path / "missing") is None


def test_a_link_that_leads_elsewhere_is_another_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    before = identity(link)
    link.unlink()
    link.symlink_to("two")
    assert before != identity(link) == identity(tmp_path / "two")


# --- writers


@linux
def test_a_writer_is_known_until_it_closes(tmp_path: Path) -> None:
    path = tmp_path / "weather.py"
    with path.open("w"):
        assert is_open_for_writing(str(path)) is True
    assert is_open_for_writing(str(path)) is False


@linux
def test_a_writer_in_another_process_is_known(tmp_path: Path) -> None:
    path = tmp_path / "weather.py"
    code = "import sys; file = open(sys.argv[1], 'a'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert is_open_for_writing(str(path)) is True
        process.communicate()
    assert is_open_for_writing(str(path)) is False


@linux
def test_readers_are_no_writers(tmp_path: Path) -> None:
    path = tmp_path / "weather.py"
    path.write_text("")
    with path.open():
        assert is_open_for_writing(str(path)) is False


def test_what_is_gone_nobody_writes(tmp_path: Path) -> None:
    assert not is_open_for_writing(str(tmp_path / "gone.py"))


@linux
def test_asking_ends_no_process_that_a_writer_comes_upon(tmp_path: Path) -> None:
    """A writer that opens the file while it is asked for waits; the signal for it ends nobody."""
    path = tmp_path / "weather.py"
    path.write_text("")
    code = "import sys\nwhile True:\n    open(sys.argv[1], 'a').close()"
    with subprocess.Popen([sys.executable, "-c", code, path]) as process:
        for _ in range(2000):
            is_open_for_writing(str(path))
        assert process.poll() is None
        process.kill()


# --- where events are silent


MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /srv/plugins rw - nfs4 server:/export rw
31 22 0:41 / /srv/two\040words rw shared:3 master:1 - fuse.sshfs me@there:/ rw
32 30 0:42 / /srv/plugins/local rw - tmpfs tmpfs rw
33 22 0:43 / /mnt rw - nfs4 server:/a rw
34 22 0:44 / /mnt rw - ext4 /dev/vdb rw
broken line
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/plugins", "nfs4"),
        ("/srv/plugins/deep/down", "nfs4"),
        ("/srv/plugins/local", ""),
        ("/srv/pluginsandmore", ""),
        ("/srv/two words/plugins", "fuse.sshfs"),
        ("/mnt/plugins", ""),
        ("/home", ""),
    ],
)
def test_other_machines_files_are_told_by_their_file_system(folder: str, kind: str) -> None:
    assert silent_kind(Path(folder), MOUNTS) == kind


def test_where_mounts_are_unknown_nothing_is_silent() -> None:
    assert silent_kind(Path("/srv"), "") == ""
