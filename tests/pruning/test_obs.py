"""OBS beside a dense solution of the conditions for each removal; its loops; what it refuses."""

import sys
from itertools import combinations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

import kkt
from refopt import exact, pruning
from refopt.pruning import kernels, obs
from strategies import basis, seeds, spectra


def drawn(seed, n, condition=1e3):
    """Weights without ties and a Hessian of known condition."""
    rng = np.random.default_rng(seed)
    H = (basis(n, seed + 1) * condition ** rng.uniform(0, 1, n)) @ basis(n, seed + 1).T
    return rng.standard_normal(n), (H + H.T) / 2


@given(seed=seeds, n=st.integers(1, 9), condition=st.sampled_from([1.0, 1e2, 1e4]), share=st.floats(0, 1))
def test_greedy_obs_is_the_dense_solution(seed, n, condition, share):
    (w, H), count = drawn(seed, n, condition), int(share * n)
    ours, (weights, order, costs) = obs(w, H, count=count), kkt.greedy(w, H, count)
    assert ours.order.tolist() == order
    assert (ours.mask == ~np.isin(np.arange(n), order)).all()
    scale = abs(w).max()
    assert np.allclose(ours.weights, weights, rtol=0, atol=1e-10 * scale)
    assert np.allclose(ours.increases, costs, rtol=0, atol=1e-10 * scale**2 * condition)
    assert np.isclose(ours.predicted_increase, ours.increases.sum(), rtol=1e-14, atol=0)
    delta = ours.weights - w
    assert np.isclose(ours.predicted_increase, delta @ H @ delta / 2, rtol=1e-10, atol=1e-12 * scale**2)


@given(seed=seeds, n=st.integers(1, 12))
def test_saliency_is_the_cost_of_each_alone(seed, n):
    w, H = drawn(seed, n)
    alone = [kkt.removed(w, H, [q])[1] for q in range(n)]
    assert np.allclose(obs(w, H, count=0).saliency, alone, rtol=1e-10, atol=0)


@given(seed=seeds, n=st.integers(4, 9), condition=st.sampled_from([1.0, 1e3]))
def test_groups_go_at_once(seed, n, condition):
    w, H = drawn(seed, n, condition)
    groups = [[0, 2], [1], [3, *range(4, n)]]
    ours = obs(w, H, groups=groups, count=2)
    first = min(range(3), key=lambda k: kkt.removed(w, H, groups[k])[1])
    second = min((k for k in range(3) if k != first), key=lambda k: kkt.removed(w, H, groups[first] + groups[k])[1])
    Q = groups[first] + groups[second]
    assert ours.order.tolist() == Q
    weights, cost = kkt.removed(w, H, Q)
    assert np.allclose(ours.weights, weights, rtol=0, atol=1e-10 * abs(w).max())
    assert np.isclose(ours.predicted_increase, cost, rtol=1e-10)


@given(seed=seeds, sizes=st.lists(st.integers(1, 3), min_size=2, max_size=4))
def test_groups_may_lie_across_blocks(seed, sizes):
    parts = [drawn(seed + k, n) for k, n in enumerate(sizes)]
    w, H = np.concatenate([w for w, _ in parts]), scipy.linalg.block_diag(*(H for _, H in parts))
    groups = np.array_split(np.random.default_rng(seed).permutation(len(w)), 2)
    ours = obs(w, inverse_hessian=[pruning.inverse(H) for _, H in parts], groups=groups, count=1)
    whole = obs(w, H, groups=groups, count=1)
    first = min((list(Q) for Q in groups), key=lambda Q: kkt.removed(w, H, Q)[1])
    weights, cost = kkt.removed(w, H, first)
    for found in (ours, whole):
        assert found.order.tolist() == first
        assert np.allclose(found.weights, weights, rtol=0, atol=1e-10 * abs(w).max())
        assert np.isclose(found.predicted_increase, cost, rtol=1e-10)


@given(seed=seeds, n=st.integers(2, 30))
def test_the_loop_is_the_page(seed, n):
    """Undecorated, in chunks of one removal and of all."""
    w, H = drawn(seed, n)
    P, count = pruning.inverse(H), n - 1
    page = obs(w, inverse_hessian=P, count=count, compiled=False)
    for steps in (1, count):
        left, at, order, costs, done, spent = loop(w, P, count, steps)
        assert (done, order.tolist()) == (count, page.order.tolist())
        assert np.isclose(spent, page.predicted_increase, rtol=1e-10)
        assert np.allclose(costs, page.increases, rtol=1e-10, atol=0)
        assert np.isclose(left[0], page.weights[at[0]], rtol=0, atol=1e-10 * abs(w).max())


