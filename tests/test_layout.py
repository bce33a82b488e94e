"""The tree's promises: `import refopt` stays light, and no file holds the path of somebody's machine."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refopt

ROOT = Path(__file__).parents[1]
HEAVY = ["numba", "autograd", "scipy.optimize", "scipy.linalg", "array_api_compat", "matplotlib"]


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    fresh = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return fresh.stdout.strip()


def test_import_loads_nothing_heavy():
    show = f"import sys, refopt; print([name for name in {HEAVY} if name in sys.modules])"
    assert run(show) == "[]"


def test_a_type_checker_sees_the_same_names():
    """`__init__.pyi` says for each public name where it comes from, and `__init__.py` loads it from there."""
    stub = ast.parse((ROOT / "refopt/__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    named = {alias.asname: node.module for node in imports for alias in node.names}
    homes = {name: f"refopt.{home}" for name, home in refopt._HOMES.items()}
    assert named == homes | dict.fromkeys(refopt._MODULES, "refopt")


def test_a_shell_completes_public_names_alone():
    assert dir(refopt) == sorted([*refopt.__all__, "__version__"])


def test_functions_stay_functions_whatever_was_imported_before():
    """`refopt.minimize` is a function, although the module that holds it has the same name."""
    doors = ["minimize", "least_squares", "train"]
    show = f"import refopt, importlib; [importlib.import_module('refopt.' + door) for door in {doors}]"
    show += f"; print([door for door in {doors} if not callable(getattr(refopt, door))])"
    assert run(show) == "[]"


def _tracked() -> list[Path]:
    """What git tracks or would track; an unpacked source distribution has no git and is skipped."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if names.returncode:
        pytest.skip("not a git checkout")
    return [path for name in names.stdout.splitlines() if (path := ROOT / name).is_file()]


def test_no_machine_paths():
    home = re.compile(rb"(?<![\w.])/(?:home|root|Users|tmp|work|opt|mnt)/\w|[A-Z]:\\\\Users")
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in _tracked()
        if path.suffix not in {".png", ".svg"} and (match := home.search(path.read_bytes()))
    ]
    assert found == []
