"""What a run may claim: nothing false on any problem, however it is changed; and what each rule is there for."""

import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

import refopt
from problems import saddle
from refopt import judgement, noise, refinement, region, stopping, stopping_residuals
from refopt.judgement import DONE
from refopt.linesearch import wolfe
from refopt.noise import Differences, FunctionNoise
from refopt.refinement import Refined
from refopt.stopping import Ending, Status
from variants import (
    DERIVATIVES,
    PATIENCE,
    TIGHT,
    VARIANTS,
    answer,
    cases,
    keep,
    record,
    solve,
    survey,
    times,
    tolerance,
    verdict,
)
from variants import case as named

METHODS = [
    "bfgs", "l-bfgs", "trust-exact", "trust-dogleg", "trust-ncg", "trust-krylov", "newton-cg", "modified-newton",
    "saddle-free-newton", "lm", "dogleg",
]  # fmt: skip
methods = pytest.mark.parametrize("method", METHODS)
CLASSICS = [case for case in cases("minimize") if not case.name.startswith("nist:")]


# --- no false claim --------------------------------------------------------------------------------------------------

SETTINGS = [(d, gtol) for d in DERIVATIVES for gtol in (None, TIGHT)]
settings = pytest.mark.parametrize(("derivatives", "gtol"), SETTINGS)
variants = pytest.mark.parametrize("variant", VARIANTS)


def assert_no_worse(found, known):
    """False claims are those on record at most: none, wherever the record says none."""
    for claim in ("false success", "false alarm"):
        assert set(found.names.get(claim, ())) <= set(known[claim].split()), (claim, found.names[claim])


ON_RECORD = [(method, *row) for method in METHODS for row in record(method)]


@pytest.mark.parametrize(("method", "derivatives", "gtol", "variant"), ON_RECORD)
def test_no_false_claim(method, derivatives, gtol, variant):
    """On one or two problems each: together, they are all of the zoo."""
    first = ON_RECORD.index((method, derivatives, gtol, variant))
    tight = None if gtol == tolerance(None) else float(gtol)
    found = survey(method, variant, derivatives, slice(first % 59, None, 59), gtol=tight, **PATIENCE)
    assert_no_worse(found, record(method)[derivatives, gtol, variant])


@pytest.mark.deep
@methods
@variants
@settings
def test_no_false_claim_anywhere(method, variant, derivatives, gtol):
    found = survey(method, variant, derivatives, gtol=gtol, **PATIENCE)
    known = record(method)
    row = derivatives, tolerance(gtol), variant
    if row in known:
        assert_no_worse(found, known[row])
    keep(method, row, found)  # what is worse never becomes the record


#: the rows that are known to hold false claims
CLAIMS: dict[tuple[str, str], str] = {}


@methods
def test_what_is_on_record(method):
    """Every variant and every case with analytic derivatives; no false claim, but in the rows named here."""
    known, n = record(method), len(cases(refopt.available()[method].door))
    for gtol in (None, TIGHT):
        assert {("analytic", tolerance(gtol), v) for v in VARIANTS} <= set(known)
    for (derivatives, _, variant), row in known.items():
        successes, alarms = (row[claim].split() for claim in ("false success", "false alarm"))
        told = [int(row[count]) for count in ("solved", "elsewhere", "given up")]
        assert sum(told) + len(successes) + len(alarms) == n
        assert not successes + alarms or method in CLAIMS.get((derivatives, variant), "").split(), row


def test_few_evaluations_are_wasted():
    """After the first point that is good enough, in the median: the tests notice the end when it comes."""
    for method, most in (("bfgs", 4), ("trust-exact", 1)):
        wasted = []
        for case in CLASSICS:
            states = solve(case, method, trace=True).trace
            enough = [s.nfev for s in states if verdict(case, Good(s), method) == "solved"]
            wasted += [states[-1].nfev - enough[0]] if enough else []
        assert np.median(wasted) <= most


class Good(NamedTuple):
    """A state as a result that claims success."""

    state: Any

    @property
    def x(self):
        return self.state.x

    success = True
    status = Status.CONVERGED


