"""The README is true: its commands are the gate's own, and its Python runs as printed."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The commands of one shell line, each as its words."""
    return [shlex.split(command) for command in text.strip().split(" && ")]


def gate() -> list[list[str]]:
    """What .ci/run runs step by step."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("step ")]


def test_the_gate_runs_what_the_readme_tells_a_user_to_run():
    verify_and_fit, tests = (commands(block) for block in blocks("console")[:2])
    assert verify_and_fit[-2:] == [["refopt", "verify"], ["refopt", "solve", "nist"]]
    for command in [*verify_and_fit[-2:], tests[-1]]:
        assert command in gate()


def test_the_tests_are_what_the_gate_ends_with():
    assert gate()[-1] == commands(blocks("console")[1])[-1]


def test_there_is_an_example_for_everybody():
    assert len(blocks("python")) >= 3


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_examples_run(number, capsys):
    exec(compile(blocks("python")[number], f"README.md, example {number + 1}", "exec"), {})
    assert capsys.readouterr().out.strip()
