"""How claims are judged: what verifies, what fails and says so, and what anyone can hand in."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from scipy.optimize import BFGS

from refopt import exact
from refopt.methods import bfgs
from refopt.oracle import Claim, find, ledger, verify
from refopt.oracle.claim import EPS, Fails, claim, ours
from refopt.oracle.draw import Draw, excess, least
from refopt.oracle.trial import Trial, isolated, text

SECANT = find("bfgs.secant")[0]


def squares(draw):
    a = draw.number(1, 9)
    return {"a": a, "b": a * a}


def square_claim(**details):
    given = {"scale": lambda b: b, "because": "one product", "slack": 4} | details
    return claim("test.square", "b = a²", "direct", squares, **given)(lambda a, b: b - a**2)


def report_of(wanted, monkeypatch, **arguments):
    """The report of a claim that is not in the ledger."""
    monkeypatch.setattr("refopt.oracle.claim.ledger", lambda: (wanted,))
    return verify(wanted.id, **arguments)[0]


# --- what a claim says of arrays -------------------------------------------------------------------------------------


def test_residual_takes_anyones_arrays():
    s, y = np.array([1.0, 2.0]), np.array([3.0, 1.0])
    assert list(SECANT.residual(H_new=np.eye(2), s=s, y=y)) == [2.0, -1.0]


def test_error_is_relative_to_the_scale():
    wanted = square_claim()
    assert wanted.error({"a": 3.0, "b": 9.0}) == 0.0
    assert wanted.error({"a": 3.0, "b": 10.0}) == pytest.approx(0.1)
    assert wanted.tolerance == 4 * EPS


@pytest.mark.parametrize("b", [np.nan, np.inf])
def test_what_is_not_finite_never_passes(b):
    assert square_claim().error({"a": 3.0, "b": b}) == np.inf


def test_rational_residuals_are_zero_or_not():
    third = Fraction(1, 3)
    assert square_claim().error({"a": third, "b": third * third}) == 0.0
    assert square_claim().error({"a": third, "b": Fraction(1, 9) + Fraction(1, 10**40)}) == np.inf


def test_parts_have_their_own_scales():
    wanted = claim(
        "test.two", "a = 0, b = 0", "direct", squares, scale=lambda: (1.0, 1e6), because="-"
    )(lambda a, b: (a, b))  # fmt: skip
    assert wanted.error({"a": 1e-3, "b": 10.0}) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"verdict": "probable"}, "the verdicts are"),
        ({"verdict": "conditional"}, "counterexamples must come"),
        ({"verdict": "true", "fails": (Fails("a", squares),)}, "counterexamples must come"),
        ({"verdict": "false", "fails": (Fails("a", squares),)}, "corrected statement must come"),
    ],
)
def test_a_claim_that_contradicts_itself_is_refused(details, message):
    with pytest.raises(ValueError, match=message):
        square_claim(**details)


# --- finding ---------------------------------------------------------------------------------------------------------


def test_find_by_name_pattern_and_topic():
    assert [c.id for c in find("bfgs.secant")] == ["bfgs.secant"]
    assert find("bfgs") == find("bfgs.*") == [c for c in ledger() if c.topic == "bfgs"]
    assert find("*") == list(ledger())
    assert find(["bfgs.secant", "bfgs.s*"])[0] is SECANT
    assert len(find(["bfgs", "bfgs.secant"])) == len(find("bfgs"))


def test_find_helps_with_a_wrong_name():
    with pytest.raises(ValueError, match=r"did you mean .*bfgs\.secant"):
        find("bfgs.secand")
    with pytest.raises(ValueError, match=r"the topics are .*bfgs, "):
        find("xyz")


def test_equations_are_found_in_the_library():
    assert ours("bfgs.update") is bfgs.update
    with pytest.raises(LookupError, match=r"bfgs\.nothing"):
        ours("bfgs.nothing")


# --- verifying -------------------------------------------------------------------------------------------------------


def test_what_holds_is_verified():
    report = verify("bfgs.secant", examples=5)[0]
    assert (report.status, report.verdict, report.exact, report.cases) == ("verified", "true", True, 10)
    assert 0 < report.worst <= report.tolerance
    assert report.says == "Hₖ₊₁ yₖ = sₖ"
    assert report.detail == report.code == ""


def test_floats_alone_on_request():
    report = verify("bfgs.secant", examples=5, exact=False)[0]
    assert (report.status, report.exact, report.cases) == ("verified", False, 5)


def test_what_is_false_is_refuted_and_its_correction_verified():
    report = verify("newton.sign-preserving")[0]
    assert (report.status, report.verdict, report.exact) == ("refuted", "false", True)
    assert "descent direction" in report.corrected


def test_the_same_seed_gives_the_same_report():
    assert verify("wolfe", seed=3, examples=3) == verify("wolfe", seed=3, examples=3)
    assert verify("bfgs.update", seed=3, examples=3) != verify("bfgs.update", seed=4, examples=3)


def test_a_claim_draws_the_same_whether_alone_or_not():
    assert verify("bfgs.secant", examples=3)[0] in verify("bfgs", examples=3)


def test_progress_is_told():
    told = []
    reports = verify("lm", examples=1, progress=lambda *news: told.append(news))
    assert told == [(k + 1, len(reports), report) for k, report in enumerate(reports)]


def test_no_examples_is_no_verification():
    with pytest.raises(ValueError, match="at least one"):
        verify("bfgs.secant", examples=0)


def test_editorial_claims_are_listed_and_not_counted(monkeypatch):
    report = report_of(square_claim(verdict="editorial"), monkeypatch)
    assert (report.status, report.cases, report.exact) == ("skipped", 0, False)
    assert report.detail == "no computation can decide it: one product"


def test_a_claim_that_needs_a_missing_package_is_skipped(monkeypatch):
    report = report_of(square_claim(needs="no_such_package"), monkeypatch)
    assert (report.status, report.cases) == ("skipped", 0)
    assert "needs no_such_package: pip install" in report.detail


def test_a_fixed_claim_has_one_case(monkeypatch):
    assert report_of(square_claim(fixed=True), monkeypatch, examples=9).cases == 2


# --- failing ---------------------------------------------------------------------------------------------------------


def flipped(update, H, s, y):
    """The update with the sign of its last term wrong."""
    return update(H, s, y) - 2 * s[:, None] * s / (y @ s)


def test_a_broken_equation_of_the_library_is_named(monkeypatch):
    own = bfgs.update
    monkeypatch.setattr(bfgs, "update", lambda H, s, y: flipped(own, H, s, y))
    failed = {report.id for report in verify("bfgs", examples=3) if report.status == "failed"}
    assert {"bfgs.update", "bfgs.secant", "bfgs.inverse", "bfgs.quadratic-termination"} <= failed
    assert "bfgs.symmetric" not in failed  # which is still true


def test_a_failing_instance_can_be_pasted(capsys):
    report = verify("bfgs.secant", implementation=partial(flipped, bfgs.update))[0]
    assert report.status == "failed"
    assert "of its scale, where rounding leaves" in report.detail
    assert 'refopt.verify("bfgs.secant", seed=0, examples=1)' in report.code
    exec(report.code, {})
    error, tolerance = map(float, capsys.readouterr().out.split())
    assert error == report.worst > tolerance == report.tolerance


def test_an_exact_failure_can_be_pasted(capsys):
    def barely(H, s, y):
        return bfgs.update(H, s, y) * (1 + Fraction(1, 10**30))

    outcome = Trial(True).judge(SECANT, [barely], Draw(np.random.default_rng(0), exact=True))
    assert outcome.detail == "the residual is not zero in rational numbers"
    exec(Trial(True).code(SECANT, outcome, 0, 0), {})
    assert capsys.readouterr().out.split()[0] == "inf"


def test_an_equation_that_raises_fails_with_its_error():
    def broken(H, s, y):
        raise RuntimeError("not today")

    report = verify("bfgs.secant", implementation=broken)[0]
    assert (report.status, report.detail) == ("failed", "RuntimeError: not today")


def test_an_equation_that_answers_nothing_fails():
    assert verify("bfgs.secant", implementation=lambda H, s, y: H * np.nan)[0].status == "failed"


def test_a_rounded_equation_of_the_library_fails_the_exact_reading(monkeypatch):
    own = bfgs.update
    monkeypatch.setattr(bfgs, "update", lambda H, s, y: own(H, s, y) * 1.0)
    report = verify("bfgs.secant")[0]
    assert report.status == "failed"
    assert "is the float" in report.detail


def test_a_counterexample_that_holds_fails_the_claim(monkeypatch):
    wanted = square_claim(verdict="conditional", fails=(Fails("a is odd", squares),))
    report = report_of(wanted, monkeypatch)
    assert report.status == "failed"
    assert report.detail.startswith("the counterexample (a is odd) does not fail: 0")
    assert "claim.fails[0]" in report.code


def test_a_counterexample_must_fail_clearly(monkeypatch):
    nearly = Fails("a is odd", squares, lambda a, b: 1e-13 + 0 * b)
    report = report_of(square_claim(verdict="conditional", fails=(nearly,)), monkeypatch, exact=False)
    assert report.status == "failed"


# --- somebody else's -------------------------------------------------------------------------------------------------


def scipys(H, s, y, least_curvature=1e-300):
    """SciPy's BFGS update of an inverse Hessian; by its default it skips pairs with yᵀs ≤ 1e-8 yᵀHy."""
    strategy = BFGS(min_curvature=least_curvature)
    strategy.initialize(len(s), "inv_hess")
    strategy.H = H
    strategy.first_iteration = False
    strategy.update(s, y)
    return strategy.get_matrix()


