"""The exceptions that callers may catch: LabError, whose text a person reads, and Cancelled; untrusted text in them."""


class LabError(ValueError):
    """What went wrong and what to do about it, in one sentence that names the file or the setting.

    The command line prints it and exits with 2; the page shows it. Any other exception that escapes is a bug.
    """


class Cancelled(Exception):
    """Raised by a `report` callback to stop a long task; its catcher discards the unfinished result."""


def one_line(text: object) -> str:
    """The text without what a terminal would obey, as line breaks: names of files and arguments are untrusted."""
    return "".join(c if c.isprintable() else " " for c in str(text))
