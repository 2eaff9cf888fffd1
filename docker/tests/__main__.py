"""Builds the image and tests it, then three replicas of it behind the proxy.

`make docker-test`. NIN_SERVE_IMAGE names an image that is there already, instead of the build.
"""

import os

import failover
import image
import overload
from engine import NAME, build, docker, need_engine

need_engine()
given = os.environ.get("NIN_SERVE_IMAGE")
try:
    if not given:
        build()
    for test in (image, failover, overload):
        print(f"{test.__name__}: {test.__doc__.splitlines()[0]}", flush=True)
        test.check(given or NAME)
finally:
    # The engine's build cache stays, so the next build is short.
    if not given:
        docker("rmi", NAME, check=False)
print("docker: all checks passed")
