"""Renders the Kubernetes manifests and checks them: against published schemas, and in what no
schema knows."""

import re
import shutil
import subprocess
import sys

from schemas import enter_environment, kserve, prometheus_operator

enter_environment()

import jsonschema
import kubernetes_validate
import yaml
from engine import CHECKOUT, expect, fail

ROOT = CHECKOUT / "docker/kubernetes"
TARGETS = ["base", "overlays/production", "kserve"]
# The oldest and the newest version of Kubernetes that we promise.
VERSIONS = ["1.31", "1.37"]
SPARE_SECONDS = 5
OPTIONAL = """\
namespace: nin-serve
resources: [../../docker/kubernetes/base]
components: [../../docker/kubernetes/components/models-volume]
"""


def render(folder):
    for tool in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(tool[0]):
            done = subprocess.run([*tool, folder], capture_output=True, text=True)
            if done.returncode != 0:
                fail(f"{' '.join(tool)} {folder}: {done.stderr}")
            return list(yaml.safe_load_all(done.stdout))
    print("SKIPPED: neither kubectl nor kustomize is here, so the manifests were not rendered")
    sys.exit(0)


def validate(resource):
    kind, api = resource["kind"], resource["apiVersion"]
    if api.startswith("serving.kserve.io/"):
        jsonschema.validate(resource, kserve(api, kind))
        containers = resource["spec"].get("containers")
        if containers:
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": containers}}
            validate({**pod, "metadata": {"name": "any"}})
    elif api.startswith("monitoring.coreos.com/"):
        jsonschema.validate(resource, prometheus_operator(kind))
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)


def check_refusal(resource):
    """That a misspelt field is found: a check that can't fail checks nothing."""
    broken = {**resource, "spec": {**resource["spec"], "replicsa": 1}}
    try:
        validate(broken)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError):
        return
    fail(f"the schema of {resource['kind']} accepts a misspelt field")


def seconds(container, variable):
    values = {item["name"]: item.get("value") for item in container["env"]}
    return int(re.fullmatch(r"(\d+)s", values.get(variable, "30s"))[1])


def check_termination(name, pod, container):
    """The grace period must not end before the service's own deadlines."""
    needed = seconds(container, "NIN_SHUTDOWN_DELAY") + seconds(container, "NIN_DRAIN_TIMEOUT")
    grace = pod["terminationGracePeriodSeconds"]
    expect(grace >= needed + SPARE_SECONDS, f"{name}: {grace} s of grace for {needed} s of drain")


def check_container(name, container):
    routes = (CHECKOUT / "src/http/mod.rs").read_text() + (
        CHECKOUT / "src/http/health.rs"
    ).read_text()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        expect(f'"{path}"' in routes, f"{name}: {probe} asks {path}, which the service has")
    expect("live" in container["livenessProbe"]["httpGet"]["path"], f"{name}: liveness is liveness")
    security = container["securityContext"]
    locked = security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    expect(locked and security["capabilities"]["drop"] == ["ALL"], f"{name}: no privileges")
    # Validated by the service's own list of variables.
    settings = "".join(path.read_text() for path in (CHECKOUT / "src").rglob("*.rs"))
    for item in container["env"]:
        expect(f'"{item["name"]}"' in settings, f"{name}: {item['name']} is a setting")


def check_rules(resources):
    ours = yaml.safe_load((CHECKOUT / "docker/prometheus/rules.yml").read_text())
    theirs = next(one for one in resources if one["kind"] == "PrometheusRule")
    expect(theirs["spec"] == ours, "the PrometheusRule has the alerts of rules.yml")


def main():
    everything = {target: render(ROOT / target) for target in TARGETS}
    scratch = CHECKOUT / "target/manifests"
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "kustomization.yaml").write_text(OPTIONAL)
    everything["base with models-volume"] = render(scratch)
    for target, resources in everything.items():
        for resource in resources:
            validate(resource)
        for resource in resources:
            if "spec" in resource and resource["kind"] != "Namespace":
                check_refusal(resource)
        kinds = ", ".join(resource["kind"] for resource in resources)
        expect(True, f"{target} fits the schemas: {kinds}")
        for resource in resources:
            if resource["kind"] == "Deployment":
                pod = resource["spec"]["template"]["spec"]
                check_termination(target, pod, pod["containers"][0])
                check_container(target, pod["containers"][0])
            elif resource["kind"] == "ServingRuntime":
                check_container(target, resource["spec"]["containers"][0])
                service = next(one for one in resources if one["kind"] == "InferenceService")
                container = resource["spec"]["containers"][0]
                check_termination(target, service["spec"]["predictor"], container)
    check_rules(everything["overlays/production"])
    print("manifests: all checks passed")


if __name__ == "__main__":
    main()
