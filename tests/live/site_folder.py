"""Distributions as pip leaves them: a `dist-info` folder and files beside it, in a folder on `sys.path`."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

Files = dict[str, str | bytes]


class Site:
    """A folder like `site-packages`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def install(
        self, title: str, version: str, entries: dict[str, str], files: Files, editable: Path | None = None
    ) -> None:
        """Put a distribution there, in place of an older version of it, as `pip install -U` does.

        Args:
            entries: what `neverquit.plugins` holds: {"weather": "nq_weather.plugin"}.
            files: by path below the folder.
            editable: where the files go instead.
        """
        self.remove(title)
        info = self.folder / f"{title.replace('-', '_')}-{version}.dist-info"
        points = "".join(f"{name} = {value}\n" for name, value in entries.items())
        listed = [] if editable else list(files)
        for path, content in {
            **{str(Path(editable or self.folder, path)): content for path, content in files.items()},
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {title}\nVersion: {version}\n",
            f"{info}/entry_points.txt": f"[neverquit.plugins]\n{points}",
            f"{info}/RECORD": "".join(f"{path},,\n" for path in listed),
        }.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            raw = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
            Path(path).write_bytes(raw)

    def remove(self, title: str) -> None:
        """Take a distribution away, as `pip uninstall` does."""
        for info in self.folder.glob(f"{title.replace('-', '_')}-*.dist-info"):
            for line in (info / "RECORD").read_text().splitlines():
                (self.folder / line.split(",")[0]).unlink(missing_ok=True)
            shutil.rmtree(info)
