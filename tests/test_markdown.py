"""Tables in Markdown, and what stands between two marks."""

from __future__ import annotations

from pathlib import Path

from lab import markdown


def test_a_table() -> None:
    assert markdown.table(("a", "b"), [(1, "x")]) == "| a | b |\n|---|---|\n| 1 | x |\n"


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    assert not markdown.replace_between(path, "rows", "x\n") and not path.exists()
    path.write_text("# Head\n<!-- rows -->\nold\n<!-- /rows -->\nend <!-- more -->\n")
    assert markdown.replace_between(path, "rows", "\\1 new\n")
    assert path.read_text() == "# Head\n<!-- rows -->\n\\1 new\n<!-- /rows -->\nend <!-- more -->\n"
    assert markdown.marked("rows", "\\1 new\n") in path.read_text()
    assert not markdown.replace_between(path, "more", "x\n")
