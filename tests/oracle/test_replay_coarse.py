"""Runs in bfloat16: what is right agrees however small its steps, and what is wrong by more than rounding is named."""

import numpy as np
import pytest

from refopt.oracle import judge, replay
from refopt.oracle.iterates import Brief

N = 60
OPTIONS = {"step": 0.02, "weight_decay": 1.0}


def brief(a):
    """To the nearest number of bfloat16."""
    bits = np.asarray(a, np.float32).view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000).view(np.float32)


def adamw(wrong="", step=0.02, steps=15, averages=True):
    """AdamW on a quadratic, every number rounded to bfloat16 as it is made."""
    rng = np.random.default_rng(1)
    h, x = rng.uniform(0.1, 2.0, N), brief(0.3 * rng.standard_normal(N))
    centre, m, v, run = 0.3 * rng.standard_normal(N), 0 * x, 0 * x, []
    for t in range(1, steps + 1):
        g = brief(h * (x - centre))
        run.append({"x": x, "g": g} | ({"m": m, "v": v} if averages else {}))
        seen = brief(g + x) if wrong == "coupled" else g
        m, v = brief(brief(0.9 * m) + brief(0.1 * seen)), brief(brief(0.999 * v) + brief(0.001 * brief(seen * seen)))
        m_hat, v_hat = (m, v) if wrong == "uncorrected" else (m / (1 - 0.9**t), v / (1 - 0.999**t))
        p = brief(brief(m_hat) / (brief(np.sqrt(brief(v_hat))) + 1e-8))
        shrunk = {"coupled": x, "twice": brief(x * (1 - step) ** 2)}.get(wrong, brief(x * (1 - step)))
        x = brief(shrunk - brief(step * p))
    return [{name: a.view(Brief) for name, a in entry.items()} for entry in [*run, {"x": x}]]


@pytest.mark.parametrize("averages", [True, False])
@pytest.mark.parametrize("step", [0.001, 0.02, 0.2])
@pytest.mark.parametrize("steps", [15, 150])
def test_a_right_run_is_right(averages, step, steps):
    found = replay("adamw", None, adamw(step=step, steps=steps, averages=averages), {**OPTIONS, "step": step})
    assert found, found.sentence


@pytest.mark.parametrize(
    ("wrong", "defect"),
    [("coupled", "coupled decay"), ("uncorrected", "no bias correction"), ("twice", "decay twice")],
)
@pytest.mark.parametrize("averages", [True, False])
def test_a_wrong_run_is_named(wrong, defect, averages):
    found = replay("adamw", None, adamw(wrong, averages=averages), OPTIONS)
    assert found.verdict == "disagrees"
    assert defect in found.defects, found.sentence


def test_another_step_length_is_told():
    found = replay("adamw", None, adamw(step=0.045), {**OPTIONS, "step": 0.03})
    assert found.verdict == "disagrees"
    assert found.guess["step"] == pytest.approx(0.045, rel=0.05)


def test_what_rounding_explains_is_what_it_does():
    """A number is changed by half a unit in its last place at most, and typically by a third of that."""
    findings = [f for f in replay("adamw", None, adamw(), OPTIONS).findings if f.judged]
    shares = [f.error / f.tolerance for f in findings]
    assert 0.02 < np.median(shares) < max(shares) < 0.8


def test_a_step_that_rounding_swallows_is_undecided():
    """Where x + p = x in bfloat16, nothing has moved, and nothing can be said."""
    x = np.full(5, 1.0, np.float32).view(Brief)
    found = replay("sgd", None, [{"x": x, "g": 0.1 * x}] * 4, {"step": 1e-3})
    assert found.verdict == "undecided"
    assert "Rounding drowns every equation" in found.sentence


def test_a_dump_says_that_its_numbers_have_been_coarse():
    run = adamw()
    dump = {
        "what": "trajectory", "claim": "adamw", "precision": "bfloat16", "points": np.stack([e["x"] for e in run]),
        "gradients": np.stack([e["g"] for e in run[:-1]]), **{f"option.{key}": value for key, value in OPTIONS.items()},
    }  # fmt: skip
    assert judge(dump).right
    assert not judge(dump | {"option.weight_decay": 0.0}).right