def test_scipys_update_is_judged_in_floats():
    reports = verify("bfgs.secant", implementation=scipys)
    reports += verify("bfgs.update", implementation={"bfgs.update": scipys})
    assert [report.status for report in reports] == ["verified", "verified"]
    assert [report.exact for report in reports] == [False, False]


def test_an_update_that_skips_pairs_is_found_out():
    """On H of a size that does not fit y and s, as SciPy does by default."""
    report = verify("bfgs.secant", examples=40, implementation=lambda *pair: scipys(*pair, least_curvature=1e-8))[0]
    assert report.status == "failed"


def test_an_implementation_that_keeps_to_rationals_is_decided_exactly():
    def product(H, s, y):
        V = -y[:, None] * s / (y @ s) + np.eye(len(s), dtype=int)
        return V.T @ H @ V + s[:, None] * s / (y @ s)

    reports = verify("bfgs", implementation={"bfgs.update": product})
    assert {report.status for report in reports if report.cases} == {"verified", "refuted"}
    assert all(report.exact for report in reports if report.cases)


def test_claims_that_do_not_use_it_are_skipped():
    by_id = {
        report.id: report for report in verify("*", examples=1, implementation={"bfgs.update": scipys}, exact=False)
    }
    assert by_id["newton.exercise-2x2"].status == "skipped"
    assert by_id["newton.exercise-2x2"].detail == "does not use bfgs.update"
    assert by_id["bfgs.secant"].status == "verified"


