"""SIGTERM under load."""

import http.client
import threading
import time

from pictures import Pictures
from server import PATIENCE, Server

CLIENTS = 16


def terminate_under_load(server: Server, pictures: Pictures) -> str:
    """Ends the server while clients ask it; what was lost, and how it ended otherwise."""
    if not server.running():
        return f"the process has ended: {server.process.returncode}"
    answered: list[int] = []
    lost: list[str] = []
    clients = [
        threading.Thread(target=ask, args=(server, pictures, keep, answered, lost))
        for keep in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    time.sleep(2)
    before = len(answered)
    server.terminate()
    since = time.monotonic()
    for client in clients:
        client.join(PATIENCE)
    code = server.exit_code()
    print(
        f"SIGTERM: {len(answered) - before} more requests of {CLIENTS} clients answered after it, "
        f"{len(lost)} lost, exit code {code} after {time.monotonic() - since:.1f} s"
    )
    if any(client.is_alive() for client in clients):
        return "a client got no answer"
    if before == 0:
        return "there was no load"
    return "; ".join(lost[:5]) or ("" if code == 0 else f"exit code {code}")


def ask(server: Server, pictures: Pictures, number: int, answered: list, lost: list) -> None:
    """Asks until the port is closed. Every other client keeps its connection."""
    body = pictures.good[number % len(pictures.good)][0]
    connection = None
    while True:
        try:
            if connection is None:
                connection = http.client.HTTPConnection(*server.address, timeout=PATIENCE)
                connection.connect()
        except OSError:
            # The port is closed: no request was accepted.
            return
        try:
            connection.request("POST", "/classify", body)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            lost.append(f"client {number}: {error!r}")
            return
        answered.append(response.status)
        if response.status != 200:
            lost.append(f"client {number}: {response.status}")
        elif not pictures.is_right(number % len(pictures.good), content):
            lost.append(f"client {number}: a wrong answer")
        if response.will_close or number % 2 == 0:
            connection.close()
            connection = None
