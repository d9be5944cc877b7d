"""The demo: `python space/app.py`."""

import atexit
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
if "GRADIO_TEMP_DIR" not in os.environ:
    # A folder of this program's own, so that all of it can be removed at the end.
    os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="unet-svs-")
    atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)
ROOT = Path(__file__).resolve().parent.parent
if (ROOT / "modeling_unet_svs").is_dir():
    # In the repository, prefer its package to an installed one.
    sys.path.insert(1, str(ROOT))
if importlib.util.find_spec("spaces") is not None:
    import spaces  # noqa: F401 -- has to come before torch

import gradio as gr  # noqa: E402
import torch  # noqa: E402
from page import STATIC, browser_page_routes, build_page, mixer_routes, name_page_in_links  # noqa: E402
from settings import Settings  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from sweeping import RefusedWhenFull, TemporaryFolder  # noqa: E402

from modeling_unet_svs.command.torch_runtime import choose_device, choose_dtype, load_checkpoint  # noqa: E402

# Beside the threads that separate, for downloads and other quick work.
MORE_THREADS = 40


def main() -> None:
    """Loads the checkpoint and serves the page until it is stopped."""
    # As with Ctrl-C, so that everything is cleaned up at the end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    settings = Settings.from_environment()
    device, reason = choose_device(settings.device)
    dtype = choose_dtype("auto", device)
    print(f"computing on {device} in {str(dtype).removeprefix('torch.')}: {reason}")
    model = load_checkpoint(settings.model).to(device, dtype, memory_format=torch.channels_last)
    results = Path(os.environ["GRADIO_TEMP_DIR"]) / "results"
    results.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Fonts that visitors have, and no white on Gradio's orange, which is hard to read.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )
    name_page_in_links()
    build_page(settings.model, model, results, settings).launch(
        theme=theme,
        css_paths=STATIC / "page.css",
        max_file_size=settings.max_bytes,
        max_threads=settings.concurrency + MORE_THREADS,
        footer_links=["api", "gradio"],
        ssr_mode=False,
        app_kwargs={
            "routes": [*mixer_routes(), *browser_page_routes()],
            "middleware": [Middleware(RefusedWhenFull, folder=TemporaryFolder(results, settings))],
        },
    )


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"unet-svs: {error}")
