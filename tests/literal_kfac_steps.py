"""K-FAC's steps with dense matrices: Jacobians sample by sample, in complex steps, blocks by Kronecker products."""

from typing import NamedTuple

import numpy as np

from literal_kfac import flat_of, literal, outputs, product_of

STEP = 1e-30
SHAPES = ((4, 3), (4,), (3, 4), (3,))


def layers_at(x):
    """3-4-3, tanh between."""
    parts, end = [], 0
    for shape in SHAPES:
        parts.append(x[end : end + int(np.prod(shape))].reshape(shape))
        end += int(np.prod(shape))
    W, b, V, c = parts
    return [(W, b), np.tanh, (V, c)]


def sample_loss(x, z, y):
    """Cross-entropy of one sample; x may be complex."""
    f = outputs(layers_at(x), z)[0][0]
    return np.log(np.exp(f).sum()) - f[y]


def gradient(fun, x):
    return np.array([fun(x + 1j * STEP * e).imag / STEP for e in np.eye(len(x))])


class Options(NamedTuple):
    damping: float = 2.0
    l2: float = 1e-2
    averaging: float = 0.6
    fisher: str = "monte-carlo"
    samples: int = 1
    rule: str = "pi"
    rescale: bool = True
    momentum: bool = True
    adapt_every: int = 2
    candidates_every: int = 3
    inverse_every: int = 2
    omega: float = 0.8
    step: float = 0.7


class Reached(NamedTuple):
    x: np.ndarray
    damping: float
    gamma: float


def run(kind, options, X, y, x, draws):
    """States after each draw (batch, labels (S, B)); kind: the name of a method."""
    o, mean, kept, basis = Options(**options), None, None, None
    lam, gamma, last = o.damping, (o.damping + o.l2) ** 0.5, np.zeros_like(x)
    states = []
    for k, (batch, labels) in enumerate(draws, 1):
        Z, t, c = X[batch], y[batch], 1 / len(batch)
        given = {"empirical": t[None], "exact": None}.get(o.fisher, labels)
        by_sample = None if given is None else [[np.array([s[n]]) for s in given] for n in range(len(batch))]
        F = literal(layers_at(x), Z, c, "cross-entropy").F
        found = literal(layers_at(x), Z, c, "cross-entropy", labels=by_sample)
        weight = min(1 - 1 / k, o.averaging)
        fresh = [*found.A, *found.G, *found.A_next, *found.G_next]
        mean = (
            fresh if mean is None else [weight * old + (1 - weight) * new for old, new in zip(mean, fresh, strict=True)]
        )

        def h(x, Z=Z, t=t, c=c):
            return c * sum(sample_loss(x, z, label) for z, label in zip(Z, t, strict=True)) + o.l2 / 2 * (x @ x)

        g, B = gradient(h, x), F + (lam + o.l2) * np.eye(len(x))
        several = o.candidates_every and k % o.candidates_every == 0
        due = several or k <= 3 or k % o.inverse_every == 0
        w2 = o.omega ** (o.candidates_every / 2)
        gammas = [gamma, w2 * gamma, gamma / w2] if several else [gamma]
        if due and not o.candidates_every:
            gammas = [(lam + o.l2) ** 0.5]
        if kind == "ekfac":
            if due:
                basis = [[*map(eigenvectors, (mean[i], mean[i + 2])), None] for i in (0, 1)]
                for each in basis:
                    each[2] = each[1][0][:, None] * each[0][0]
            track(basis, weight, x, Z, given, c)
            inverses = [rotated(basis, each) for each in gammas]
        else:
            inverses = [dense_inverse(kind, mean, each, o.rule) for each in gammas] if due else [kept]
        trials = [propose(P, g, B, last, o, k) for P in inverses]
        best = min(range(len(trials)), key=lambda j: trials[j][1])
        (last, change), gamma, kept = trials[best], gammas[best], inverses[best]
        if o.adapt_every and k % o.adapt_every == 0:
            rho, w1 = (h(x + last) - h(x)) / change if change < 0 else -1.0, o.omega**o.adapt_every
            lam = w1 * lam if rho > 0.75 else lam / w1 if rho < 0.25 else lam
        x = x + last
        states.append(Reached(x, lam, gamma))
    return states


