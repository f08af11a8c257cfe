"""The one exception whose text is written for a person."""


class LabError(ValueError):
    """What went wrong and what to do about it, in one sentence that names the file or the setting.

    The command line prints it and exits with 2; the page shows it. Anything else that escapes is a defect of ours.
    """


class Cancelled(Exception):
    """Raised by a `report` callback to stop a long task; whoever catches it drops the half-made result."""
