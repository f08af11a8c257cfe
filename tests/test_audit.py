"""`make audit`: what is said of vulnerabilities, and that an advisory database out of reach is not taken for safety."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

SKIPPED = dict(name="torch", skip_reason="Dependency not found on PyPI and could not be audited: torch (2.11.0+cpu)")
SAFE = dict(name="numpy", version="2.0.0", vulns=[])
BAD = dict(name="pillow", version="9.0.0", vulns=[dict(id="PYSEC-1", fix_versions=["9.1.0"], description="...")])


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (json.dumps(dict(dependencies=[SAFE, SKIPPED])), 0, "1 packages asked about, 0 known vulnerabilities"),
        (json.dumps(dict(dependencies=[SAFE, BAD])), 1, "pillow 9.0.0: PYSEC-1, fixed in 9.1.0"),
        (json.dumps(dict(dependencies=[SKIPPED])), 2, "the advisory database cannot be reached"),
        ("", 2, "the advisory database cannot be reached"),
    ],
    ids=["safe", "vulnerable", "skipped", "offline"],
)
def test_the_audit_says_what_it_knows(answer: str, status: int, said: str, tmp_path: Path) -> None:
    """By a stand-in for pip-audit."""
    (tmp_path / "pip_audit.py").write_text(f"print({answer!r})")
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = subprocess.run([sys.executable, ROOT / ".ci/audit"], capture_output=True, text=True, env=environment)
    assert done.returncode == status and said in done.stdout and not done.stderr
    assert status != 2 or done.stdout.count("\n") == 1