def propose(P, g, B, last, o, k):
    """δ and M(δ)."""
    delta = -P @ g
    D = np.column_stack([delta, last] if o.momentum and k > 1 else [delta])
    if o.rescale:
        z = np.linalg.solve(D.T @ B @ D, -D.T @ g)
    elif D.shape[1] == 1:
        z = np.array([o.step])
    else:
        z = np.array([o.step, -(last @ (g + o.step * B @ delta)) / (last @ B @ last)])
    step = D @ z
    return step, g @ step + step @ B @ step / 2


def factors(mean, i, gamma, rule):
    """A + πγI and G + γ/π I of layer i."""
    A, G = mean[i], mean[i + 2]
    pi = ((np.trace(A) / len(A)) / (np.trace(G) / len(G))) ** 0.5 if rule == "pi" else 1.0
    return A + pi * gamma * np.eye(len(A)), G + gamma / pi * np.eye(len(G))


def dense_inverse(kind, mean, gamma, rule):
    n = [len(mean[i]) * len(mean[i + 2]) for i in (0, 1)]
    zero = np.zeros((n[0], n[1]))
    if rule == "exact":
        blocks = [product_of(mean[i], mean[i + 2], True) + gamma**2 * np.eye(n[i]) for i in (0, 1)]
    else:
        blocks = [product_of(*factors(mean, i, gamma, rule), True) for i in (0, 1)]
    if kind == "kfac":
        return np.block([[np.linalg.inv(blocks[0]), zero], [zero.T, np.linalg.inv(blocks[1])]])
    across = between(mean[4], mean[5])
    psi = across @ np.linalg.inv(blocks[1])
    sigma = blocks[0] - psi @ blocks[1] @ psi.T
    Xi = np.block([[np.eye(n[0]), -psi], [zero.T, np.eye(n[1])]])
    return Xi.T @ np.block([[np.linalg.inv(sigma), zero], [zero.T, np.linalg.inv(blocks[1])]]) @ Xi


def between(A, G):
    """The block of two layers, [W b] row by row with b last, in the flat order of both."""
    rows, columns = places(len(A), len(G)), places(A.shape[1], G.shape[1])
    return np.array([[G[o, p] * A[i, j] for p, j in columns] for o, i in rows])


def places(width, out):
    return [(o, i) for o in range(out) for i in range(width - 1)] + [(o, width - 1) for o in range(out)]


# --- EKFAC -----------------------------------------------------------------------------------------------------------


def eigenvectors(M):
    return np.linalg.eigh(M)


def track(basis, weight, x, Z, labels, c):
    """S of both layers with the squares of each sample's gradient, turned into the basis; labels None: all of them."""
    for i, each in enumerate(basis):
        (_, P), (_, Q), S = each
        total = 0
        for n, z in enumerate(Z):
            f = outputs(layers_at(x), z)[0][0]
            chances = (
                enumerate(np.exp(f) / np.exp(f).sum()) if labels is None else ((s[n], 1 / len(labels)) for s in labels)
            )
            for y, chance in chances:
                V = matrices_of(gradient(lambda x, z=z, y=y: sample_loss(x, z, y), x))[i]
                total = total + chance * (Q.T @ V @ P) ** 2
        each[2] = weight * S + (1 - weight) * c * total


def matrices_of(v):
    """[W b] of both layers."""
    (W, b), _, (V, c) = layers_at(v)
    return [np.column_stack([W, b]), np.column_stack([V, c])]


def rotated(basis, gamma):
    """The inverse in the eigenvectors' basis, as a matrix, column by column."""
    columns = []
    for e in np.eye(sum(int(np.prod(shape)) for shape in SHAPES)):
        found = []
        for V, ((_, P), (_, Q), S) in zip(matrices_of(e), basis, strict=True):
            solved = Q @ ((Q.T @ V @ P) / (S + gamma**2)) @ P.T
            found.append((solved[:, :-1], solved[:, -1]))
        columns.append(flat_of(found))
    return np.column_stack(columns)
