"""Draw the picture of the README and of the front page again: `python examples/readme_picture.py`."""

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
HERE = Path(__file__).parent

figure = runpy.run_path(str(HERE / "plot_nist.py"))["figure"]
figure.savefig(HERE.parent / "docs" / "_static" / "nist.png", dpi=90)
