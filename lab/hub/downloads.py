"""The Hugging Face Hub and other addresses: what lies there, and files from there, whole or not at all.

Kept by content: a file's place in the cache is named after its hash, so what has a place was checked, a file of another
revision never takes it, and a download that broke off is found again and continued. The Hub's own client starts anew
there; its listings, log-in and errors are used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from ..errors import Cancelled, LabError
from ..progress import Report, no_report

ATTEMPTS, PAUSE = 4, 1.0  # in a row without one byte, and seconds between them
WORKERS = 8  # files at a time


OFFLINE = "not at hand, and HF_HUB_OFFLINE keeps this machine off the net; unset it to fetch this"


class NotFound(LabError):
    """This source cannot give it, however often it is asked; another one might."""


@dataclasses.dataclass(frozen=True)
class File:
    """digest: its SHA-256 (64 hex digits), or the hash git has for it (40)."""

    path: str  # as its repository names it; untrusted
    url: str
    size: int
    digest: str

    @property
    def place(self) -> Path:
        return cache_folder() / "downloads" / self.digest


@dataclasses.dataclass(frozen=True)
class Repository:
    id: str
    revision: str  # the commit
    licence: str  # as its card names it, e.g. "cc-by-nc-sa-4.0", "" where it does not
    files: tuple[File, ...]

    @property
    def terms(self) -> str:
        """The licence in words."""
        if self.licence.startswith("cc"):
            kind, _, version = self.licence.removeprefix("cc").strip("-").rpartition("-")
            return f"CC {kind.upper()} {version}" if kind != "0" else f"CC0 {version}"
        return " ".join(self.licence.split())[:100] or "its page states no licence, ask its owner"


def cache_folder() -> Path:
    """The folder of all that was fetched or fitted: LAB_CACHE, else ~/.cache/anomaly-lab."""
    return Path(os.environ.get("LAB_CACHE") or "~/.cache/anomaly-lab").expanduser()


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"


def repository(name: str, kind: str = "dataset") -> Repository:
    """What a repository "user/name" holds; `kind` is "dataset" or "model". LabError where the Hub does not tell."""
    with readable_errors(name, online=True):
        import huggingface_hub

        api = huggingface_hub.HfApi(endpoint=_endpoint())
        info = api.repo_info(name, repo_type=kind)
        tree = api.list_repo_tree(name, repo_type=kind, revision=info.sha, recursive=True)
        files = tuple(
            File(
                entry.path,
                huggingface_hub.hf_hub_url(name, entry.path, repo_type=kind, revision=info.sha, endpoint=_endpoint()),
                entry.size,
                entry.lfs.sha256 if entry.lfs else entry.blob_id,
            )
            for entry in tree
            if isinstance(entry, huggingface_hub.RepoFile)
        )
        licence = (getattr(info, "card_data", None) or {}).get("license") or ""
        return Repository(name, str(info.sha), licence if isinstance(licence, str) else ", ".join(licence), files)


def remote_file(url: str, sha256: str) -> File:
    """A file outside of the Hub, whose hash is known. LabError where its server does not tell its size."""
    with readable_errors(url, online=True):
        import huggingface_hub

        answer = huggingface_hub.get_session().head(url, timeout=30, headers={"Accept-Encoding": "identity"})
        huggingface_hub.hf_raise_for_status(answer)
        return File(url.rsplit("/", 1)[-1], url, int(answer.headers["Content-Length"]), sha256)


def fetch(files: Sequence[File], report: Report = no_report) -> None:
    """Downloads what is not in its place yet, several at a time. Raises LabError, or what `report` raises; what came
    by then is kept and continued by the next call."""
    wanted = list({file.digest: file for file in files}.values())
    total, here, stop, lock = sum(file.size for file in wanted), 0, threading.Event(), threading.Lock()

    def tell(count: int) -> None:
        nonlocal here
        if stop.is_set():
            raise Cancelled
        with lock:
            here += count

    with download_lock(report), ThreadPoolExecutor(WORKERS) as pool:
        _room(sum(file.size for file in wanted if not file.place.is_file()), cache_folder())
        left = {pool.submit(_whole, file, tell) for file in wanted}
        try:
            while left:
                done, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
                for job in done:
                    job.result()
                report(min(here / max(total, 1), 1.0), f"{megabytes(here)} of {megabytes(total)}")
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def download_lock(report: Report = no_report) -> Iterator[None]:
    """One download at a time in a cache, or two would write into one file; others hear that they wait."""
    import filelock

    with readable_errors("the lab's cache"):
        (cache_folder() / "downloads").mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(
            cache_folder() / "downloads" / ".lock", is_singleton=True
        )  # its holder may take it again
        while True:
            try:
                lock.acquire(timeout=0.5)
                break
            except filelock.Timeout:
                report(0.0, "waiting for another download to end")
    try:
        yield
    finally:
        lock.release()


def _whole(file: File, tell: Callable[[int], None]) -> None:
    """One file at its place: continued, checked, then given its name."""
    if file.place.is_file():
        return tell(file.size)
    with readable_errors(file.path, online=True):
        part = file.place.with_suffix(".part")
        part.touch()
        if part.stat().st_size > file.size:
            part.write_bytes(b"")
        tell(part.stat().st_size)
        import huggingface_hub.errors

        idle = 0
        while (have := part.stat().st_size) < file.size:
            try:
                _more(file, part, have, tell)
            except huggingface_hub.errors.HTTPError as error:
                idle = 0 if part.stat().st_size > have else idle + 1
                if idle == ATTEMPTS or 400 <= _status(error) < 500:
                    raise
                time.sleep(PAUSE if idle else 0)
        if _digest(part, file) != file.digest:
            part.unlink()
            raise NotFound(
                f"{file.path}: its bytes are not those its hash was made of, so it was thrown away; try again"
            )
        os.replace(part, file.place)


def _more(file: File, part: Path, have: int, tell: Callable[[int], None]) -> None:
    """One request for what is missing after `have` bytes."""
    import huggingface_hub
    from huggingface_hub.utils import build_hf_headers

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    if "/resolve/" in file.url:  # nobody but the Hub is shown its token
        headers |= build_hf_headers(library_name="annotation-free-anomaly-lab")
    with huggingface_hub.get_session().stream("GET", file.url, headers=headers, timeout=30) as answer:
        huggingface_hub.hf_raise_for_status(answer)
        if answer.status_code != 206:
            tell(-have)  # a server that knows no ranges begins again
        with open(part, "ab" if answer.status_code == 206 else "wb") as out:
            for chunk in answer.iter_raw():
                out.write(chunk)
                tell(len(chunk))


def _digest(path: Path, file: File) -> str:
    digest = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(b"blob %d\0" % file.size)
    with open(path, "rb") as data:
        while chunk := data.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _room(size: int, folder: Path) -> None:
    """LabError unless a disk has so many bytes free."""
    while not folder.exists():
        folder = folder.parent
    if (free := shutil.disk_usage(folder).free) < size:
        raise LabError(
            f"{folder}: {megabytes(size)} are needed and {megabytes(free)} free; make room, or set LAB_CACHE elsewhere"
        )


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")  # read at each call; the client reads it once, when it is imported


# Errors ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def readable_errors(what: str, online: bool = False) -> Iterator[None]:
    """What goes wrong with the Hub, the line or the disk, as one LabError that says what to do.

    `online`: what needs the net, and is not even tried where HF_HUB_OFFLINE forbids it.
    """
    if online and os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise LabError(f"{what}: {OFFLINE}")
    try:
        yield
    except (LabError, Cancelled):
        raise
    except Exception as error:  # the client has dozens of classes, and those of what it stands on
        kind, words = _reason(error, online)
        if not words:
            raise
        raise kind(f"{what}: {words}") from error


def _reason(error: Exception, online: bool) -> tuple[type[LabError], str]:
    import huggingface_hub.errors as known

    status = _status(error)
    if isinstance(error, known.HFValidationError):
        return LabError, "no name for a repository; it must be user/name"
    if isinstance(error, known.GatedRepoError):
        return NotFound, "is gated; ask for access on its page at the Hub, then log in with `hf auth login`"
    if isinstance(error, (known.RepositoryNotFoundError, known.DisabledRepoError)):
        return (
            NotFound,
            "no such repository at the Hub, or a private one; check the name, or log in with `hf auth login`",
        )
    if isinstance(error, (known.EntryNotFoundError, known.RevisionNotFoundError)) or status in (404, 410):
        return NotFound, "is not there any more; try again, and if it stays so name another source"
    if status in (401, 403):
        return LabError, "access was refused; log in with `hf auth login`, or renew HF_TOKEN"
    if status == 429:
        return LabError, "too many requests for now; wait some minutes and run the same again, it continues"
    if isinstance(error, known.OfflineModeIsEnabled):
        return LabError, OFFLINE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LabError, "the disk is full; make room or set LAB_CACHE elsewhere, then run the same again, it continues"
    if isinstance(error, (known.HTTPError, ConnectionError, TimeoutError)):
        why = f"answered {status}" if status else "cannot be reached or broke off"
        return LabError, f"its server {why}; run the same again when the connection holds, it continues"
    if isinstance(error, OSError):
        return LabError, f"cannot be written ({error.strerror or error}); name a folder of yours with LAB_CACHE or --to"
    if online and isinstance(error, (KeyError, ValueError)):
        return LabError, "what answered is not the Hub; check HF_ENDPOINT, and whether the network asks for a log-in"
    return LabError, ""


def _status(error: Exception) -> int:
    return getattr(getattr(error, "response", None), "status_code", 0)
