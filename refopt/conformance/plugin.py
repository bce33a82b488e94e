"""A plugin for pytest:  pytest -p refopt.conformance.plugin --conform package.module:name --kind KIND."""

from typing import Any

import pytest

from refopt.conformance import Broken, Property, judged, named, properties


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("refopt", "conformance of an implementation")
    group.addoption("--conform", metavar="PACKAGE.MODULE:NAME", action="append", default=[], help="what is judged")
    group.addoption("--kind", metavar="KIND", default="", help="see refopt.conformance; or the target's `conforms`")
    group.addoption("--examples", type=int, default=50, metavar="N", help="instances of each property (50)")


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each property of each target is a test."""
    for path in config.option.conform:
        target = named(path)
        for wanted in properties(config.option.kind or getattr(target, "conforms", "")):
            name = f"{path}[{wanted.name}]"
            items.append(Conformance.from_parent(session, name=name, wanted=wanted, target=target))


class Conformance(pytest.Item):
    """One property of one target."""

    def __init__(self, *, wanted: Property, target: Any, **rest: Any) -> None:
        super().__init__(**rest)
        self.wanted, self.target = wanted, target

    def runtest(self) -> None:
        report = judged(self.wanted, self.target, self.config.option.examples)
        if report.status == "fails":
            raise Broken(f"{report.says}: {report.detail}\n    on {report.instance}")

    def repr_failure(self, excinfo: Any, style: Any = None) -> str:
        return str(excinfo.value) if isinstance(excinfo.value, Broken) else str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, self.name
