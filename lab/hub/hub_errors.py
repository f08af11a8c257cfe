"""What goes wrong with the Hugging Face Hub, the connection or the disk, as one sentence that says what to do."""

import contextlib
import errno
import os
from collections.abc import Iterator

from ..errors import Cancelled, LabError

OFFLINE = "not at hand, and HF_HUB_OFFLINE keeps this machine off the net; unset it to fetch this"


class NotFound(LabError):
    """This source cannot give it, however often it is asked; another one might."""


@contextlib.contextmanager
def readable_errors(what: str, online: bool = False) -> Iterator[None]:
    """Turns errors of the Hub's client, the connection or the disk into a LabError that begins with `what`.
    `online`: the block needs the net; it is not even tried where HF_HUB_OFFLINE forbids it."""
    if online and os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise LabError(f"{what}: {OFFLINE}")
    try:
        yield
    except (LabError, Cancelled):
        raise
    except Exception as error:  # the client has dozens of classes, and so have the libraries below it
        if explained := _explain(error, online):
            raise explained[0](f"{what}: {explained[1]}") from error
        raise


def _explain(error: Exception, online: bool) -> tuple[type[LabError], str] | None:
    """The class to raise and the reason in words; None where the error is of another kind."""
    import huggingface_hub.errors as client

    status = http_status(error)
    if isinstance(error, client.HFValidationError):
        return LabError, "no name for a repository; it must be user/name"
    if isinstance(error, client.GatedRepoError):
        return NotFound, "is gated; ask for access on its page at the Hub, then log in with `hf auth login`"
    if isinstance(error, (client.RepositoryNotFoundError, client.DisabledRepoError)):
        reason = "no such repository at the Hub, or a private one"
        return NotFound, f"{reason}; check the name, or log in with `hf auth login`"
    if isinstance(error, (client.EntryNotFoundError, client.RevisionNotFoundError)) or status in (404, 410):
        return NotFound, "is not there any more; try again, and if it stays so name another source"
    if status in (401, 403):
        return LabError, "access was refused; log in with `hf auth login`, or renew HF_TOKEN"
    if status == 429:
        return LabError, "too many requests for now; wait some minutes and run the same again, it continues"
    if isinstance(error, client.OfflineModeIsEnabled):
        return LabError, OFFLINE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LabError, "the disk is full; make room or set LAB_CACHE elsewhere, then run the same again, it continues"
    if isinstance(error, (client.HTTPError, ConnectionError, TimeoutError)):  # type: ignore[attr-defined]
        failure = f"answered {status}" if status else "cannot be reached or broke off"
        return LabError, f"its server {failure}; run the same again when the connection holds, it continues"
    if isinstance(error, OSError):
        return LabError, f"cannot be written ({error.strerror or error}); name a folder of yours with LAB_CACHE or --to"
    if online and isinstance(error, (KeyError, ValueError)):
        return LabError, "what answered is not the Hub; check HF_ENDPOINT, and whether the network asks for a log-in"
    return None


def http_status(error: Exception) -> int:
    """The status that a server answered with; 0 where the error has none."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))
