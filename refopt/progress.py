"""A line on the terminal that says how far a run is."""

import sys
import time
from typing import Any

WIDTH, PAUSE = 30, 0.1  #: characters of the bar; seconds between two lines


class Bar:
    """Written over itself on a terminal, and nowhere else unless a stream is named."""

    def __init__(self, wanted: Any, name: str, steps: int, start: int = 0) -> None:
        stream = wanted if hasattr(wanted, "write") else sys.stderr
        shown = hasattr(wanted, "write") or (bool(wanted) and getattr(stream, "isatty", lambda: False)())
        self.stream, self.name, self.steps, self.start = stream if shown else None, name, steps, start
        self.began = self.last = time.perf_counter()

    def tell(self, t: int, loss: float) -> None:
        """After t steps."""
        now = time.perf_counter()
        if self.stream is None or (now - self.last < PAUSE and t < self.steps):
            return
        self.last = now
        full = int(WIDTH * t / max(1, self.steps))
        rate = (t - self.start) / max(now - self.began, 1e-9)
        left = (self.steps - t) / rate if rate > 0.0 else 0.0
        bar = "#" * full + "." * (WIDTH - full)
        self.stream.write(
            f"\r{self.name} [{bar}] {t}/{self.steps}  loss {loss:.4g}  {rate:.3g} steps/s  {left:.0f} s left "
        )
        self.stream.flush()

    def end(self) -> None:
        if self.stream is not None:
            self.stream.write("\n")
            self.stream.flush()
