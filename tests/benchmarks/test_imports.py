"""What importing costs: whole processes, beside importing NumPy alone."""

import subprocess
import sys


def fresh(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_costs_no_more_than_numpy(paired):
    paired("import refopt", lambda: fresh("import refopt"), "import numpy", lambda: fresh("import numpy"))