def loop(w, P, count, steps):
    """``kernels.remove`` as it stands, in chunks of so many removals."""
    n, done, spent = len(w), 0, 0.0
    U, left, d, at = np.empty((count, n)), w.copy(), P.diagonal().copy(), np.arange(n)
    order, costs = np.zeros(count, dtype=int), np.zeros(count)
    while done < count:
        stop = min(done + steps, count)
        done, spent = kernels.remove(P, U, left, d, at, order, costs, done, stop, spent, np.inf)
    return left, at, order, costs, done, spent


@given(seed=seeds, n=st.integers(0, 70))
def test_how_far_a_matrix_is_from_its_transpose(seed, n):
    A = np.random.default_rng(seed).standard_normal((n, n))
    gap, size = kernels.asymmetry(A)
    assert gap == abs(A - A.T).max(initial=0)
    assert size == abs(np.tril(A)).max(initial=0)
    assert kernels.asymmetry(A + A.T)[0] == 0
    for wrong in (np.nan, np.inf) if n else ():
        i = seed % n
        A[i, n - 1 - i] = A[n - 1 - i, i] = wrong
        with np.errstate(invalid="ignore"):
            assert kernels.asymmetry(A)[0] == np.inf


@pytest.mark.jit
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_compiled_is_generic(dtype, monkeypatch):
    monkeypatch.setattr(sys.modules["refopt.pruning.obs"], "CHUNK", 5 * 70**2)  # several chunks
    w, H = (a.astype(dtype) for a in drawn(3, 70, 50.0))
    generic, compiled = (obs(w, H, count=50, compiled=choice) for choice in (False, True))
    assert compiled.order.tolist() == generic.order.tolist()
    assert compiled.weights.dtype == generic.weights.dtype == dtype
    assert np.allclose(compiled.weights, generic.weights, rtol=0, atol=1e4 * np.finfo(dtype).eps)
    limited = [obs(w, H, budget=generic.predicted_increase / 3, compiled=choice) for choice in (False, True)]
    assert limited[0].order.tolist() == limited[1].order.tolist()
    assert 0 < limited[0].order.size < 50


def test_a_budget_is_kept_and_used():
    w, H = drawn(5, 8)
    costs = obs(w, H, count=8).increases.cumsum()
    for k in range(8):
        within = obs(w, H, budget=(costs[k] + costs[k + 1]) / 2 if k < 7 else 2 * costs[7])
        assert within.order.size == k + 1
    assert obs(w, H, budget=2 * costs[7], count=3).order.size == 3
    assert obs(w, H, groups=[[0, 1], [2]], budget=0.0).order.size == 0


@given(
    traces=st.lists(st.lists(st.integers(0, 4).map(float), max_size=5), min_size=1, max_size=4),
    count=st.integers(0, 20),
    budget=st.integers(0, 20),
)
def test_merged_is_the_cheapest_next_one_again_and_again(traces, count, budget):
    """With ties: of equal ones that of the first trace."""
    starts, ahead, expected, left = np.cumsum([0, *map(len, traces)]), [0] * len(traces), [], budget
    while len(expected) < min(count, sum(map(len, traces))):
        cost, b = min((trace[t], b) for b, (trace, t) in enumerate(zip(traces, ahead, strict=True)) if t < len(trace))
        if cost > left:
            break
        left -= cost
        expected.append(starts[b] + ahead[b])
        ahead[b] += 1
    assert pruning.merged(traces, count, budget).tolist() == expected


