"""bot/live/writers.py: who writes a file just now, with real writers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bot.live import writers
from bot.live.writers import is_open_for_writing, silent_kind

linux = pytest.mark.skipif(sys.platform != "linux", reason="fcntl(2) has leases on Linux alone")


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
def test_other_machines_files_are_told_by_their_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, kind: str
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(writers, "MOUNTS", tmp_path / "mountinfo")
    assert silent_kind(Path(folder)) == kind


def test_where_mounts_are_unknown_nothing_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "MOUNTS", tmp_path / "none")
    assert silent_kind(Path("/srv")) == ""


@linux
def test_who_writes_on_another_machine_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_text(f"1 0 0:1 / {tmp_path} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(writers, "MOUNTS", tmp_path / "mountinfo")
    with (tmp_path / "weather.py").open("w"):
        assert is_open_for_writing(str(tmp_path / "weather.py")) is None
