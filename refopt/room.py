"""Whether a dense matrix fits: it is refused before it is computed, with the name of what does without it."""

from typing import Any

from refopt.ops import namespace

LIMIT = 2**30  #: bytes that a dense result may take, where nothing is said
PARTS = "its .matvec(v), .solve(v, damping), .trace() and .blocks, which form none"


def fits(shape: tuple[int, int], like: Any, limit: float, name: str, instead: str = "") -> None:
    """An error where a dense matrix takes more bytes than `limit`: rows · columns · bytes of a number."""
    need = shape[0] * shape[1] * itemsize(like)
    if need > limit:
        instead = instead or f"the operator, refopt.curvature.operators.{name}(…), with .matvec, .diagonal(), .blocks()"
        raise MemoryError(
            f"the dense {name} of shape {shape} takes {need:,} bytes, the limit is {int(limit):,}: use {instead}, or "
            f"pass limit=…, in bytes"
        )


def itemsize(like: Any) -> int:
    """Bytes of a float of the array's type; of a reference, where it holds rational numbers."""
    return 8 if like.dtype == object else namespace(like).finfo(like.dtype).bits // 8
