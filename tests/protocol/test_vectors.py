"""The public vectors are all here, and each is tried by a test: none can vanish unseen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent

# Their numbers in ircdocs/parser-tests; of a mask, each text that it is held against counts.
COUNTED = {"msg-split": 35, "msg-join": 18, "mask-match": 26, "userhost-split": 7, "validate-hostname": 19}


@pytest.mark.parametrize("name", COUNTED)
def test_no_vector_is_missing(name: str) -> None:
    cases = yaml.safe_load((HERE / "vectors" / f"{name}.yaml").read_text(encoding="utf-8"))["tests"]
    texts = [len(case["matches"]) + len(case["fails"]) for case in cases] if name == "mask-match" else [1] * len(cases)
    assert sum(texts) == COUNTED[name]


def test_each_file_of_vectors_has_its_test() -> None:
    tried = re.findall(r'mark\.vectors\("([\w-]+)"\)', "".join(path.read_text() for path in HERE.glob("test_*.py")))
    assert sorted(tried) == sorted(COUNTED) == sorted(path.stem for path in (HERE / "vectors").glob("*.yaml"))
