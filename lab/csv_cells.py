"""Cells of a CSV that a spreadsheet may open: what it would take for a formula, and run, is marked as text."""

from typing import Any

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: Any) -> Any:
    """A text that begins like a formula, behind an apostrophe, which spreadsheets hide; any other value as it is.

    Names of files are untrusted: one may be `=HYPERLINK(...)`. Source: OWASP, CSV Injection.
    """
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(FORMULAS) else value
