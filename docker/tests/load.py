"""Clients that send pictures and keep account of every answer."""

import http.client
import json
import threading
import time
from collections import Counter

from engine import CHECKOUT

MODEL = "nin-mnist"
DIGIT = (CHECKOUT / "models" / MODEL / "digit.png").read_bytes()


def ppm(width, height):
    """An uncompressed picture of `3 * width * height` bytes."""
    return f"P6 {width} {height} 255\n".encode() + bytes(3 * width * height)


def get(host, path, port=8080, timeout=5):
    """Status and body, or None where nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return None
    finally:
        connection.close()


class Client:
    """One connection at a time, kept alive as long as the server wants."""

    def __init__(self, host, path=f"/classify?model={MODEL}&top_k=1"):
        self.host, self.path, self.connection = host, path, None

    def post(self, picture):
        """The outcome of one request: its status, `refused` where no connection could be made,
        or what else went wrong; and the seconds after which the server wants to be asked again.
        """
        try:
            if self.connection is None:
                fresh = http.client.HTTPConnection(self.host, 8080, timeout=40)
                fresh.connect()
                self.connection = fresh
        except ConnectionRefusedError:
            return "refused", 0
        except OSError as error:
            return f"no connection: {error}", 0
        try:
            try:
                self.connection.request("POST", self.path, picture)
            except BrokenPipeError:
                pass  # Refused before all was sent: the answer says why.
            answer = self.connection.getresponse()
            body = answer.read()
            if answer.will_close:
                self.close()
            if answer.status == 200:
                json.loads(body)["predictions"][0]["label"]
                return 200, 0
            return code(answer.status, body), float(answer.headers.get("retry-after", 0))
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return f"lost: {error!r}", 0

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def code(status, body):
    """`503 shutting-down`, or the bare status where the body is none of ours."""
    try:
        return f"{status} {json.loads(body)['code']}"
    except (ValueError, KeyError, TypeError):
        return str(status)


class Load:
    """Threads that run `work(index)` again and again until stopped; it returns an outcome, or
    None to end."""

    def __init__(self, clients, work):
        self.lock, self.outcomes, self.ended = threading.Lock(), [], threading.Event()
        self.threads = [
            threading.Thread(target=self._run, args=(work, index), daemon=True)
            for index in range(clients)
        ]
        for thread in self.threads:
            thread.start()

    def _run(self, work, index):
        while not self.ended.is_set():
            begun = time.monotonic()
            outcome = work(index)
            if outcome is None:
                return
            with self.lock:
                self.outcomes.append((begun, time.monotonic(), outcome))

    def stop(self, timeout=60):
        """Waits for what is under way; returns `(begun, ended, outcome)` of each request."""
        self.ended.set()
        return self.wait(timeout)

    def wait(self, timeout):
        deadline = time.monotonic() + timeout
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self.threads):
            raise TimeoutError("clients still wait for answers")
        return self.outcomes


def tally(outcomes):
    return Counter(outcome for _, _, outcome in outcomes)


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
