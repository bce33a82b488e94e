"""The cache on disk: whole files or none, a folder for each version of the sources, names for what functions do."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import refopt
from refopt import diskcache
from refopt.diskcache import identity

REFOPT = str(Path(refopt.__file__).parents[1])


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("REFOPT_CACHE_DIR", str(tmp_path / "cache"))
    diskcache.folder.cache_clear()
    yield tmp_path / "cache"
    diskcache.folder.cache_clear()


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 100])
def test_what_was_written_is_read(root, data):
    path = diskcache.folder() / "name"
    assert diskcache.read(path) is None
    diskcache.write(path, data)
    assert diskcache.read(path) == data
    assert list(path.parent.iterdir()) == [path]  # nothing temporary is left


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 40])
def test_a_part_of_a_file_is_nothing(root, length):
    path = diskcache.folder() / "name"
    diskcache.write(path, b"some data")
    path.write_bytes(path.read_bytes()[:length])
    assert diskcache.read(path) is None


def test_a_folder_that_cannot_be_written_is_no_error(root):
    root.write_text("a file where the folder would be")
    path = diskcache.folder() / "name"
    diskcache.write(path, b"data")
    assert diskcache.read(path) is None


# --- folders ---------------------------------------------------------------------------------------------------------


def test_the_place_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("REFOPT_CACHE_DIR", str(tmp_path))
    assert diskcache.root() == tmp_path
    monkeypatch.delenv("REFOPT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for platform, place in {"linux": "refopt", "darwin": "Library/Caches/refopt", "win32": "refopt"}.items():
        monkeypatch.setattr(sys, "platform", platform)
        assert diskcache.root() == tmp_path / place


def test_the_fingerprint_changes_with_any_source_file_its_name_and_the_versions(monkeypatch, tmp_path):
    monkeypatch.setattr(diskcache, "PACKAGE", tmp_path)
    (tmp_path / "methods").mkdir()
    seen = set()
    for name, text in [("a.py", "1"), ("a.py", "2"), ("methods/b.py", ""), ("methods/c.py", "1"), ("a.py", "")]:
        (tmp_path / name).write_text(text)
        seen |= {diskcache.fingerprint(), diskcache.fingerprint("0.68"), diskcache.fingerprint("0.69")}
    assert len(seen) == 15
    before = diskcache.fingerprint()
    (tmp_path / "notes.txt").write_text("no source")
    assert diskcache.fingerprint() == before


def test_old_folders_go_and_recent_ones_stay(root):
    ages = {f"{days:02}": days * 86400.0 for days in range(20)}
    for name, age in ages.items():
        (root / name).mkdir(parents=True)
        os.utime(root / name, (time.time() - age,) * 2)
    mine = diskcache.folder()
    assert sorted(path.name for path in root.iterdir()) == sorted([*list(ages)[: diskcache.KEPT - 1], mine.name])


# --- identities ------------------------------------------------------------------------------------------------------

FACTOR = 2.0
TABLE = np.arange(3.0)


def helper(x):
    return x + 1.0


def outer(x):
    return FACTOR * helper(x) + TABLE[0] + math.sin(x)


def test_an_identity_knows_code_constants_and_everything_referred_to(monkeypatch):
    first = identity(outer)
    assert identity(outer) == first
    for name, value in {"FACTOR": 3.0, "TABLE": np.arange(4.0), "helper": lambda x: x + 2.0, "math": np}.items():
        with monkeypatch.context() as patch:
            patch.setitem(globals(), name, value)
            assert identity(outer) not in (first, None), name
    assert identity(outer) == first


def closing_over(a, default=1.0):
    def inner(x, b=default):
        return a * x + b

    return inner


def test_an_identity_knows_closures_and_defaults():
    texts = {identity(closing_over(*arguments)) for arguments in [(1.0,), (2.0,), (1, 1.0), (1.0, 2.0), ("a",)]}
    assert len(texts) == 5
    assert identity(closing_over(1.0)) == identity(closing_over(1.0))


def test_an_identity_knows_arrays_by_their_content():
    values = [np.zeros(2), np.ones(2), np.zeros(3), np.zeros((1, 2)), np.zeros(2, np.float32), np.float64(0.0)]
    assert len({identity(closing_over(value)) for value in values}) == 6


def test_what_has_no_text_has_no_identity():
    for value in (object(), [1.0], np.array([None]), {"a": 1}):
        assert identity(closing_over(value)) is None


def test_functions_that_call_themselves_or_each_other_have_one():
    def even(n):
        return True if n == 0 else odd(n - 1)

    def odd(n):
        return False if n == 0 else even(n - 1)

    assert identity(even) is not None
    assert identity(even) != identity(odd)


def test_an_identity_is_the_same_in_another_process():
    """Sets are written in another order there, because strings have another hash."""
    show = (
        "from refopt import diskcache\n"
        "def f(x): return x in {'a', 'b', 'c', 'd'}\n"
        "print(diskcache.key(diskcache.identity(f)))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", show], env={**os.environ, "PYTHONHASHSEED": seed}, cwd=REFOPT,
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in "0123"
    }  # fmt: skip
    assert len(found) == 1