@given(seed=seeds, sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_blocks_are_a_block_diagonal_hessian(seed, sizes):
    parts = [drawn(seed + k, n) for k, n in enumerate(sizes)]
    w, H = np.concatenate([w for w, _ in parts]), scipy.linalg.block_diag(*(H for _, H in parts))
    count = len(w) // 2
    blocks = obs(w, inverse_hessian=[pruning.inverse(H) for _, H in parts], count=count)
    weights, order, _ = kkt.greedy(w, H, count)
    assert blocks.order.tolist() == order
    assert np.allclose(blocks.weights, weights, rtol=0, atol=1e-10 * abs(w).max())
    assert np.allclose(blocks.saliency, obs(w, H, count=0).saliency, rtol=1e-10)


@given(seed=seeds, n=st.integers(1, 4))
def test_over_rational_numbers_nothing_is_rounded(seed, n):
    rng = np.random.default_rng(seed)
    w, H, count = exact.numbers(rng, n), exact.spd(rng, n), n // 2 + 1
    ours = exact.checked(obs(w, H, count=count))
    kept = [i for i in range(n) if i not in set(ours.order.tolist())]
    Q = ours.order.tolist()
    fitted = w[kept] + (exact.solve(H[np.ix_(kept, kept)], H[np.ix_(kept, Q)] @ w[Q]) if kept else 0)
    assert (ours.weights[kept] == fitted).all()
    assert (ours.weights[Q] == 0).all()
    delta = ours.weights - w
    assert ours.predicted_increase == delta @ H @ delta / 2
    reached = {set_: cost(w, H, set_) for set_ in combinations(range(n), count)}
    assert reached[tuple(sorted(Q))] == ours.predicted_increase >= min(reached.values())


def cost(w, H, Q):
    """½ w_Qᵀ ([H⁻¹]_QQ)⁻¹ w_Q."""
    Q = list(Q)
    P = exact.solve(H, exact.array(np.eye(len(w), dtype=int)))
    return w[Q] @ exact.solve(P[np.ix_(Q, Q)], w[Q]) / 2


@given(seed=seeds, values=spectra(5, 1e3), damping=st.sampled_from([0.0, 0.01, 1.0]))
def test_dead_weights_go_first_and_touch_nothing(seed, values, damping):
    w, _ = drawn(seed, 7)
    H, live = np.zeros((7, 7)), [0, 2, 3, 4, 6]
    H[np.ix_(live, live)] = (basis(5, seed) * values) @ basis(5, seed).T
    H = (H + H.T) / 2
    ours = obs(w, H, count=4, damping=damping)
    assert ours.order[:2].tolist() == [1, 5]
    assert (ours.increases[:2] == 0).all()
    lam = damping * np.trace(H) / 7
    weights, order, _ = kkt.greedy(w[live], H[np.ix_(live, live)] + lam * np.eye(5), 2)
    assert ours.order[2:].tolist() == [live[q] for q in order]
    assert np.allclose(ours.weights[live], weights, rtol=0, atol=1e-10 * abs(w).max())
    none = obs(w, H, count=1, damping=damping)
    assert none.weights[5] == w[5]


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.jit)])
def test_what_cannot_be_is_refused(compiled):
    w = np.ones(3)
    singular, indefinite = np.ones((3, 3)), np.diag([1.0, 2.0, -1.0])
    hidden = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    dead = np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    for H in (singular, indefinite, hidden, dead):
        with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
            obs(w, H, count=1, compiled=compiled)
    assert obs(w, singular, count=1, damping=0.1, compiled=compiled).order.size == 1
    expected, order, _ = kkt.greedy(w, dead + 2 * np.trace(dead) / 3 * np.eye(3), 1)
    damped = obs(w, dead, count=1, damping=2.0, compiled=compiled)
    assert damped.order.tolist() == order
    assert np.allclose(damped.weights, expected, rtol=0, atol=1e-12)
    with pytest.raises(np.linalg.LinAlgError, match="lost"):
        obs(w, inverse_hessian=-np.eye(3), count=1, compiled=compiled)


