"""Makes the record in docs/honesty: every method on the whole zoo, in every variant.

    python tests/honesty.py [WORD ...]

Rows that were made by the rules as they are now are left alone, so that it may be stopped and begun again at any time.
Words, names of methods, derivatives, tolerances and variants, say which; of several of a kind, each.
"""

import sys
import time
from itertools import product

from variants import DERIVATIVES, PATIENCE, TIGHT, VARIANTS, keep, record, rules, survey, tolerance

METHODS = (
    "lm", "dogleg", "bfgs", "trust-exact", "l-bfgs", "saddle-free-newton", "trust-dogleg", "modified-newton",
    "trust-krylov", "trust-ncg", "newton-cg",
)  # fmt: skip


def due(words: list[str]) -> list[tuple[str, str, str, float | None]]:
    """What is to be made, those that nothing is known of first."""
    tolerances = {tolerance(gtol): gtol for gtol in (None, TIGHT)}
    kinds = [[one for one in kind if one in words] or kind for kind in (tolerances, VARIANTS, DERIVATIVES, METHODS)]
    rows = [
        (method, derivatives, variant, tolerances[named]) for named, variant, derivatives, method in product(*kinds)
    ]
    known = {(method, *key): row.get("rules") for method in METHODS for key, row in record(method).items()}
    made = [known.get((method, derivatives, tolerance(gtol), variant)) for method, derivatives, variant, gtol in rows]
    stale = [(row, digest) for row, digest in zip(rows, made, strict=True) if digest != rules(row[0])]
    return [row for row, digest in sorted(stale, key=lambda pair: bool(pair[1]))]


def main(words: list[str]) -> None:
    for method, derivatives, variant, gtol in due(words):  # the rules are read before the first row is made
        start = time.process_time()
        found = survey(method, variant, derivatives, gtol=gtol, **PATIENCE)
        keep(method, (derivatives, tolerance(gtol), variant), found)
        counts = {said: names if said.startswith("false") else len(names) for said, names in found.names.items()}
        took = time.process_time() - start
        print(f"{took:6.1f} s  {method}, {derivatives}, {tolerance(gtol)}, {variant}: {counts}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
