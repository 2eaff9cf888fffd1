"""Far more requests than the replicas may queue: refusals tell when to come again, and no replica
is taken for broken because it is busy.
"""

import time

from compose import started, up
from engine import expect
from load import DIGIT, Client, Load, tally

CLIENTS = 64


def check(image):
    with started(image, NIN_QUEUE_CAPACITY="1") as (_, proxy, containers):
        clients = [Client(proxy) for _ in range(CLIENTS)]
        load = Load(CLIENTS, lambda index: clients[index].post(DIGIT))
        time.sleep(8)
        stayed = up(proxy)
        count = tally(load.stop())
        print(f"  outcomes and Retry-After: {dict(count)}")
        refused = {outcome: wait for outcome, wait in count if outcome != 200}
        expect(set(refused) == {"503 overloaded"}, "some are refused for want of room")
        expect(refused["503 overloaded"] >= 1, "a refusal says when to come again")
        expect((200, 0) in count, "the others are answered")
        expect(stayed == len(containers), "the proxy goes on using every replica")