def test_wrong_arguments_are_named():
    w, H = drawn(0, 3)
    for words, arguments in (
        ("how many", {}),
        ("between 0 and 3", {"count": 4}),
        ("between 0 and 3", {"count": -1}),
        ("one way", {"count": 1, "sparsity": 0.5}),
        ("between 0 and 1", {"sparsity": 1.5}),
        ("damping is -1", {"count": 1, "damping": -1.0}),
        ("either the Hessian", {"count": 1, "inverse_hessian": H}),
        ("disjoint", {"count": 1, "groups": [[0, 1], [1, 2]]}),
        ("not empty", {"count": 1, "groups": [[]]}),
        ("a list of lists", {"count": 1, "groups": [0, 1]}),
        ("a list of lists", {"count": 1, "groups": [[0.5]]}),
        ("budget is nan", {"budget": np.nan}),
        ("budget is -1", {"budget": -1.0}),
        ("inverse Hessian differs from its transpose", {"count": 1, "hessian": None, "inverse_hessian": np.triu(H)}),
        ("inverse Hessian has entries", {"count": 1, "hessian": None, "inverse_hessian": H * np.nan}),
        ("from 0 to 2", {"count": 1, "groups": [[3]]}),
    ):
        with pytest.raises(ValueError, match=words):
            obs(w, **{"hessian": H, **arguments})
    with pytest.raises(ValueError, match="must be a vector"):
        obs(H, H, count=1)
    with pytest.raises(ValueError, match=r"for 3 weights it must be \(3, 3\)"):
        obs(w, H[:2, :2], count=1)
    with pytest.raises(ValueError, match="w has entries that are not finite"):
        obs(w * np.nan, H, count=1)
    with pytest.raises(ValueError, match="Hessian has entries that are not finite"):
        obs(w, H * np.inf, count=1)
    with pytest.raises(ValueError, match="either the Hessian"):
        obs(w, count=1)
    with pytest.raises(ValueError, match="blocks of shapes"):
        obs(w, inverse_hessian=[H[:2, :2]], count=1)
    with pytest.raises(ValueError, match="compiled loops"):
        obs(exact.array([1, 2]), exact.array([[2, 1], [1, 2]]), count=1, compiled=True)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.jit)])
def test_nothing_and_one(compiled):
    for how in ("hessian", "inverse_hessian"):
        assert obs(np.zeros(0), **{how: np.zeros((0, 0))}, count=0, compiled=compiled).weights.shape == (0,)
    assert obs([3.0], inverse_hessian=[[2.0]], count=1, compiled=compiled).predicted_increase == 2.25  # rows in a list
    one = obs(np.array([3.0]), np.array([[2.0]]), count=1, loss=lambda w: (w[0] - 3.0) ** 2)
    assert np.isclose(one.predicted_increase, 9.0, rtol=1e-15)
    assert one.actual_increase == 9.0
    assert one.weights.tolist() == [0.0]


def test_all_array_kinds(namespace):
    w, H = drawn(11, 6)
    reference = obs(w, H, count=3)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-4)):
        ours = obs(namespace.asarray(w.astype(dtype)), namespace.asarray(H.astype(dtype)), count=3, damping=0.0)
        assert all(namespace.owns(a) for a in (ours.mask, ours.weights, ours.order, ours.saliency, ours.increases))
        assert namespace.to_numpy(ours.order).tolist() == reference.order.tolist()
        assert namespace.to_numpy(ours.weights).dtype == dtype
        assert np.allclose(namespace.to_numpy(ours.weights), reference.weights, rtol=0, atol=tolerance)
        grouped = obs(namespace.asarray(w.astype(dtype)), namespace.asarray(H.astype(dtype)), groups=[[0, 1]], count=1)
        assert namespace.to_numpy(grouped.mask).tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.jit)])
def test_of_equal_saliencies_the_first_goes(compiled):
    w = np.ones(40)
    w[[3, 7]] = 0.5
    expected = [3, 7, *(q for q in range(40) if q not in (3, 7))]
    assert obs(w, np.eye(40), count=40, compiled=compiled).order.tolist() == expected
    assert loop(w, np.eye(40), 40, 40)[2].tolist() == expected


@pytest.mark.jit
def test_compiled_loops_are_kept_on_disk():
    from refopt.compiled import kernel

    w, H = drawn(0, 40)
    obs(w, H, count=3, compiled=True)
    loop = kernel(kernels.remove)
    (arguments,) = [kinds for kinds in loop.overloads if str(kinds[1].dtype) == "float64"]
    again = type(loop)(loop.py_func, targetoptions=loop.targetoptions)
    again._cache = loop._cache
    again.compile(arguments)
    assert again.stats.cache_hits[arguments] == 1


def test_without_numba_the_page_itself_runs(monkeypatch):
    monkeypatch.setattr("refopt.pruning.kernels.compiler", lambda: False)
    monkeypatch.setattr(sys.modules["refopt.pruning.obs"], "_compiled", None)
    monkeypatch.setattr(sys.modules["refopt.pruning.sparsegpt"], "_compiled", None)
    w, H = drawn(0, 64)
    assert obs(w, H, count=3).order.tolist() == obs(w, H, count=3, compiled=False).order.tolist()
    W = np.resize(w, (64, 63))[:, :1] * w
    assert pruning.sparsegpt(W, hessian=H, sparsity=0.5).order.size == 64 * 32