# --- scale and shift -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "c"), [("bfgs", 2.0**41), ("bfgs", 2.0**-37), ("trust-exact", 4.0**20), ("trust-exact", 4.0**-17)]
)
def test_a_power_of_two_changes_no_bit(method, c):
    """Of four for trust-exact, whose Cholesky factor takes a root. The same iterates, counts and end.

    From starts so high that max(1, |f|) sets the measure, one of the two may go further on the same way.
    """
    for case in CLASSICS:
        (plain, way), (scaled, scaled_way) = walked(case, method), walked(times(c)(case), method)
        common = min(len(way), len(scaled_way))
        assert (way[:common] == scaled_way[:common]).all(), case.name
        if max(1.0, c) * (case.truth(case.x0) - plain.fun) > 1e4 * max(1.0, min(1.0, c) * abs(plain.fun)):
            continue
        assert scaled.fun == c * plain.fun
        assert [scaled[key] for key in ("status", "nit", "nfev", "njev")] == [
            plain[key] for key in ("status", "nit", "nfev", "njev")
        ]


def walked(case, method):
    """The result and every iterate on the way."""
    way, (fun, jac, hess) = [case.x0], case.problem[:3]
    given = {"hess": hess} if method == "trust-exact" else {}
    result = refopt.minimize(fun, case.x0, method=method, jac=jac, callback=lambda xk: way.append(xk), **given)
    return result, np.array(way)


def test_a_shift_leaves_what_was_solved_solved():
    plain, shifted = (
        {case.name for case in CLASSICS if claimed(case.name, variant, "trust-exact") == "solved"}
        for variant in ("plain", "plus 1e8")
    )
    assert len(shifted & plain) >= 0.85 * len(plain)


WALLS = {
    "exp(x²)": (lambda x: np.exp(x @ x), lambda x: 2 * x * np.exp(x @ x), [20.0], 1.0),
    "Poisson": (
        lambda x: np.exp(10 * x[0]) - 3 * x[0], lambda x: 10 * np.exp(10 * x) - 3, [30.0], 0.3 - 0.3 * np.log(0.3)
    ),
    "cosh": (lambda x: np.cosh(x).sum(), np.sinh, [300.0, -100.0, 50.0], 3.0),
}  # fmt: skip


@pytest.mark.parametrize("wall", WALLS)
@pytest.mark.parametrize("method", [m for m in METHODS if refopt.available()[m].door == "minimize"])
def test_high_on_a_wall_nothing_is_small(method, wall):
    """Beside f₀ − f, of up to 1e170, gradients and promises are next to nothing for hundreds of steps."""
    fun, jac, x0, least = WALLS[wall]
    result = refopt.minimize(fun, np.array(x0), method=method, jac=jac)
    assert result.success
    assert result.fun == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("method", [m for m in METHODS if {"hess", "hessp"} & set(refopt.available()[m].needs)])
def test_slopes_lead_past_faint_negative_curvature(method):
    """Σ 100 (xᵢ₊₁ − xᵢ + 1 − xᵢ²)² + 1e8 from zero: on the way f shows neither what is gained nor how it bends."""

    def r(x):
        return 10.0 * (x[1:] - x[:-1] + 1.0 - x[:-1] ** 2)

    def J(x):
        return 10.0 * (np.eye(20)[1:] - (1.0 + 2.0 * x[:-1, None]) * np.eye(20)[:-1])

    def hess(x):
        return 2.0 * J(x).T @ J(x) - np.diag(np.append(40.0 * r(x), 0.0))

    result = refopt.minimize(
        lambda x: r(x) @ r(x) + 1e8, np.zeros(20), method=method, jac=lambda x: 2.0 * J(x).T @ r(x), hess=hess
    )
    assert result.success
    assert r(result.x) @ r(result.x) <= 1e-8


@pytest.mark.parametrize("method", ["lm", "dogleg", "gauss-newton"])
def test_high_on_a_wall_no_fit_is_done(method):
    t = np.arange(10.0)
    result = refopt.least_squares(
        lambda b: np.exp(b[0] * t) - np.exp(0.3 * t), [20.0], method=method,
        jac=lambda b: (t * np.exp(b[0] * t))[:, None],
    )  # fmt: skip
    assert result.success
    assert result.x == pytest.approx([0.3], rel=1e-9)


# --- what each rule is for: without it, a false claim ----------------------------------------------------------------


def claimed(name, variant, method, derivatives="analytic", **options):
    changed = VARIANTS[variant](named(name, refopt.available()[method].door))
    return verdict(changed, solve(changed, method, derivatives, **{"maxiter": 400, **options}), method, derivatives)


