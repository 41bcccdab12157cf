"""The public parser vectors, as lists of mappings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    """Read one file of ircdocs/parser-tests; see vectors/README.md."""
    cases: list[dict[str, Any]] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["tests"]
    return cases


def pytest_generate_tests(metafunc: Any) -> None:
    """Run a test marked `@pytest.mark.vectors(NAME)` once for each vector of that file, as its argument `vector`."""
    marker = metafunc.definition.get_closest_marker("vectors")
    if marker is not None:
        cases = vectors(marker.args[0])
        metafunc.parametrize("vector", cases, ids=[f"{marker.args[0]}-{number}" for number in range(len(cases))])


def pytest_configure(config: Any) -> None:
    config.addinivalue_line("markers", "vectors(name): run once for each vector of ircdocs/parser-tests NAME.yaml")
