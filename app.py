"""Starts the page: `python app.py`; on port 7860, or the one that GRADIO_SERVER_PORT names. `--mcp`: as tools, too."""

from __future__ import annotations

import argparse
import importlib.util
import os


def main() -> None:
    parser = argparse.ArgumentParser(description="Starts the page.")
    parser.add_argument(
        "--mcp", action="store_true",
        help="serve its endpoints, but for those of *Your images*, as tools of the Model Context Protocol",
    )  # fmt: skip
    mcp = parser.parse_args().mcp
    if mcp and not importlib.util.find_spec("mcp"):
        parser.exit(2, "--mcp needs a package that is not here: pip install 'gradio[mcp]'\n")

    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "0")  # before gradio is imported
    import torch

    from lab import ui

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    ui.launch(ui.build(), int(os.environ.get("GRADIO_SERVER_PORT") or 7860), mcp_server=mcp)


if __name__ == "__main__":
    main()
