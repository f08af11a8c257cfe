"""Requests to the page: its endpoints and its browser's own events, in any order, with any JSON and any files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import tempfile
import traceback
import uuid
from pathlib import Path
from typing import Any
from unittest import mock

import gradio as gr
import httpx
import numpy as np
import pytest
from conftest import stripes
from pages import serve, tiny, washers

from lab import METHODS, ui

from . import image_formats, odd_values, zips
from .command_lines import quiet
from .mutations import damaged, pick
from .targets import ROOT, generator

EXPECTED = {"answered", "refused", "refused by gradio", "not a request"}
SECONDS = 60.0  # of the processor: a request may fit a method
PER_PROCESS = 25  # the page keeps what visitors have fitted for a while
PATIENCE = 60.0  # seconds on the clock
OURS = "An error of ours (id"
UPLOAD = "{upload}"  # stands for the path under which the page keeps a file that was sent before


@dataclasses.dataclass(frozen=True)
class Call:
    """One request: the number of a function of the page or the name of an endpoint, and what is sent."""

    function: int | str
    data: Any
    event: Any = None
    raw: bytes | None = None  # in place of JSON
    files: tuple[bytes, ...] = ()  # sent first; each UPLOAD in `data` stands for one of them


@dataclasses.dataclass(frozen=True)
class Requests:
    """Requests of one session, one after another."""

    calls: tuple[Call, ...]

    def __repr__(self) -> str:
        return "\n".join(
            f"{call.function} {str(call.data)[:300]} {str(call.event)[:100]} {len(call.files)} files"
            for call in self.calls
        )


# --- the page --------------------------------------------------------------------------------------------------------

_open = contextlib.ExitStack()
_page: dict[str, Any] = {}


def prepare() -> None:
    """Serves the page on the loopback, with methods that fit in a moment."""
    if _page:
        return
    patch = _open.enter_context(pytest.MonkeyPatch.context())
    tiny(patch)
    folder = Path(_open.enter_context(tempfile.TemporaryDirectory()))
    start = ui.View("samples", "washer", (ui.Variant("padim"),))
    blocks = ui.build(washers(folder), start, ui.Question("samples", "washer", ui.Variant.of("cdo", {"oom": False})))
    connect(_open.enter_context(serve(blocks)), blocks)


def connect(address: str, blocks: gr.Blocks) -> None:
    """Sends all requests to this page."""
    _page["client"] = _open.enter_context(httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False))
    _page["names"] = {str(function.api_name): number for number, function in blocks.fns.items()}
    _page["inputs"] = {number: len(function.inputs) for number, function in blocks.fns.items()}


def close() -> None:
    """Sends no more requests; closes the page and puts the methods back, where `prepare` has served it."""
    _page.clear()
    _open.close()


# --- what is sent ----------------------------------------------------------------------------------------------------

SOURCES = ("samples", "mvtec", "btad", "visa", "nobody", "/etc", "..", "samples/washer")
CATEGORIES = ("washer",) * 5 + ("cloth", "bottle", "x", "../washer", "")
GOOD_VALUES: dict[str, tuple[Any, ...]] = {
    "categories": (SOURCES,),
    "compare": (
        SOURCES,
        CATEGORIES,
        (["padim"], ["patchcore", "padim"], [], ["x"], "padim"),
        ("embedded", "resnet18.tv_in1k", "x"),
    ),
    "compare_scores": (SOURCES, CATEGORIES, (["padim"], [], ["x"], ["padim"] * 50, "padim")),
    "compare_cancel": (),
    "take_apart_cdo": (
        ("samples",),
        CATEGORIES,
        (True, False),
        (True, False),
        (2.0, 0, 1e9, -1, "x"),
        (True,),
        ("max", "top1", "x"),
    ),
    "take_apart_smcc": (
        ("samples",),
        CATEGORIES,
        (True, False),
        (True, False),
        (10, 0, 1e9, -1, 2.5),
        ("1", "3", 1, "x"),
    ),
    "take_apart_choose": (("cdo", "smcc", "x", ""), SOURCES, CATEGORIES),
    "take_apart_figures": (),
    "take_apart_cancel": (),
    "yours_check": (),
    "yours_answer": (("padim", "padim", *METHODS, "x", ""),),
    "yours_cancel": (),
    "yours_show": (("padim", "x", ""),),
    "yours_undo": (),
    "yours_why": ((0.5, 0, 1, -1, 2, 1e308, "x"), (0.5, 0, 1, None)),
    "yours_try": (("scratch", "blur", "paint", "x"), (0.5, 0, 1, -5), (0.5, 1, "x")),
    "yours_detector": (),
    "yours_table": (),
    "yours_report": (),
    "yours_leave_out": (("0.png", "1.png", "x", "", "../x"),),
    "yours_ignore": (
        ([], [[0.1, 0.1, 0.3, 0.2]], [[0, 0, 1, 1]], [[]], [["x"] * 4], [[1e308, -1, 0, 5]], [[0.5, 0.5]] * 99),
    ),
    "yours_image": (("0.png", "8.png", "x", ""),),
    "yours_false_alarm": (("0.png", "x", ""),),
    "yours_scores": (),
    "papers_tables": (("smcc", "cdo", "survey", "x"),),
    "papers_table": (("cdo/IV", "smcc/III", "x", "../tables", "cdo/"),),
}
YOURS = tuple(name for name in GOOD_VALUES if name.startswith("yours_"))
EVENTS = (
    None,
    {},
    [],
    "x",
    5,
    {"index": 0, "value": "x"},
    {"index": -1},
    {"index": [0, 10**9], "value": None, "selected": True},
)
KEYS = (
    "name",
    "x",
    "y",
    "index",
    "method",
    "threshold",
    "action",
    "value",
    "image",
    "role",
    "variant",
    "set",
    "category",
    "key",
)


def make(number: int) -> Requests:
    """The requests of this number."""
    rng = generator("endpoints", number)
    calls = list[Call]()
    if rng.random() < 0.4:  # a visit to Your images
        calls.append(_upload("yours_good", rng, int(rng.integers(5, 9))))
        if rng.random() < 0.7:
            calls.append(_upload(pick(rng, ("yours_bad", "yours_new")), rng, 2))
        if rng.random() < 0.6:
            calls.append(Call("yours_answer", ["padim"]))
        calls += [_call(pick(rng, YOURS), rng) for _ in range(int(rng.integers(1, 4)))]
    else:
        calls += [_call(pick(rng, (*GOOD_VALUES, 0)), rng) for _ in range(int(rng.integers(1, 3)))]
    return Requests(tuple(calls))


def _upload(name: str, rng: np.random.Generator, count: int) -> Call:
    """Files to one of the drop zones: images, damaged ones, zips, other files, and paths that were never sent."""
    files, cells = [], []
    for number in range(count):
        kind = rng.random()
        data = image_formats.encoded(
            image_formats.Image.fromarray(stripes(number, defect=name == "yours_bad", size=64)), "PNG"
        )
        if kind < 0.1:
            data = damaged(data, rng)
        elif kind < 0.15:
            data = zips.make(int(rng.integers(300))).data
        elif kind < 0.2:
            data = image_formats.valid(rng)
        files.append(data)
        cells.append(_file(UPLOAD, f"{number}.{'zip' if data[:2] == b'PK' else 'png'}"))
    if rng.random() < 0.1:
        cells.append(
            _file(
                pick(
                    rng, ("/etc/passwd", str(ROOT / "README.md"), "", "..", "\0", "x" * 500, "http://192.0.2.1/x.png")
                ),
                "x.png",
            )
        )
    data: Any = cells if rng.random() < 0.9 else pick(rng, (cells[0], [cells], [None], "x", odd_values.odd(rng)))
    return Call(name, [data], None, None, tuple(files))


def _file(path: str, name: str) -> dict[str, Any]:
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def _call(name: str | int, rng: np.random.Generator) -> Call:
    if not isinstance(name, str):
        return Call(
            int(rng.integers(0, 75)), [odd_values.odd(rng) for _ in range(int(rng.integers(0, 11)))], _event(rng)
        )
    if rng.random() < 0.04:
        return Call(
            name,
            None,
            None,
            pick(rng, (b"", b"{", b"[]", b"null", b'{"data": 5}', b"\xff", b'{"data": ' + b"[" * 20_000)),
        )
    values = [pick(rng, choices) for choices in GOOD_VALUES[name]]
    for _ in range(pick(rng, (0, 0, 1, 2))):
        if values and rng.random() < 0.8:
            values[int(rng.integers(len(values)))] = odd_values.odd(rng)
        elif rng.random() < 0.5:
            values.append(odd_values.odd(rng))
        else:
            values = values[:-1]
    return Call(name, values, _event(rng) if rng.random() < 0.2 else None)


def _event(rng: np.random.Generator) -> Any:
    if rng.random() < 0.4:
        return pick(rng, EVENTS)
    return {key: odd_values.odd(rng) for key in KEYS if rng.random() < 0.3}


# --- what is answered ------------------------------------------------------------------------------------------------


def try_(made: Requests) -> str:
    """Sends the requests; the worst of their answers counts."""
    prepare()
    session, answers = f"fuzz{uuid.uuid4().hex[:8]}", []
    raised = list[BaseException]()

    def keep(*_: object, **__: object) -> None:
        """gradio prints what escapes a handler, and what a handler says to a visitor."""
        if error := sys.exc_info()[1]:
            raised.append(error)

    with quiet() as (_, _, errors), mock.patch.object(traceback, "print_exc", keep):
        for call in made.calls:
            answers.append(_answer(call, session))
    for error in (*errors.found, *raised):
        ours = [
            frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(ROOT / "lab"))
        ]
        shown = isinstance(error, gr.exceptions.Error)
        if isinstance(error, Exception) and (error in errors.found or (ours and not shown)):
            raise error
    order = (
        "an error of ours",
        "a traceback",
        "status 5",
        "no answer",
        "refused by gradio",
        "refused",
        "not a request",
        "answered",
    )
    return min(answers, key=lambda answer: next(n for n, kind in enumerate(order) if answer.startswith(kind)))


def _answer(call: Call, session: str) -> str:
    client: httpx.Client = _page["client"]
    number = _page["names"].get(call.function, call.function)
    paths = list[str]()
    for place, data in enumerate(call.files):
        sent = client.post(
            "gradio_api/upload", files={"files": (f"{place}.{'zip' if data[:2] == b'PK' else 'png'}", data)}
        )
        paths += sent.json() if sent.status_code == 200 else [""]
    content = call.raw
    if content is None:
        body = dict(
            data=_with_paths(call.data, iter(paths)), fn_index=number, session_hash=session, event_data=call.event
        )
        content = json.dumps(body).encode()
    joined = client.post("gradio_api/queue/join", content=content, headers={"Content-Type": "application/json"})
    if joined.status_code == 500 and isinstance(number, int) and number not in _page["names"].values():
        return "refused by gradio"  # the number of no function
    if joined.status_code != 200:
        return f"status {joined.status_code}" if joined.status_code >= 500 else "not a request"
    text = ""
    with client.stream("GET", "gradio_api/queue/data", params=dict(session_hash=session)) as answers:
        for line in answers.iter_lines():
            text = line if line.startswith("data:") else text
            if OURS in line:
                return "an error of ours"
            if "Traceback (most" in line:
                return "a traceback in the answer"
            if '"process_completed"' in line:
                return (
                    "answered"
                    if '"success":true' in line.replace(" ", "")
                    else "refused"
                    if '"error":"' in line
                    else "refused by gradio"
                )
            if '"close_stream"' in line or '"unexpected_error"' in line:
                return "refused by gradio"
    return f"no answer: {text[:100]}"


def _with_paths(value: Any, paths: Any) -> Any:
    if isinstance(value, list):
        return [_with_paths(part, paths) for part in value]
    if isinstance(value, dict):
        return {key: next(paths, "") if part == UPLOAD else part for key, part in value.items()}
    return value
