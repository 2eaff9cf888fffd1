"""The clients, one function for each kind: each sends until it is told to stop."""

import http.client
import json
import random
import socket
import threading
import time

from pictures import Pictures, as_json
from tally import Tally

# Of a busy machine.
PATIENCE = 60
# Intended under load: no room, and a deadline that passed.
RELIEF = (503, 504)
ANSWER = b"HTTP/1.1 "


def good(address, pictures: Pictures, tally: Tally, stop: threading.Event) -> None:
    """Keeps its connection, asks for one picture or for many."""
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    while not stop.is_set():
        chosen = [random.randrange(len(pictures.good)) for _ in range(random.choice((1, 1, 1, 8)))]
        bodies = [pictures.good[index][0] for index in chosen]
        since = time.monotonic()
        if len(bodies) == 1:
            connection.request("POST", "/classify", bodies[0])
        else:
            # One that is none: its neighbours do not mind.
            bodies.insert(4, b"no picture")
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/classify/batch", as_json(bodies), headers)
        response = connection.getresponse()
        body = response.read()
        tally.answered("good", response.status)
        if response.status == 200:
            tally.took(since)
            check(pictures, chosen, body, tally)
        else:
            expect(tally, "good", response, RELIEF)


def check(pictures: Pictures, chosen: list[int], body: bytes, tally: Tally) -> None:
    if len(chosen) == 1:
        right = pictures.is_right(chosen[0], body)
    else:
        results = json.loads(body)["results"]
        none = results.pop(4)
        if none["status"] != 415:
            tally.wrong_answer(f"no picture: {none}")
        relieved = [result for result in results if result["status"] in RELIEF]
        for result in relieved:
            tally.answered("good", f"{result['status']} in a batch")
        right = len(results) == len(chosen) and all(
            result in relieved or pictures.is_best(index, result["predictions"][0])
            for index, result in zip(chosen, results)
        )
    if not right:
        tally.wrong_answer(f"{chosen}: {body[:300]!r}")


def expect(tally: Tally, kind: str, response, statuses) -> None:
    if response.status not in statuses:
        tally.surprise(f"{kind}: {response.status}, not {statuses}")
    elif response.status == 503 and not response.headers.get("Retry-After"):
        tally.surprise(f"{kind}: 503 without Retry-After")


def bad(address, pictures: Pictures, tally: Tally, stop: threading.Event) -> None:
    """Sends what is to be refused."""
    cases = pictures.bad()
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    while not stop.is_set():
        path, kind, body, status = random.choice(cases)
        connection.request("POST", path, body, {"Content-Type": kind})
        response = connection.getresponse()
        response.read()
        tally.answered("bad", response.status)
        expect(tally, f"bad {path} {body[:20]!r}", response, (status, *RELIEF))
        stop.wait(0.01)


def huge(address, pictures: Pictures, tally: Tally, stop: threading.Event) -> None:
    """Large pictures, bodies beyond the limit, large forms, deadlines that are too short."""
    body = pictures.huge
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    form = b"".join(form + body + b"\r\n" for _ in range(3)) + b"--x--\r\n"
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    cases = [
        ("/classify", body, {}, (200,)),
        ("/classify/batch", form, multipart, (200,)),
        ("/classify", bytes(30 << 20), {}, (413,)),
        # 408 where the body has not come whole by then.
        ("/classify?timeout_ms=1", body, {}, (408, 504)),
        ("/classify/batch", b'{"images": [' + b'"",' * (4 << 20), {}, (400,)),
    ]
    while not stop.is_set():
        path, body, headers, statuses = random.choice(cases)
        connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            response.read()
        except (BrokenPipeError, ConnectionResetError):
            # Who goes on sending for seconds after the 413 is cut off.
            tally.answered("huge", "cut")
            if statuses != (413,):
                tally.surprise(f"huge {path}: cut")
            continue
        finally:
            connection.close()
        tally.answered("huge", response.status)
        expect(tally, f"huge {path}", response, (*statuses, *RELIEF))
        stop.wait(0.2)


def cancelled(address, pictures: Pictures, tally: Tally, stop: threading.Event) -> None:
    """Hangs up: in the head, in the body, before the answer, in mid-answer."""
    while not stop.is_set():
        body = random.choice((pictures.good[0][0], pictures.huge))
        request = head(len(body)) + body
        part = random.choice((20, len(request) // 2, len(request)))
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            connection.sendall(request[:part])
            if random.random() < 0.3:
                # A reset instead of an orderly end.
                linger = b"\1\0\0\0\0\0\0\0"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        sent = {20: "part of the head", len(request): "all"}.get(part, "half")
        tally.answered("cancelled", f"after {sent}")
        stop.wait(0.05)


def slow(address, pictures: Pictures, tally: Tally, stop: threading.Event) -> None:
    """Dribbles: a head that never ends, a body that never ends, a picture that does in time."""
    body = pictures.good[0][0]
    while not stop.is_set():
        kind = random.choice(("head", "body", "whole"))
        request = head(len(body)) + body
        if kind == "head":
            request = b"GET / HTTP/1.1\r\nX-Slow: " + b"z" * 100
        # In time: the whole within a second.
        piece, pause = (max(len(request) // 10, 1), 0.1) if kind == "whole" else (5, 0.2)
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            if kind == "body":
                connection.sendall(head(len(body)))
                request = body[:-10]
            answer = dribble(connection, request, piece, pause)
        status = answer.split(b" ")[1].decode() if answer.startswith(ANSWER) else "cut"
        tally.answered("slow", f"{kind} {status}")
        expected = {"head": ("cut",), "body": ("408", "503"), "whole": ("200", "503")}[kind]
        if status not in expected:
            tally.surprise(f"slow {kind}: {status}, not {expected}")


def dribble(connection: socket.socket, request: bytes, piece: int, pause: float) -> bytes:
    try:
        for start in range(0, len(request), piece):
            connection.sendall(request[start : start + piece])
            time.sleep(pause)
            if readable(connection):
                break
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
        return answer
    except (ConnectionResetError, BrokenPipeError):
        return b""


def readable(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
        return True
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(PATIENCE)


def head(length: int) -> bytes:
    lines = ("POST /classify HTTP/1.1", "Host: soak", "Connection: close")
    return "\r\n".join((*lines, f"Content-Length: {length}", "", "")).encode()


# How many of each.
CLIENTS = {good: 6, bad: 2, huge: 2, cancelled: 3, slow: 10}
