"""Runs targets in processes of their own, counts outcomes, keeps progress in a file, and prints what failed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .measurement import LIMIT_MB, resident
from .targets import ROOT, one_line

SAVE_EVERY = 5.0  # seconds
KEPT = 2_000  # failures, of a target
SHOWN = 5  # numbers of a kind of failure


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an input may cost. At `hang` seconds on the clock, or `memory` megabytes, its process is killed."""

    seconds: float = 0.0  # of the processor, where more than the target's own
    mb: float = LIMIT_MB
    hang: float = 30.0
    memory: float = 6_000.0
    start: float = 300.0  # seconds on the clock, to load the lab and to prepare


@dataclasses.dataclass
class Progress:
    """What is known of a target so far; `done` inputs were tried."""

    target: str
    version: str
    done: int = 0
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    worst: dict[str, float] = dataclasses.field(default_factory=dict)
    failures: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def add(self, number: int, found: dict[str, Any], limits: Limits) -> None:
        """Counts an outcome: what `worker.work` wrote, with its costs, or what ended the process."""
        reasons = [(found["kind"], found["message"])] if found["failed"] else []
        if found["seconds"] > (limit := max(limits.seconds, found["limit"])):
            reasons.append((f"over {limit:g} s", f"{found['seconds']:.1f} s of the processor: {found['kind']}"))
        if found["mb"] > limits.mb:
            reasons.append((f"over {limits.mb:g} MB", f"{found['mb']:.0f} MB above the start: {found['kind']}"))
        self.failures += [dict(number=number, kind=kind, message=message) for kind, message in reasons]
        del self.failures[KEPT:]
        self.counts[found["kind"]] += 1
        self.counts.update(kind for kind, _ in reasons if kind != found["kind"])
        for name in ("seconds", "mb"):
            self.worst[name] = max(self.worst.get(name, 0.0), found[name])
        self.done = number + 1


def run(target: str, count: int, folder: Path, limits: Limits = Limits(), **variables: str) -> Progress:
    """Tries the inputs below `count` that were not tried yet; what was tried with other code is tried anew."""
    folder.mkdir(parents=True, exist_ok=True)
    file, version = folder / f"{target.rpartition('.')[2]}.json", code_version()
    progress = read_progress(file, target, version)
    try:
        while progress.done < count:
            _run_worker(progress, count, file, limits, variables)
    finally:
        write_progress(file, progress)
    return progress


def _run_worker(progress: Progress, count: int, file: Path, limits: Limits, variables: dict[str, str]) -> None:
    """Runs one process until it is through or ended by an input, which is then counted as a failure."""
    saved, number, begun = time.monotonic(), None, time.monotonic()
    with tempfile.TemporaryFile("w+") as errors, _worker(progress, count, errors, variables) as process:
        for line in _lines(process):
            now = time.monotonic()
            if line is None:  # nothing was written for a moment
                memory = resident("VmRSS", process.pid)
                patience = limits.start if number is None else limits.hang
                if now - begun < patience and memory < limits.memory:
                    continue
                if number is None:
                    raise SystemExit(f"{progress.target}: its process did not start within {patience:g} s")
                process.kill()
                kind = "killed: hangs" if memory < limits.memory else "killed: memory"
                progress.add(number, _ended(kind, f"{now - begun:.0f} s, {memory:.0f} MB", now - begun, memory), limits)
                return
            if line.strip().isdigit():
                number, begun = int(line), now
            else:
                assert number is not None
                progress.add(number, json.loads(line), limits)
                number, begun = -1, now
            if now - saved > SAVE_EVERY:
                write_progress(file, progress)
                saved = now
        status = process.wait()
        if status == 0 and number == -1:  # through, or as far as one process goes
            return
        errors.seek(0)
        last = one_line(" / ".join(errors.read()[-600:].strip().splitlines()[-3:]))
        if number is None or number < 0:
            raise SystemExit(f"{progress.target}: its process ended with {status}: {last}")
        kind = f"crashed: {signal.Signals(-status).name if status < 0 else f'status {status}'}"
        progress.add(number, _ended(kind, last, time.monotonic() - begun, 0), limits)


def _ended(kind: str, message: str, clock: float, mb: float) -> dict[str, Any]:
    return dict(kind=kind, failed=True, message=message, seconds=0.0, clock=clock, mb=0.0, limit=0.0)


@contextlib.contextmanager
def _worker(
    progress: Progress, count: int, errors: IO[str], variables: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-X", "utf8", "-m", "tests.fuzz", "--worker", progress.target]
    command += [str(progress.done), str(count)]
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | variables | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "MALLOC_PERTURB_": "0"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def _lines(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """The lines that a process writes until it ends; None whenever it has written nothing for half a second."""
    assert process.stdout
    rest, descriptor = b"", process.stdout.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(0.5):
                yield None
                continue
            if not (data := os.read(descriptor, 65536)):
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line.decode()


def code_version() -> str:
    """Names the code that is tried and that which tries it."""
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "lab").rglob("*.py"), *(ROOT / "tests" / "fuzz").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def read_progress(file: Path, target: str, version: str) -> Progress:
    """What the file says, where it is of this code; else nothing is tried yet."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        values = json.loads(file.read_text(encoding="utf-8"))
        if values.get("version") == version:
            return Progress(**values | dict(counts=Counter(values["counts"])))
    return Progress(target, version)


def write_progress(file: Path, progress: Progress) -> None:
    part = file.with_suffix(".part")
    part.write_text(json.dumps(vars(progress), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, file)


def table(found: list[Progress]) -> str:
    """One line a target, then every kind of failure with the commands that repeat it."""
    lines = [f"{'target':<16} {'inputs':>7} {'failures':>8} {'worst s':>8} {'worst MB':>9}  outcomes"]
    for progress in found:
        failing = {failure["kind"] for failure in progress.failures}
        outcomes = [f"{kind} {n}" for kind, n in progress.counts.most_common() if kind not in failing]
        outcomes += [f"{kind} {progress.counts[kind]} (!)" for kind in sorted(failing)]
        numbers = f"{progress.done:>7} {len(progress.failures):>8}"
        worst = f"{progress.worst.get('seconds', 0):>8.1f} {progress.worst.get('mb', 0):>9.0f}"
        lines.append(f"{progress.target:<16} {numbers} {worst}  {', '.join(outcomes)}")
    for progress in found:
        kinds = dict[str, list[dict[str, Any]]]()
        for failure in progress.failures:
            kinds.setdefault(failure["kind"], []).append(failure)
        for kind, failures in kinds.items():
            first, numbers = failures[0], ", ".join(str(failure["number"]) for failure in failures[:SHOWN])
            more = f" and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
            lines += ["", f"{progress.target}: {kind}: {first['message']}", f"  inputs {numbers}{more}"]
            lines.append(f"  python -m tests.fuzz --target {progress.target} --only {first['number']}")
    return "\n".join(lines)
