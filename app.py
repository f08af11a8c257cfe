"""Starts the page: `python app.py`, on port 7860 or the one that GRADIO_SERVER_PORT names."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "0")  # before gradio is imported

import torch

from lab import ui


def stop(*_: object) -> None:
    """As Ctrl-C: ends the server, and deletes what visitors have sent; SIGTERM alone would leave it."""
    raise KeyboardInterrupt


def main() -> None:
    parser = argparse.ArgumentParser(description="Starts the page.")
    mcp_help = "also serve the endpoints, except those of *Your images*, as tools of the Model Context Protocol"
    parser.add_argument("--mcp", action="store_true", help=mcp_help)
    mcp = parser.parse_args().mcp
    if mcp and not importlib.util.find_spec("mcp"):
        parser.exit(2, "--mcp needs a package that is not installed: pip install 'gradio[mcp]'\n")
    signal.signal(signal.SIGTERM, stop)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    ui.launch(ui.build(), int(os.environ.get("GRADIO_SERVER_PORT") or 7860), mcp_server=mcp)
    ui.end()


if __name__ == "__main__":
    main()
