"""Command lines for `python -m lab`, in this process: random and nearly valid ones of all commands, on tiny images."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from conftest import stripes

from lab import METHODS, image_files
from lab.cli import parser
from lab.cli import weights as weights_commands
from lab.data import samples

from . import odd_values
from .detector_files import SETTINGS, saved
from .mutations import pick
from .targets import generator, place

EXPECTED = {"status 0", "status 2", "help"}
COMMANDS = ("methods", "samples", "pull", "fit", "detect", "export", "push", "bench", "weights", "distill")
QUICK = ("patchcore", "padim", "autoencoder")  # fitted in a moment
# no path that leads out of the folder of the run: nothing is written elsewhere
NAMES = tuple(name for name in odd_values.NAMES if name[:1] not in "/~" and ".." not in name)
HERE = "{here}"  # stands for the folder that the command runs in: it is another one each time


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """Arguments; of paths, those in the folder of the run begin with HERE."""

    arguments: tuple[str, ...]

    def __repr__(self) -> str:
        return " ".join(
            repr(argument) if argument != argument.strip() or not argument else argument for argument in self.arguments
        )


# --- what they name --------------------------------------------------------------------------------------------------


@functools.cache
def material() -> Path:
    """A folder of tiny sets, images, detectors and odd files, copied for each run."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-material-"))
    for kind, count, defect in (("train/good", 7, False), ("test/good", 2, False), ("test/blot", 2, True)):
        for number in range(count):
            path = folder / "set" / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image_files.write_png(path, stripes(number + 50 * ("test" in kind), defect=defect, size=64))
    (folder / "set/ground_truth/blot").mkdir(parents=True)
    mark = np.zeros((64, 64), bool)
    mark[20:40, 20:40] = True
    for number in range(2):
        image_files.write_png(folder / f"set/ground_truth/blot/{number}_mask.png", mark)
    for method in QUICK:
        (folder / f"{method}.safetensors").write_bytes(saved(method))
    (folder / "cut.safetensors").write_bytes(saved("padim")[:2_000])
    (folder / "empty.json").write_text("")
    (folder / "odd.json").write_text('{"a": [1, null, {"studies": NaN}]}')
    (folder / "rows.json").write_text("[1, 2]")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "text.png").write_text("no image")
    image_files.write_png(folder / "part.png", stripes(3, size=64))
    image_files.write_png(folder / "a b\n.png", stripes(4, size=64))
    (folder / "nothing").mkdir()
    (folder / "bench").mkdir()
    (folder / "bench/rows.json").write_text('[{"method": "padim"}, 5]')
    os.symlink("loop", folder / "loop")
    os.mkfifo(folder / "pipe")
    return folder


PATHS = """set set/train/good set/test nothing part.png broken.png text.png loop pipe out no/where/out
padim.safetensors patchcore.safetensors autoencoder.safetensors cut.safetensors empty.json odd.json rows.json bench
ü/out.safetensors out.safetensors new.onnx \udcff.safetensors"""
PLACES = tuple(f"{HERE}/{path}" for path in (*PATHS.split(), "a b\n.png", ""))
NUMBERS = tuple("0 1 -1 2 5 100 101 50 1e-9 nan inf -inf 1e400 x 0x1 1,2 1_0 ٣ 0.5 -0".split())
NUMBERS += ("", " 1", "1 ", "1\n", "9" * 30, "9" * 5_000)
FLAGS = """--help -h --version --data --category --seed --resume -o --output --method --methods --ablate --render
--only --categories --train --rto --seeds --folds --native --false-alarms --on-average --format --images --private
--bench --all --jobs --teacher --crops --to --table --preset --size --backbone -- - --unknown --da --no-oom --data=
-ox""".split()


def make(number: int) -> CommandLine:
    """The command line of this number."""
    rng = generator("command_lines", number)
    if rng.random() < 0.15:
        words = [_word(rng) for _ in range(int(rng.integers(0, 7)))]
        command = [pick(rng, COMMANDS)] if rng.random() < 0.7 else []
        return CommandLine((*command, *words, *_small(command)))
    command = pick(rng, COMMANDS)
    words = globals()[f"_{command}"](rng)
    for _ in range(pick(rng, (0, 0, 0, 1, 1, 2))):  # one word more, less or other
        at, kind = int(rng.integers(len(words) + 1)), int(rng.integers(3))
        if kind == 0:
            words.insert(at, _word(rng))
        elif kind == 1 and at < len(words):
            del words[at]
        elif at < len(words):
            words[at] = _word(rng)
    return CommandLine((command, *words, *_small([command])))


def _small(command: list[str]) -> list[str]:
    """Seeds and sizes of the commands that would work for long; they stand last, and so count."""
    return ["--crops", "1"] if command == ["distill"] else ["--categories", "washer"] if command == ["samples"] else []