def test_counterexamples_are_not_the_business_of_an_implementation():
    """SciPy skips pairs with yᵀs < 0, so its H stays definite where the book's update does not."""
    assert verify("bfgs.positive-definite", implementation=scipys)[0].status == "verified"


@pytest.mark.parametrize(
    ("pattern", "given", "message"),
    [
        ("*", scipys, "say which is meant"),
        ("bfgs.first-scaling", scipys, "no equation"),
        ("bfgs", {"bfgs.updat": scipys}, r"do not use bfgs\.updat: they use bfgs\.update"),
    ],
)
def test_an_implementation_must_have_a_name_that_is_used(pattern, given, message):
    with pytest.raises(ValueError, match=message):
        verify(pattern, implementation=given)


def test_an_equation_gets_copies_and_may_answer_in_lists():
    def writes(H, s):
        H[:] = 0.0
        return s.tolist()

    H, s = np.eye(2), np.array([1.0, 2.0])
    found = isolated(writes)(H, s)
    assert (np.eye(2) == H).all()
    assert isinstance(found, np.ndarray)
    assert list(found) == [1.0, 2.0]


# --- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", [False, True])
def test_drawn_matrices_are_what_they_are_called(reading):
    for seed in range(20):
        draw = Draw(np.random.default_rng(seed), reading, size=3)
        spd, indefinite, J = draw.spd(3), draw.indefinite(3), draw.full_rank(4, 3)
        assert least(spd) > 0
        assert least(indefinite) < 0 < -least(-indefinite)
        assert least(J.T @ J) > 0
        assert {spd.dtype, indefinite.dtype, J.dtype} == {np.dtype(object if reading else float)}


def test_sizes_are_drawn_or_given():
    assert {Draw(np.random.default_rng(k)).size() for k in range(50)} == {1, 2, 3, 4, 5}
    assert Draw(np.random.default_rng(0), size=9).size(2, 4) == 4
    assert Draw(np.random.default_rng(0), size=1).size(2, 4) == 2


def test_excess_is_the_violation_of_an_inequality():
    assert excess(2.0) == 2.0
    assert excess(-2.0) == 0.0
    assert list(excess(exact.array([-1, "1/2"]))) == [0, Fraction(1, 2)]


@pytest.mark.parametrize(
    "value",
    [np.array([[0.1, -np.inf], [3e-320, 1 / 3]]), exact.array(["1/3", 2]), Fraction(2, 7), (0.1, np.float64(3)), 5],
)
def test_text_makes_the_value_again(value):
    from numpy import array, inf, nan

    again = eval(text(value), {"array": array, "inf": inf, "nan": nan, "Fraction": Fraction, "exact": exact})
    assert np.array_equal(np.asarray(again), np.asarray(value))


def test_claims_are_values():
    assert isinstance(SECANT, Claim)
    with pytest.raises(AttributeError):
        SECANT.slack = 1e9