def only_a(old, x, f, g, gnorm, gmax, ef, tests):
    return gnorm <= min(tests.gtol * gmax, max(tests.gtol, 1e-6) * old.g0)


def uncapped(old, x, f, g, gnorm, gmax, ef, tests):
    return (
        gnorm <= tests.gtol * gmax and (abs(g) * np.maximum(abs(x), old.size)).max() <= tests.gtol * (old.f0 - f) + ef
    )


def done(problem, old, x, f, g, promised, tests):
    return old._replace(verdict=DONE)


def content(method, problem, state, watch, params, tests, tried):
    return Ending(Status.PRECISION, True)


def by_the_best(problem, old, *rest):
    """Progress of ‖g‖ over that of the best point, instead of the smallest seen."""
    return observe(problem, old._replace(least=old.gnorm), *rest)


observe = stopping.observe


def unmeasured(*_):
    return FunctionNoise(0.0, False)


MUTANTS = [
    (stopping, "gradient_small", only_a, "nist:Misra1a/1", "ten times the start", "bfgs", "elsewhere"),
    (stopping, "gradient_small", uncapped, "mgh:broyden_banded", "ten times the start", "bfgs", "elsewhere"),
    (stopping, "settle", done, "mgh:beale", "plain", "bfgs", "false success"),
    (stopping, "observe", by_the_best, "nist:Rat42/1", "from the answer", "trust-exact", "given up"),
    (stopping, "measure_f", unmeasured, "nist:Misra1b/1", "1e-9 from the answer", "trust-exact", "false alarm"),
    (noise, "noise_of_g", lambda grad, x, size: 0 * x, "mgh:meyer", "from the answer", "bfgs", "false alarm"),
    (stopping, "think", content, "nist:Misra1a/1", "from the answer", "bfgs", "false success"),
    (wolfe, "noise_floor", lambda *_: 0.0, "logistic:10", "1e-6 from the answer", "bfgs", "false alarm"),
    (region, "noise_floor", lambda *_: 0.0, "mgh:penalty_2:4", "plus 1e8", "trust-exact", "false alarm"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name", "mutant", "case", "variant", "method", "wrong"), MUTANTS)
def test_without_it_a_false_claim(monkeypatch, module, name, mutant, case, variant, method, wrong):
    options = {done: {"gtol": 1e-4}, by_the_best: {"maxiter": 100}}.get(mutant, {})
    assert claimed(case, variant, method, **options) == "solved"
    monkeypatch.setattr(module, name, mutant)
    assert claimed(case, variant, method, **options) == wrong


def test_a_jump_is_not_the_noise_of_a_gradient():
    """An arctangent has one where its pole meets a datum: a fit stuck there has a gradient of 2e-4 the first."""
    assert claimed("nist:Roszman1/1", "ten times the start", "dogleg") == "given up"


def test_errors_of_differences_are_those_where_the_claim_is_made():
    """Of a valley in units from 1e-4 to 1e4, where Newton's last steps lead out of a bend that hides any gradient."""
    assert claimed("mgh:gulf", "rescaled variables", "trust-dogleg", "3-point") == "given up"


@pytest.mark.parametrize(
    ("case", "variant", "method"),
    [
        ("nist:Eckerle4/1", "f in float32", "trust-ncg"),  # a plateau whose bends pass for noise on long lines
        ("mgh:watson:12", "1e-6 from the answer", "saddle-free-newton"),  # a canyon of noise, with a fifth of f to go
        (
            "mgh:brown_badly_scaled",
            "1e-6 from the answer",
            "saddle-free-newton",
        ),  # rounding of 10⁶ passed for noise
    ],
)
def test_noise_that_is_none_excuses_no_gradient(case, variant, method):
    assert claimed(case, variant, method, "2-point") != "false success"


def as_they_are(problem, watch, tests):
    return watch, tests


def test_judged_by_one_sided_differences_their_bias_is_claimed(monkeypatch):
    """2-point differences of Gaussian's function are exact enough to stop by, but not to be right about ‖g‖."""
    assert claimed("mgh:gaussian", "times 1e12", "trust-exact", "2-point") == "solved"
    monkeypatch.setattr(stopping, "centred", as_they_are)
    assert claimed("mgh:gaussian", "times 1e12", "trust-exact", "2-point") == "false success"


def test_where_bias_moves_variables_a_false_alarm(monkeypatch):
    """The zero of a gradient by differences is far away in a valley as flat as that of NIST's MGH10.

    Other differences are the other way out.
    """
    assert claimed("nist:MGH10/1", "from the answer", "bfgs", "2-point") == "solved"
    monkeypatch.setattr(sys.modules["refopt.minimize"], "STUCK", ())
    assert claimed("nist:MGH10/1", "from the answer", "bfgs", "2-point") == "solved"
    monkeypatch.setattr(refinement, "SHARES", (0.0,))
    assert claimed("nist:MGH10/1", "from the answer", "bfgs", "2-point") == "false alarm"


def test_without_a_doubt_noisy_differences_end_where_they_begin(monkeypatch):
    """The saddle's function of float32 numbers seems not to change over a step of 2-point differences."""
    assert claimed("saddle", "x in float32", "bfgs", "2-point") in ("solved", "elsewhere")
    monkeypatch.setattr(stopping, "differences_of", lambda *_: Differences(0.0, 0.0, 0.0, True))
    monkeypatch.setattr(stopping, "centred", as_they_are)
    assert claimed("saddle", "x in float32", "bfgs", "2-point") == "false success"


def calm(*_):
    return noise.Tremor()


FITS = [
    (noise, "tremor", calm, "mgh:powell_badly_scaled:ls", "f in float32", "lm", "2-point", "given up"),
    (stopping_residuals, "measure_g", lambda *_: 0.0, "nist:Gauss1/1", "x in float32", "lm", "analytic", "false alarm"),
    (stopping_residuals, "perfected", lambda *_: None, "mgh:freudenstein_roth:ls", "1e-9 from the answer", "lm",
     "2-point", "false alarm"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name", "mutant", "case", "variant", "method", "derivatives", "wrong"), FITS)
def test_without_it_a_false_claim_of_a_fit(
    monkeypatch, module, name, mutant, case, variant, method, derivatives, wrong
):
    assert claimed(case, variant, method, derivatives) == "solved"
    monkeypatch.setattr(module, name, mutant)
    assert claimed(case, variant, method, derivatives) == wrong


def test_where_f_bends_down_a_fit_goes_on(monkeypatch):
    """It runs to infinity, where J is singular."""
    assert claimed("nist:MGH09/1", "plus 1e8", "dogleg") in ("solved", "elsewhere")
    monkeypatch.setattr(stopping_residuals, "escapes", lambda params, tried: False)
    assert claimed("nist:MGH09/1", "plus 1e8", "dogleg") == "false alarm"


def unrefined(problem, x, f, g, *rest):
    return Refined(x, f, g, np.inf)


def test_without_the_newton_steps_a_false_alarm(monkeypatch):
    """The gradient at float32 numbers never becomes small beside the first, though f has nothing more to give."""
    assert claimed("nist:Nelson/1", "x in float32", "trust-exact") == "solved"
    monkeypatch.setattr(judgement, "refine", unrefined)
    assert claimed("nist:Nelson/1", "x in float32", "trust-exact") == "false alarm"


def test_without_the_curvature_test_a_saddle_is_an_end(monkeypatch):
    """x² + (y² − 1)² from its saddle: the model's promise is infinite there."""

    def run():
        return refopt.minimize(saddle[0], [0.0, 0.0], method="trust-exact", jac=saddle[1], hess=saddle[2])

    assert run().fun < 1e-12
    monkeypatch.setattr(stopping, "settle", done)
    assert run().fun == 1.0


@pytest.mark.parametrize("method", ["trust-exact", "trust-dogleg", "trust-ncg", "trust-krylov"])
def test_a_start_that_can_hardly_be_told_from_a_saddle(method):
    """Its distance, 1e-30, is the first radius: f shows nothing of such steps, nor of many times such steps."""
    run = refopt.minimize(saddle[0], [1e-30, 1e-30], method=method, jac=saddle[1], hess=saddle[2])
    assert run.success
    assert run.fun < 1e-12


ELSEWHERE = ("levy", "mgh:osborne_1", "mgh:biggs_exp6")  # other minima, and a saddle


def test_answers_are_answers():
    """What the restarts begin from: within a millionth of a known minimum. Levy's function has many that are not."""
    for case in CLASSICS:
        f = case.problem.fun(answer(case.name, "minimize"))
        known = any(abs(f - m) <= 1e-6 * abs(m) + 1e-12 for m in case.minima)
        assert known or case.name in ELSEWHERE, case.name
