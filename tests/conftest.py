"""What every test shares: one thread, one cache of compiled code, Hypothesis profiles, array kinds."""

import os

# One thread each, said before NumPy or numba is first imported: afterwards nobody listens.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import hypothesis
import pytest

from namespaces import NAMESPACES, Namespace

hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled code in pytest's own cache: shared by all workers, emptied by `pytest --cache-clear`."""
    if hasattr(config, "cache"):  # which `-p no:cacheprovider` takes away
        os.environ.setdefault("REFOPT_CACHE_DIR", str(config.cache.mkdir("refopt")))
        os.environ.setdefault("NUMBA_CACHE_DIR", str(config.cache.mkdir("numba")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked deep, unless the command line asks for it."""
    if "deep" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("deep")])
        items[:] = [item for item in items if not item.get_closest_marker("deep")]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Compile in one worker only, where there are several: what it compiled once, it has."""
    if item.get_closest_marker("jit") and item.config.pluginmanager.hasplugin("xdist"):
        item.add_marker(pytest.mark.xdist_group("jit"))


def _with_marks(kind: Namespace):
    return pytest.param(kind, marks=pytest.mark.gpu if kind.name == "cupy" else ())


@pytest.fixture(params=map(_with_marks, NAMESPACES), ids=str, scope="session")
def namespace(request: pytest.FixtureRequest) -> Namespace:
    """Each array kind in turn. Session scope, so that it may stand beside `@given`."""
    return request.param
