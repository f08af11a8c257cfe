"""The page for programs: named and typed endpoints by gradio's own client, tools by MCP, a GPU lent for a fit."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from conftest import ROOT, stripes
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from pages import serve, tiny, washers

from lab import Detector, image_files, ui
from lab.errors import LabError
from lab.inspection import ranking
from lab.progress import no_report
from lab.ui import gpu
from tests.fuzz import endpoints
from tests.fuzz.targets import attempt

START = ui.View("samples", "washer", (ui.Variant("padim"),))
APART = ui.Question("samples", "washer", ui.Variant.of("cdo", {"oom": False}))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, gr.Blocks]]:
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch)
        blocks = ui.build(washers(tmp_path_factory.mktemp("cache")), START, APART)
        with serve(blocks) as address:
            yield address, blocks


def test_every_endpoint_is_named_described_and_typed(served: tuple[str, gr.Blocks]) -> None:
    endpoints = served[1].get_api_info()["named_endpoints"]
    prefixes = ("/compare", "/categories", "/take_apart_", "/yours_", "/papers_")
    assert all(name.startswith(prefixes) and not name[-1].isdigit() for name in endpoints), list(endpoints)
    for name, about in endpoints.items():
        assert about["description"].count("\n") or not about["parameters"], name
        typed = [part["python_type"]["type"] for part in about["parameters"]]
        assert "Any" not in typed, name
        assert all(f"{part['parameter_name']}:" in about["description"] for part in about["parameters"]), name
    for name in ("/compare_scores", "/take_apart_figures", "/yours_scores"):
        assert "list[dict" in endpoints[name]["returns"][0]["python_type"]["type"], endpoints[name]["returns"]
    assert endpoints["/yours_leave_out"]["returns"][0]["python_type"]["type"] == "str"


def test_a_program_compares_takes_apart_and_judges_its_own(served: tuple[str, gr.Blocks], tmp_path: Path) -> None:
    client = Client(served[0], verbose=False)
    (padim,) = client.predict("samples", "washer", ["padim"], api_name="/compare_scores")
    assert "PaDiM has judged" in client.predict("samples", "washer", ["padim"], api_name="/compare")[0]
    with pytest.raises(AppError, match="no method 'magic'"):
        client.predict("samples", "washer", ["magic"], api_name="/compare_scores")
    assert padim["method"] == "padim" and len(padim["images"]) == 12 and 0 <= padim["auroc"] <= 1
    assert all((p["score"] > padim["bad"]) == (p["verdict"] == "bad") for p in padim["images"])

    client.predict("samples", "washer", True, False, 2, True, "max", api_name="/take_apart_cdo")
    figures = {row["figure"]: row for row in client.predict(api_name="/take_apart_figures")}
    assert figures["pixel_auroc"]["paper"] == "+0.0031" and isinstance(figures["aupro"]["difference"], float)

    good = [stripes(i) for i in range(8)]
    for i, image in enumerate([*good, stripes(100, defect=True)]):
        image_files.write_png(tmp_path / f"{i}.png", image)
    files = [handle_file(str(tmp_path / f"{i}.png")) for i in range(9)]
    client.predict(files[:8], api_name="/yours_good")
    client.predict(files[8:], api_name="/yours_bad")
    client.predict("padim", api_name="/yours_answer")
    judged = {row["name"]: row for row in client.predict(api_name="/yours_scores")}
    alone = Detector("padim", backbone="embedded").fit(good)
    assert judged["8.png"]["score"] == pytest.approx(alone.detect(stripes(100, defect=True)).score, abs=1e-4)
    assert judged["8.png"]["verdict"] == "bad" and judged["0.png"]["role"] == "good"
    assert "image,given as" in Path(client.predict(api_name="/yours_table")).read_text()
    assert "12% of each" in client.predict([[0.5, 0.5, 0.4, 0.3]], api_name="/yours_ignore")
    assert "All of each" in client.predict([], api_name="/yours_ignore")
    assert "3.png" in client.predict("3.png", api_name="/yours_leave_out")
    client.close()


def test_a_request_of_nobody_is_refused(served: tuple[str, gr.Blocks]) -> None:
    for name in ("yours_scores", "take_apart_figures"):
        answer = httpx.post(f"{served[0]}gradio_api/run/{name}", json={"data": []})
        assert answer.status_code == 404 and "join the queue" in answer.text


@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")  # gradio's, when it sums up many events
def test_a_slice_of_the_fuzzing_finds_no_error_of_ours(served: tuple[str, gr.Blocks]) -> None:
    endpoints.connect(*served)
    try:
        outcomes = {number: attempt(endpoints, endpoints.make(number)) for number in range(12)}
    finally:
        endpoints.close()
    assert not {number: outcome for number, outcome in outcomes.items() if outcome.failed}


# --- tools ----------------------------------------------------------------------------------------------------------


def test_the_switch_for_tools_says_what_it_needs() -> None:
    if importlib.util.find_spec("mcp"):
        pytest.skip("the package mcp is installed: the next test uses it")
    done = subprocess.run(
        [sys.executable, "app.py", "--mcp"], cwd=ROOT, capture_output=True, text=True, timeout=200, env=dict(os.environ)
    )
    assert done.returncode == 2
    assert done.stderr == "--mcp needs a package that is not installed: pip install 'gradio[mcp]'\n"


def test_endpoints_are_tools(tmp_path: Path) -> None:
    mcp = pytest.importorskip("mcp", reason="the package mcp is not installed: pip install 'gradio[mcp]'")
    from mcp.client.streamable_http import streamablehttp_client

    async def ask(url: str) -> tuple[dict[str, Any], Any]:
        async with streamablehttp_client(url) as (read, write, _), mcp.ClientSession(read, write) as session:
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            name = next(name for name in tools if name.endswith("papers_table"))
            return tools, await session.call_tool(name, {"table": "cdo/IV"})

    page = serve(ui.build(washers(tmp_path), START, APART), mcp_server=True)
    with page as address, ThreadPoolExecutor() as apart:  # from the loop that another test's browser may have left here
        tools, answer = apart.submit(asyncio.run, ask(f"{address}gradio_api/mcp/")).result()
    assert "yours" not in str(list(tools)) and len(tools) > 9, list(tools)
    scores = next(tool for name, tool in tools.items() if name.endswith("compare_scores"))
    assert set(scores.inputSchema["properties"]) == {"source", "category", "methods"}
    assert "98.25" in str(answer.content)


# --- a GPU that is lent ----------------------------------------------------------------------------------------------


def test_a_fit_goes_where_a_gpu_is_lent(good: list[np.ndarray], bad: np.ndarray, monkeypatch: Any) -> None:
    """By a stand-in for the package `spaces`, whose decorator runs the task in another process; here it does not."""
    durations = []

    def lend(duration: Any) -> Any:
        def decorate(task: Any) -> Any:
            def lent(fit_task: gpu.FitTask) -> Any:
                durations.append(duration(fit_task))
                yield from task(fit_task)

            return lent

        return decorate

    with monkeypatch.context() as there:
        there.setenv("LAB_DEVICE", "cpu")
        there.setenv("SPACES_ZERO_GPU", "true")
        there.setitem(sys.modules, "spaces", SimpleNamespace(GPU=lend))
        importlib.reload(gpu)
        progress = []
        away = gpu.fit(Detector("padim", size=64), good, 0, lambda *step: progress.append(step))
        with pytest.raises(LabError, match="too few"):
            gpu.fit(Detector("padim", size=64), good[:2], 0, no_report)
    importlib.reload(gpu)
    here = Detector("padim", size=64)
    assert gpu.fit(here, good, 0, no_report) is here and away.detect(bad).score == here.detect(bad).score and progress
    assert durations[0] == gpu.MIN_SECONDS + int(
        np.ceil(ranking.expected_seconds("padim", len(good), ranking.DEFAULT_PASS_SECONDS) / gpu.SPEED_UP)
    )
    many = gpu.FitTask("local_occ", {}, [bad] * 500, 0, "")
    assert durations[0] < gpu.duration(many) <= gpu.MAX_SECONDS
