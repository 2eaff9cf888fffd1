"""What came back."""

import collections
import threading
import time


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.statuses: collections.Counter = collections.Counter()
        self.times: list[float] = []
        self.unexpected: list[str] = []
        self.wrong: list[str] = []

    def answered(self, kind: str, status: int | str) -> None:
        with self.lock:
            self.statuses[kind, status] += 1

    def surprise(self, text: str) -> None:
        with self.lock:
            self.unexpected.append(text)

    def wrong_answer(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text)

    def took(self, since: float) -> None:
        with self.lock:
            self.times.append(time.monotonic() - since)

    def surprises(self) -> str:
        return some(self.unexpected)

    def wrong_answers(self) -> str:
        return some(self.wrong)

    def idle(self, clients) -> str:
        """The kinds of clients that got nothing done."""
        seen = {kind for kind, _ in self.statuses}
        return ", ".join(c.__name__ for c in clients if c.__name__ not in seen)

    def report(self, duration: float) -> None:
        total = sum(self.statuses.values())
        print(f"{total} requests in {duration:.0f} s, {total / duration:.0f} a second")
        for kind in sorted({kind for kind, _ in self.statuses}):
            mine = sorted((str(s), n) for (k, s), n in self.statuses.items() if k == kind)
            print(f"  {kind:<10} " + ", ".join(f"{status}: {count}" for status, count in mine))
        times = sorted(self.times)
        if times:
            at = lambda share: 1e3 * times[min(int(share * len(times)), len(times) - 1)]
            print(f"good answers: p50 {at(0.5):.0f} ms, p99 {at(0.99):.0f} ms, max {at(1):.0f} ms")


def some(problems: list[str]) -> str:
    return f"{len(problems)}: " + "; ".join(problems[:5]) if problems else ""
