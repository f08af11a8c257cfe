"""The page, thin over `lab`: a folder for each tab; `build` puts them together."""

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any, NoReturn

import gradio as gr
from starlette.middleware import Middleware

from . import allocator, assets, run_folder, sessions, theme
from .compare.tab import Compare
from .detector_service import DetectorService
from .field.tab import Field
from .image_workers import WORKERS
from .papers.tab import Papers
from .take_apart.session import Question
from .take_apart.tab import TakeApart
from .variant import Variant
from .view import View
from .web_guard import UploadFolder, WebGuard, delete_old_uploads
from .your_images import tab, widgets
from .your_images.limits import MAX_UPLOAD_MEGABYTES, MEGABYTE

START = View("samples", "washer", (Variant("patchcore"), Variant("padim")), "test/missing_tooth/006")
START_APART = Question("samples", "washer", Variant.of("cdo", {"oom": False}), "test/missing_tooth/006")
TABS = {"compare": "Compare", "take-apart": "Take apart", "yours": "Your images", "papers": "Papers and ours"}
TABS |= {"field": "The field"}  # as addresses name them: as the page does
# The tab that the address names, before anything is asked of the server; later the one that Back and Forward name. A
# chosen tab is a step of the history, and its panel then writes the rest of its address.
TAB_OF_ADDRESS = """() => {
  const titles = TITLES, named = () => new URLSearchParams(location.search).get("tab") ?? "compare";
  window.stepTo = tab => { if (named() !== tab) history.pushState(history.state, "", `?tab=${tab}`); };
  addEventListener("popstate", () => {
    const buttons = [...document.querySelectorAll("button[role=tab]")];
    buttons.find(button => button.textContent.trim() === titles[named()])?.click();
  });
  return named() !== "compare" && named() in titles ? {selected: named(), __type__: "update"} : undefined;
}""".replace("TITLES", json.dumps(TABS))
TITLE = "Annotation-Free Anomaly Lab"


def build(
    service: DetectorService | None = None, start: View = START, start_apart: Question = START_APART
) -> gr.Blocks:
    """The whole page, which begins at once to fit what *Compare* shows first.

    start, start_apart   what *Compare* and *Take apart* show first
    """
    allocator.limit_malloc_arenas()  # before the first thread
    os.environ["GRADIO_TEMP_DIR"] = str(run_folder.path())  # before any component asks where files go
    service = service or DetectorService()
    blocks = gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=widgets.FILE_SWEEP)
    with blocks:
        gr.HTML(theme.HEAD, js_on_load=theme.HEAD_JS, apply_default_css=False)
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            with _tab("compare"):
                compare = Compare(service, start)
            with _tab("take-apart"):
                taken = TakeApart(service, start_apart)
            with _tab("yours"):
                your_images = tab.YourImages(service)
            with _tab("papers"):
                papers = Papers()
            with _tab("field"):
                Field()
        blocks.load(None, None, tabs, js=TAB_OF_ADDRESS, show_progress="hidden", api_visibility="private")
        compare.load(blocks)
        taken.load(blocks)
        your_images.load(blocks)
        papers.load(blocks)
    compare.warm()
    return blocks


def _tab(name: str) -> gr.Tab:
    tab = gr.Tab(TABS[name], id=name)
    tab.select(
        None, None, None, js=f"() => window.stepTo?.('{name}')", show_progress="hidden", api_visibility="private"
    )
    return tab


def launch(blocks: gr.Blocks, port: int | None, **options: Any) -> tuple[Any, str, str]:
    """Serves the page until interrupted; returns what gradio's launch does. Nothing on the page asks any other host.

    Clients join the queue, each in a session of its own: `api_open` would take requests without one. As tools, gradio
    calls all endpoints in one session for all agents: those of *Your images*, whose images they would share, are none.
    """
    if options.get("mcp_server"):
        for function in blocks.fns.values():
            if str(function.api_name).startswith("yours_"):
                function.api_visibility = "undocumented"
    css = theme.CSS + assets.text("panel/panel.css", "your_images/your_images.css")
    options |= dict(footer_links=[], run_history=False, ssr_mode=False, pwa=False, share=False, max_threads=200)
    guard = Middleware(WebGuard, seen=sessions.seen)
    options |= dict(app_kwargs=dict(middleware=[guard], openapi_url=None, docs_url=None, redoc_url=None))
    options |= dict(max_file_size=MAX_UPLOAD_MEGABYTES * MEGABYTE)
    queued: Any = blocks.queue(max_size=64, api_open=False)
    threading.Thread(target=_keep_house, name="house", daemon=True).start()
    waits, options["prevent_thread_lock"] = not options.get("prevent_thread_lock"), True
    app, local, shared = queued.launch(server_port=port, theme=theme.THEME, css=css, **options)
    app.uploaded_file_dir = UploadFolder()
    if waits:
        blocks.block_thread()
    return app, local, shared


def _keep_house(every: float = 60.0) -> None:
    """Ends silent visits and deletes uploads that nobody takes, looking at them so often, in seconds; never returns."""
    while True:
        time.sleep(every)
        sessions.end_silent_visits(time.monotonic())
        with contextlib.suppress(OSError):  # a disk in trouble: tried again
            delete_old_uploads()


def end() -> NoReturn:
    """Ends the process once the server has stopped: deletes what visitors have sent, and waits for no job of theirs."""
    WORKERS.close()
    run_folder.delete(run_folder.path())
    sys.stdout.flush()
    os._exit(0)  # the interpreter, going down beneath torch's threads, aborts at times
