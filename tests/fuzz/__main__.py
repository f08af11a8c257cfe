"""`python -m tests.fuzz`: fuzzes targets, or repeats one input of one."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

from . import driver, worker
from .measurement import Meter
from .targets import COUNTS, ROOT, attempt, load


def main() -> int:
    """The exit status: 1 where any input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--target", action="append", metavar="NAME", help=f"{', '.join(COUNTS)}; default: all")
    add("--count", type=int, metavar="N", help="inputs of each target; default: as many as a release needs")
    add("--out", type=Path, default=ROOT / "build" / "fuzz", metavar="DIR", help="progress; default build/fuzz")
    add("--only", type=int, metavar="NUMBER", help="repeat this input of the one target, and show what happens")
    add("--keep", type=Path, metavar="FILE", help="with --only: write the input to a file")
    add("--worker", nargs=3, metavar="X", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker.work(args.worker[0], int(args.worker[1]), int(args.worker[2]))
    if args.only is not None:
        if len(args.target or ()) != 1:
            parser.error("--only repeats an input of one target: name it with --target")
        return repeat(args.target[0], args.only, args.keep)
    found = []
    for target in args.target or COUNTS:
        found.append(driver.run(target, args.count or COUNTS.get(target, 100), args.out))
        print(f"{target}: {found[-1].done} inputs, {len(found[-1].failures)} failures", file=sys.stderr, flush=True)
    print(driver.table(found))
    return int(any(progress.failures for progress in found))


def repeat(name: str, number: int, keep: Path | None) -> int:
    """Tries one input in this process, where a debugger can follow; prints it, what happened, and its costs."""
    sys.path.append(str(ROOT / "tests"))
    if name in COUNTS:
        worker.isolate()
    target = load(name)
    getattr(target, "prepare", lambda: None)()
    made = target.make(number)
    content = made if isinstance(made, bytes) else getattr(made, "data", None)
    if keep and isinstance(content, bytes):
        keep.write_bytes(content)
    print(repr(made)[:2_000])
    meter = Meter()
    meter.begin()
    try:
        target.try_(made)
    except Exception:
        traceback.print_exc()
    cost = meter.end()
    outcome = attempt(target, made)
    print(f"{outcome.kind}{f': {outcome.message}' if outcome.message else ''}; {cost}")
    return int(outcome.failed)


if __name__ == "__main__":
    sys.exit(main())
