"""Sphinx: the pages, the gallery that runs the examples, and the ledger that is read from the claims."""

import os
import sys
import warnings
from pathlib import Path

os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import refopt

HERE = Path(__file__).parent

project = "refopt"
author = "The refopt developers"
copyright = "The refopt developers"
version = release = refopt.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx_gallery.gen_gallery",
    "catalogue",
    "field",
    "guide",
    "house",
    "ledger",
    "mathml",
    "options",
    "pictures",
]
exclude_patterns = ["_build"]
default_role = "code"
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"refopt {release}"
html_static_path = ["_static"]
html_css_files = ["refopt.css"]

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(?!plot_)",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "min_reported_time": 1,
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib", "pictures.plain"),
    "capture_repr": (),
    "write_computation_times": False,
    "show_signature": False,
}
warnings.filterwarnings("error", module="refopt")
