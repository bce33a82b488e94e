"""The report of distances from the Fisher matrix, against the literal one."""

import re
from pathlib import Path

import numpy as np
import pytest

from literal_kfac import case, literal
from refopt import Supervised
from refopt.curvature import ekfac, kfac, kfac_report, kfac_tridiagonal, kfoc
from refopt.networks import LayerNorm, Linear, Sequential, Tanh

EXAMPLE = case(loss="cross-entropy", sizes=(3, 4, 3), N=20)


@pytest.mark.parametrize("bias", ["joint", "separate"])
def test_distances(bias):
    F = literal(EXAMPLE.steps, EXAMPLE.X, EXAMPLE.problem.c, "cross-entropy").F
    report = kfac_report(EXAMPLE.problem, EXAMPLE.x, bias=bias, damping=0.1)
    lam = 0.1 * np.trace(F) / len(F)
    dense = [f(EXAMPLE.problem, EXAMPLE.x, bias=bias).dense() for f in (kfac, kfoc, ekfac, kfac_tridiagonal)]

    def distances(of):
        return pytest.approx(
            [np.linalg.norm(of(F) - of(K)) / np.linalg.norm(of(F)) for K in dense], rel=1e-12, abs=1e-12
        )

    assert report.whole == distances(lambda M: M)
    assert report.inverse == distances(lambda M: np.linalg.inv(M + lam * np.eye(len(F))))
    assert sorted(np.concatenate([row.place for row in report.rows])) == list(range(len(F)))
    for row in report.rows:
        assert row.norm == pytest.approx(np.linalg.norm(F[np.ix_(row.place, row.place)]), rel=1e-12)
        assert row.block == distances(lambda M, p=row.place: M[np.ix_(p, p)])
        assert row.row == distances(lambda M, p=row.place: M[p])
        kfac_, kfoc_, ekfac_, chain = row.block
        assert max(kfoc_, ekfac_) <= kfac_ + 1e-12
        assert chain == pytest.approx(kfac_, abs=1e-12)
    text = str(report).splitlines()
    assert len(text) == len(report.rows) + 4
    assert f"{100 * report.rows[0].block[0]:.1f} %" in text[2]


def test_labels_that_are_drawn_are_the_same_for_all():
    """Drawn labels make another F, which everything is compared with: EKFAC cannot be further from it than K-FAC."""
    report = kfac_report(EXAMPLE.problem, EXAMPLE.x, fisher="monte-carlo", rng=np.random.default_rng(0))
    exact = kfac_report(EXAMPLE.problem, EXAMPLE.x)
    for row, other in zip(report.rows, exact.rows, strict=True):
        assert max(row.block[1:3]) <= row.block[0] * (1 + 1e-12)
        assert row.block[0] != pytest.approx(other.block[0], rel=1e-3)


def test_blocks_say_what_they_are():
    for f, name in ((kfac, "Kron"), (kfoc, "Nearest"), (ekfac, "Corrected")):
        assert repr(f(EXAMPLE.problem, EXAMPLE.x).blocks[0]) == f"{name}(A (4, 4), G (4, 4), bias=True)"


def test_every_parameter_has_its_row():
    net = Sequential(Linear(4, 4, groups=2), Tanh(), LayerNorm(4), Linear(4, 2))
    rng = np.random.default_rng(1)
    problem = Supervised(net, "squared", rng.standard_normal((6, 4)), rng.standard_normal((6, 2)))
    report = kfac_report(problem, net.init(0))
    assert [row.layer for row in report.rows] == ["0", "0", "no linear layer", "no linear layer", "3"]
    assert sorted(np.concatenate([row.place for row in report.rows])) == list(range(net.size))


@pytest.mark.parametrize("options", [{"fisher": "forward-only"}, {"damping": 0.0}])
def test_what_is_refused(options):
    with pytest.raises(ValueError, match=r"Fisher matrix|damping"):
        kfac_report(EXAMPLE.problem, EXAMPLE.x, **options)


def test_array_kinds(namespace):
    problem = Supervised(
        EXAMPLE.problem.network,
        "cross-entropy",
        namespace.asarray(EXAMPLE.problem.X),
        namespace.asarray(EXAMPLE.problem.y),
    )
    ours, expected = kfac_report(problem, namespace.asarray(EXAMPLE.x)), kfac_report(EXAMPLE.problem, EXAMPLE.x)
    assert ours.whole == pytest.approx(expected.whole, rel=1e-12)
    assert ours.inverse == pytest.approx(expected.inverse, rel=1e-12)


def test_the_table_in_the_docs_is_the_one_of_the_example():
    """To what rounding leaves of a printed digit."""
    root = Path(__file__).parents[2]
    scope = {}
    first = (root / "examples" / "plot_kfac_blocks.py").read_text().split("# %%")[0]
    exec(compile(first, "plot_kfac_blocks.py", "exec"), scope)
    numbers = [[float(n) for n in re.findall(r"[\d.]+", text)] for text in (
        str(scope["report"]), (root / "docs" / "curvature" / "kfac_report.txt").read_text(),
    )]  # fmt: skip
    assert numbers[0] == pytest.approx(numbers[1], abs=0.11)


def test_nothing_to_compare_with():
    problem = Supervised(Linear(3, 1), "cross-entropy", np.ones((4, 3)), np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match="is zero"):
        kfac_report(problem, np.zeros(4))
