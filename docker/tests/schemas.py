"""JSON schemas for the manifests, from packages that carry what the projects publish."""

import ast
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

# Only its classes' tables are read, so its hundred dependencies are not installed.
KSERVE = "kserve==0.21.0"
HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nin-serve"


def enter_environment():
    """Continues in an environment of its own that has the packages; made on first use."""
    home = CACHE / f"schemas-{sys.version_info.major}.{sys.version_info.minor}"
    if Path(sys.prefix) == home:
        return
    wanted = (HERE / "requirements.txt").read_text() + KSERVE
    stamp = home / "complete"
    if not stamp.exists() or stamp.read_text() != wanted:
        print("manifests: fetching schemas from the package index", flush=True)
        venv.create(home, with_pip=True, clear=True)
        pip = [home / "bin/python", "-m", "pip", "--quiet"]
        subprocess.run([*pip, "install", "-r", HERE / "requirements.txt"], check=True)
        subprocess.run([*pip, "download", "--no-deps", "-d", home / "wheels", KSERVE], check=True)
        stamp.write_text(wanted)
    os.execv(home / "bin/python", [home / "bin/python", *sys.argv])


def strict(schema):
    """Refuses fields that the schema does not name: a misspelt one is ignored by clusters."""
    if isinstance(schema, dict):
        # Patterns are in Go's syntax, which Python's differs from.
        if isinstance(schema.get("pattern"), str):
            del schema["pattern"]
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            strict(part)
    elif isinstance(schema, list):
        for part in schema:
            strict(part)
    return schema


def prometheus_operator(kind):
    from cloudcoil.models.prometheus_operator import v1

    return strict(getattr(v1, kind).model_json_schema(by_alias=True))


def kserve(api_version, kind):
    """Read off the generated classes, which list each field's name and type."""
    wheel = next((Path(sys.prefix) / "wheels").glob("kserve-*.whl"))
    definitions = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("kserve/models/") and name.endswith(".py"):
                definitions.update(classes(archive.read(name)))
    version = api_version.rpartition("/")[2].capitalize()
    return {"$ref": f"#/$defs/{version}{kind}", "$defs": definitions}


def classes(source):
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        tables = {
            statement.targets[0].id: ast.literal_eval(statement.value)
            for statement in node.body
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict)
        }
        if "openapi_types" in tables:
            types, names = tables["openapi_types"], tables["attribute_map"]
            fields = {names[field]: of_type(types[field]) for field in types}
            yield node.name, {"type": "object", "properties": fields, "additionalProperties": False}


def of_type(name):
    scalars = {"str": "string", "int": "integer", "bool": "boolean", "float": "number"}
    if name in scalars:
        return {"type": scalars[name]}
    if name.startswith("list["):
        return {"type": "array", "items": of_type(name[5:-1])}
    if name.startswith("dict("):
        return {"type": "object"}
    # Types of Kubernetes itself are checked with its own schemas.
    ours = name.startswith(("V1alpha", "V1beta", "Knative"))
    return {"$ref": f"#/$defs/{name}"} if ours else {}