def _word(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.25:
        return pick(rng, NUMBERS)
    if kind < 0.5:
        return pick(rng, FLAGS)
    if kind < 0.75:
        return pick(rng, PLACES)
    return pick(rng, (*METHODS, *NAMES, "samples", "washer", "washer/cdo", "onnx", "paper", "live"))


def _some(rng: np.random.Generator, *options: list[str]) -> list[str]:
    """Some of the options, in any order."""
    chosen = [option for option in options if rng.random() < 0.35]
    return [word for index in rng.permutation(len(chosen)) for word in chosen[index]]


def _settings(method: str, rng: np.random.Generator) -> list[str]:
    """Settings that make a fit short, and perhaps one that is refused."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS[method].items()]
    if rng.random() < 0.4:
        fields = METHODS[method].Settings.fields()
        name = pick(rng, sorted(fields))
        words += [f"--{name.replace('_', '-')}", _refused(fields[name], rng)]
    return words


def _refused(field: dataclasses.Field, rng: np.random.Generator) -> str:
    """A value that the setting does not take, and which no fit would take long for."""
    low, high = field.metadata["low"], field.metadata["high"]
    odd = ["x", "", "nan", "1e400", "-inf", "9" * 400, "\0", "[]", "None"]
    return pick(rng, [*odd, f"{low - 1:g}", f"{high + 1:g}"] if low is not None and high is not None else odd)


def _methods(rng: np.random.Generator) -> list[str]:
    return _some(rng, ["--table"])


def _samples(rng: np.random.Generator) -> list[str]:
    return [
        pick(rng, PLACES),
        *_some(rng, ["--seed", pick(rng, NUMBERS)], ["--categories", pick(rng, ("washer", "x", "", ",", "washer,x"))]),
    ]


def _pull(rng: np.random.Generator) -> list[str]:
    names = ("mvtec", "btad", "visa", "user/name", "backbone", "samples", "a/b/c", "../x", *NAMES)
    tags = ("resnet18.tv_in1k", "embedded", "x/y", "../x", *NAMES)
    options = _some(rng, ["--category", pick(rng, ("bottle", "01", "candle", *NAMES))], ["--to", pick(rng, PLACES)])
    return [pick(rng, names), *([pick(rng, tags)] if rng.random() < 0.3 else []), *options]


def _fit(rng: np.random.Generator) -> list[str]:
    method = pick(rng, QUICK)
    data = f"{HERE}/set" if rng.random() < 0.6 else pick(rng, PLACES)
    out = f"{HERE}/out.safetensors" if rng.random() < 0.7 else pick(rng, PLACES)
    words = ["--method", method, "--data", data, "-o", out]
    options = [
        ["--category", pick(rng, ("set", "washer", *NAMES[:9]))],
        ["--seed", pick(rng, NUMBERS)],
        ["--resume", pick(rng, PLACES)],
        ["--preset", pick(rng, ("live", "x", ""))],
    ]
    words += _some(rng, *options)
    return words + _settings(method, rng)


def _detect(rng: np.random.Generator) -> list[str]:
    detectors = tuple(f"{HERE}/{method}.safetensors" for method in QUICK)
    detector = (
        pick(rng, detectors) if rng.random() < 0.7 else pick(rng, (*PLACES, "washer/cdo", "washer/nobody", *NAMES))
    )
    images = [pick(rng, PLACES) if rng.random() < 0.5 else f"{HERE}/part.png" for _ in range(int(rng.integers(1, 3)))]
    out = f"{HERE}/out" if rng.random() < 0.7 else pick(rng, PLACES)
    return [detector, *images, "-o", out, *_some(rng, ["--false-alarms", pick(rng, NUMBERS)], ["--on-average"])]


def _export(rng: np.random.Generator) -> list[str]:
    """Mostly refused: writing a graph takes seconds."""
    detector, out = pick(rng, (*PLACES, *NAMES)), pick(rng, PLACES)
    if detector.endswith("safetensors") and "cut" not in detector:
        out = pick(rng, (f"{HERE}/nothing", f"{HERE}/no/where.onnx"))
    file_format = ["--format", pick(rng, ("onnx", "torch", "x", ""))]
    return [detector, "-o", out, *_some(rng, file_format, ["--images", pick(rng, PLACES)])]


def _push(rng: np.random.Generator) -> list[str]:
    repository = pick(rng, ("user/name", "name", "a/b/c", "ü/x", *NAMES))
    return [
        pick(rng, (f"{HERE}/padim.safetensors", *PLACES)),
        repository,
        *_some(rng, ["--private"], ["--bench", pick(rng, PLACES)]),
    ]


def _bench(rng: np.random.Generator) -> list[str]:
    method, render = pick(rng, QUICK), rng.random() < 0.25
    if render:
        return ["--render", *(pick(rng, PLACES) for _ in range(int(rng.integers(1, 3))))]
    task = pick(rng, ("--methods", "--methods", "--ablate"))
    words = [task, method if rng.random() < 0.8 else pick(rng, (",", "x", f"{method},x", ""))]
    words += ["--data", f"{HERE}/set" if rng.random() < 0.6 else pick(rng, PLACES)]
    numbers = ("0", "1", "-1", "x", "nan", "", "9" * 30, "5")
    options = [
        ["--only", pick(rng, ("x", "", ",", "size"))],
        ["--categories", pick(rng, ("set", "x", ",", ""))],
        ["--train", pick(rng, numbers)],
        ["--rto", pick(rng, NUMBERS)],
        ["--seeds", pick(rng, ("0", "0,x", "", ",", "-1", "9" * 30))],
        ["--folds", pick(rng, ("0", "1", "2", "-1", "x", "100"))],
        ["--native"],
        ["-o", pick(rng, (f"{HERE}/out", f"{HERE}/bench", *PLACES))],
    ]
    words += _some(rng, *options)
    return words + (_settings(method, rng) if words[1] == method else [])


def _weights(rng: np.random.Generator) -> list[str]:
    names = [pick(rng, ("washer/cdo", "cloth/padim", "x", *NAMES)) for _ in range(int(rng.integers(0, 3)))]
    return [*names, "-o", pick(rng, PLACES), *_some(rng, ["--all"], ["--jobs", pick(rng, NUMBERS)])]


def _distill(rng: np.random.Generator) -> list[str]:
    teachers = (f"{HERE}/padim.safetensors", f"{HERE}/cut.safetensors", "resnet18.tv_in1k", *NAMES)
    return [
        "--teacher",
        pick(rng, teachers),
        "-o",
        pick(rng, PLACES),
        *_some(rng, ["--images", pick(rng, PLACES)], ["--seed", pick(rng, NUMBERS)]),
    ]


# --- how they are run ------------------------------------------------------------------------------------------------


def prepare() -> None:
    material()
    try_(CommandLine(("methods",)))


class _Errors(logging.Handler):
    """Keeps what is logged as an error of ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found = list[BaseException]()

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self.found.append(record.exc_info[1])


_getaddrinfo = socket.getaddrinfo


def _no_network(host: object, *more: Any, **named: Any) -> Any:
    if host in ("127.0.0.1", "localhost"):  # the page, in `endpoints`
        return _getaddrinfo(host, *more, **named)
    raise socket.gaierror(socket.EAI_FAIL, "there is no network in a test")


@contextlib.contextmanager
def quiet() -> Iterator[tuple[io.StringIO, io.StringIO, _Errors]]:
    """(standard output, standard error, errors of ours) of a block without a network, and without long work."""
    errors = _Errors()
    logging.getLogger("lab").addHandler(errors)
    out, err = io.StringIO(), io.StringIO()
    try:
        with (
            mock.patch.object(socket, "getaddrinfo", _no_network),
            mock.patch.dict(os.environ, HF_HUB_OFFLINE="1"),
            mock.patch.multiple(samples, TRAIN=2, GOOD=1, BAD=5),
            mock.patch.object(weights_commands.ready_detectors, "build_all", lambda names, folder, jobs: iter(())),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            yield out, err, errors
    finally:
        logging.getLogger("lab").removeHandler(errors)


def try_(made: CommandLine) -> str:
    """Runs it in a copy of the material; judges status and standard error."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    before = Path.cwd()
    try:
        here = folder / "here"
        shutil.copytree(material(), here, symlinks=True, copy_function=_copy)
        os.chdir(here)  # a relative path leads nowhere else
        arguments = [argument.replace(HERE, str(here)) for argument in made.arguments]
        with quiet() as (_, err, errors):
            try:
                status = parser.main(arguments)
            except SystemExit as ended:
                return "help" if not ended.code else f"exit {ended.code}: by SystemExit"
        return _judged(status, err.getvalue(), errors.found)
    finally:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: str, target: str) -> None:
    os.mkfifo(target) if Path(source).is_fifo() else shutil.copyfile(source, target)


def _judged(status: int, said: str, errors: list[BaseException]) -> str:
    if errors:
        error = errors[0]
        if isinstance(error, Exception):
            raise error
        return f"error of ours: {place(error)}"
    if status not in (0, 2):
        return f"status {status}: {said[:80]!r}"
    lines = said.splitlines()
    if "Traceback" in said:
        return "a traceback on standard error"
    if status == 2 and not any(line.startswith("error: ") and len(line) > 12 for line in lines):
        return f"status 2 without a reason: {said[:80]!r}"
    if odd := next((line for line in lines if not line.startswith(("error: ", "warning: "))), None):
        return f"a line that is neither error nor warning: {odd[:60]!r}"
    if odd := next((line for line in lines if not line.isprintable()), None):
        return f"words that are not printable: {odd[:60]!r}"
    return f"status {status}"
