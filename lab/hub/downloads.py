"""Files from the Hugging Face Hub and other addresses: listed, downloaded, continued where they broke off, checked.

A file's place in the cache is named after its hash: what is there was checked, and a partial download is found again
and continued. The Hub's own client would start it anew, so only its listings, log-in and errors are used.
"""

import contextlib
import dataclasses
import functools
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
from .hub_errors import NotFound, http_status, readable_errors

ATTEMPTS = 4  # in a row that bring no byte
PAUSE = 1.0  # seconds between them
WORKERS = 8  # files at a time


@dataclasses.dataclass(frozen=True)
class File:
    """A file to download."""

    path: str  # as its repository names it; untrusted
    url: str
    size: int  # bytes
    digest: str  # its SHA-256 (64 hex digits), or its hash in git (40)

    @property
    def place(self) -> Path:
        """Where the file lies once it is downloaded and checked."""
        return cache_folder() / "downloads" / self.digest


@dataclasses.dataclass(frozen=True)
class Repository:
    """What a repository of the Hub holds."""

    id: str
    revision: str  # the commit
    licence: str  # as its card names it, e.g. "cc-by-nc-sa-4.0"; "" where it does not
    files: tuple[File, ...]

    @property
    def terms(self) -> str:
        """The licence in words."""
        if self.licence.startswith("cc"):
            terms, _, version = self.licence.removeprefix("cc").strip("-").rpartition("-")
            return f"CC {terms.upper()} {version}" if terms != "0" else f"CC0 {version}"
        return " ".join(self.licence.split())[:100] or "its page states no licence, ask its owner"


def cache_folder() -> Path:
    """The folder of everything downloaded or fitted: LAB_CACHE, else ~/.cache/anomaly-lab."""
    return Path(os.environ.get("LAB_CACHE") or "~/.cache/anomaly-lab").expanduser()


def megabytes(size: int) -> str:
    """A number of bytes in words: "12.3 MB", from a thousand on "1.23 GB"."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"


def repository(name: str, repo_type: str = "dataset") -> Repository:
    """What a repository "user/name" holds; `repo_type` is "dataset" or "model". Raises LabError, NotFound."""
    with readable_errors(name, online=True):
        import huggingface_hub as client

        endpoint = os.environ.get("HF_ENDPOINT")  # read at each call; the client reads it once, when it is imported
        api = client.HfApi(endpoint=endpoint)
        info = api.repo_info(name, repo_type=repo_type)
        tree = api.list_repo_tree(name, repo_type=repo_type, revision=info.sha, recursive=True)
        url = functools.partial(client.hf_hub_url, name, repo_type=repo_type, revision=info.sha, endpoint=endpoint)
        entries = [entry for entry in tree if isinstance(entry, client.RepoFile)]
        digests = [entry.lfs.sha256 if entry.lfs else entry.blob_id for entry in entries]
        files = tuple(File(e.path, url(e.path), e.size, digest) for e, digest in zip(entries, digests, strict=True))
        licence = (getattr(info, "card_data", None) or {}).get("license") or ""
        return Repository(name, str(info.sha), licence if isinstance(licence, str) else ", ".join(licence), files)


def remote_file(url: str, sha256: str) -> File:
    """A file outside of the Hub, whose hash is known. Raises LabError where its server does not say its size."""
    with readable_errors(url, online=True):
        import huggingface_hub

        response = huggingface_hub.get_session().head(url, timeout=30, headers={"Accept-Encoding": "identity"})
        huggingface_hub.hf_raise_for_status(response)
        return File(url.rsplit("/", 1)[-1], url, int(response.headers["Content-Length"]), sha256)


def fetch(files: Sequence[File], report: Report = no_report) -> None:
    """Downloads what is not in its place yet, several files at a time.
    Raises LabError, or what `report` raises; what was downloaded by then is kept, the next call continues it."""
    wanted = list({file.digest: file for file in files}.values())
    total, received, stop, lock = sum(file.size for file in wanted), 0, threading.Event(), threading.Lock()

    def count(size: int) -> None:
        nonlocal received
        if stop.is_set():
            raise Cancelled
        with lock:
            received += size

    with download_lock(report), ThreadPoolExecutor(WORKERS) as pool:
        _check_space(sum(file.size for file in wanted if not file.place.is_file()), cache_folder())
        pending = {pool.submit(_fetch_file, file, count) for file in wanted}
        try:
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                for job in done:
                    job.result()
                report(min(received / max(total, 1), 1.0), f"{megabytes(received)} of {megabytes(total)}")
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def download_lock(report: Report = no_report) -> Iterator[None]:
    """Allows one download at a time in a cache, or two would write into one file; others report that they wait."""
    import filelock

    with readable_errors("the lab's cache"):
        (cache_folder() / "downloads").mkdir(parents=True, exist_ok=True)
        # a singleton: its holder may take it again
        lock = filelock.FileLock(cache_folder() / "downloads" / ".lock", is_singleton=True)
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


def _fetch_file(file: File, count: Callable[[int], None]) -> None:
    """Downloads one file: continues it, checks it, then moves it to its place."""
    if file.place.is_file():
        return count(file.size)
    with readable_errors(file.path, online=True):
        part = file.place.with_suffix(".part")
        part.touch()
        if part.stat().st_size > file.size:
            part.write_bytes(b"")
        count(part.stat().st_size)
        import huggingface_hub.errors

        failures = 0
        while (start := part.stat().st_size) < file.size:
            try:
                _append_rest(file, part, start, count)
            except huggingface_hub.errors.HTTPError as error:  # type: ignore[attr-defined]
                failures = 0 if part.stat().st_size > start else failures + 1
                if failures == ATTEMPTS or 400 <= http_status(error) < 500:
                    raise
                time.sleep(PAUSE if failures else 0)
        if _digest(part, file) != file.digest:
            part.unlink()
            raise NotFound(f"{file.path}: its bytes do not have the expected hash, so it was deleted; try again")
        os.replace(part, file.place)


def _append_rest(file: File, part: Path, start: int, count: Callable[[int], None]) -> None:
    """One request for the bytes from `start` on."""
    import huggingface_hub
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    if "/resolve/" in file.url:  # only the Hub may see its token
        headers |= build_hf_headers(library_name="annotation-free-anomaly-lab")
    with huggingface_hub.get_session().stream("GET", file.url, headers=headers, timeout=30) as response:
        huggingface_hub.hf_raise_for_status(response)
        if not (continues := response.status_code == 206):
            count(-start)  # a server that knows no ranges begins again
        with open(part, "ab" if continues else "wb") as out:
            for chunk in response.iter_raw():
                out.write(chunk)
                count(len(chunk))


def _digest(path: Path, file: File) -> str:
    """SHA-256 of a file's bytes, or git's hash of them: whichever `file.digest` is."""
    digest = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(b"blob %d\0" % file.size)
    with open(path, "rb") as data:
        return hashlib.file_digest(data, lambda: digest).hexdigest()


def _check_space(size: int, folder: Path) -> None:
    """Raises LabError unless the folder's disk has so many bytes free."""
    while not folder.exists():
        folder = folder.parent
    if (free := shutil.disk_usage(folder).free) < size:
        advice = "make room, or set LAB_CACHE elsewhere"
        raise LabError(f"{folder}: {megabytes(size)} are needed and {megabytes(free)} free; {advice}")
