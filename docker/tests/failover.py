"""Three replicas behind the proxy; one is killed and one drained under load, and both come back.

No client may see an error after retries: the proxy's, and the client's own, which wait as long as
`Retry-After` says.
"""

import itertools
import time

import monitoring
from compose import need_image, replicas, started, up
from engine import address, docker, expect, inspect, wait_until
from load import DIGIT, Client, Load, ppm, quantile, tally

CLIENTS, PAUSE, ATTEMPTS = 8, 0.05, 5
# The proxy can repeat the first two. The third is larger than its buffer.
PICTURES = [DIGIT] * 16 + [ppm(256, 256)] * 3 + [ppm(800, 400)]


def patient(clients, first):
    """Work for `Load`: repeats what failed, and counts in `first` how the first tries went."""
    turns = [index * 7 for index in range(len(clients))]

    def classify(index):
        time.sleep(PAUSE)
        turns[index] += 1
        picture = PICTURES[turns[index] % len(PICTURES)]
        for attempt in range(ATTEMPTS):
            outcome, wait = clients[index].post(picture)
            if attempt == 0:
                first.append(outcome)
            if outcome == 200 or str(outcome).startswith("4"):
                break
            time.sleep(wait or 0.1 * 2**attempt)
        return outcome

    return classify


def report(phases, outcomes):
    print("  phase                          requests  errors  median      99 %   longest")
    for (name, begun), (_, ended) in itertools.pairwise(phases):
        took = [end - begin for begin, end, _ in outcomes if begun <= begin < ended]
        bad = sum(out != 200 for begin, _, out in outcomes if begun <= begin < ended)
        values = (1000 * quantile(took, share) for share in (0.5, 0.99, 1))
        times = "".join(f"{value:7.0f} ms" for value in values)
        print(f"  {name:30} {len(took):8} {bad:7} {times}")


def failover(proxy, containers):
    """Kills, drains and restores under load; returns the phases and the outcomes."""
    first, phases = [], []
    clients = [Client(proxy) for _ in range(CLIENTS)]
    load = Load(CLIENTS, patient(clients, first))

    def phase(name):
        phases.append((name, time.monotonic()))
        print(f"  {name} …", flush=True)

    killed, drained, _ = containers
    phase("three replicas")
    time.sleep(8)
    phase("one killed (SIGKILL)")
    docker("kill", "--signal=KILL", killed)
    time.sleep(8)
    phase("another drained (SIGTERM)")
    docker("kill", "--signal=TERM", drained)
    docker("wait", drained, timeout=60)
    time.sleep(5)
    expect(inspect(drained)["State"]["ExitCode"] == 0, "the drained replica ended with code 0")
    expect(up(proxy) == 1, "the proxy uses the one that is left")
    phase("both restarted")
    docker("start", killed, drained)
    wait_until(lambda: up(proxy) == len(containers), 60, "all replicas are back at the proxy")
    phase("three replicas again")
    served = {row["svname"]: int(row["hrsp_2xx"]) for row in replicas(proxy)}
    time.sleep(8)
    again = {
        row["svname"]: int(row["hrsp_2xx"]) for row in replicas(proxy) if row["status"] == "UP"
    }
    outcomes = load.stop()
    phase("end")
    active = sum(count > served[name] for name, count in again.items())
    expect(active == len(containers), "all three answer again")
    return phases, outcomes, first


def check(image):
    need_image("PROMETHEUS_IMAGE", "prometheus")
    with started(image, "prometheus") as (compose, proxy, containers):
        phases, outcomes, first = failover(proxy, containers)
        report(phases, outcomes)
        repeated = sum(int(row["wretr"]) + int(row["wredis"]) for row in replicas(proxy))
        failed = tally((0, 0, outcome) for outcome in first if outcome != 200)
        print(f"  {len(outcomes)} requests; the proxy repeated {repeated}")
        print(f"  first tries that failed at the client: {dict(failed) or 'none'}")
        count = tally(outcomes)
        expect(set(count) == {200}, f"no client saw an error after retries: {dict(count)}")
        monitoring.check(address(compose.containers("prometheus")[0]), len(containers))
