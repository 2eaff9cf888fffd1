"""Prometheus as the compose file starts it: does it find what the alerts and the dashboard ask?"""

import json
import urllib.parse

from engine import CHECKOUT, expect, wait_until
from load import get


def api(host, path):
    answer = get(host, f"/api/v1/{path}", port=9090)
    return json.loads(answer[1])["data"] if answer and answer[0] == 200 else None


def query(host, expression):
    data = api(host, "query?" + urllib.parse.urlencode({"query": expression}))
    return data["result"] if data else []


def check(host, replicas):
    found = f'count(up{{job="nin-serve"}} == 1) == {replicas}'
    wait_until(lambda: query(host, found), 30, "Prometheus reads all replicas")
    expect(query(host, 'up{job="proxy"} == 1'), "Prometheus reads the replicas and the proxy")
    wait_until(lambda: "unknown" not in str(api(host, "rules")), 30, "the alerts are evaluated")
    groups = api(host, "rules")["groups"]
    rules = [rule["health"] for group in groups for rule in group["rules"]]
    expect(rules and set(rules) == {"ok"}, f"{len(rules)} alerts work")
    dashboard = json.loads((CHECKOUT / "docker/grafana/dashboards/nin-serve.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    empty = [expression for expression in targets if not query(host, expression)]
    expect(not empty, f"the dashboard's {len(targets)} queries find data {empty or ''}")
