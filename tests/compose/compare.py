"""Compares two outputs of `config`, docker-compose's and ours: what each service is made of."""

import sys

import yaml

theirs, ours = (yaml.safe_load(open(path))["services"] for path in sys.argv[1:3])


def port(one):
    return (str(one["target"]), str(one.get("published", "")).split(":")[-1], one.get("protocol", "tcp"))


def short_port(text):
    rest, _, protocol = text.partition("/")
    parts = rest.split(":")
    return (parts[-1], parts[-2] if len(parts) > 1 else "", protocol or "tcp")


def volume(text):
    parts = text.split(":")
    return (parts[0], parts[1], parts[2:] == ["ro"])


def facts(service):
    words = lambda text: text if isinstance(text, list) else __import__("shlex").split(text or "")
    dicts = lambda node: {key: str(value) for key, value in (node or {}).items()}
    found = {
        "image": service["image"],
        "command": [word.replace("$$", "$") for word in words(service.get("command"))],
        "entrypoint": words(service.get("entrypoint")),
        "environment": {k: v.replace("$$", "$") for k, v in dicts(service.get("environment")).items()},
        "labels": dicts(service.get("labels")),
        "depends_on": sorted(service.get("depends_on") or []),
        "ports": sorted(port(p) if isinstance(p, dict) else short_port(p) for p in service.get("ports", [])),
        "volumes": sorted(
            (v.get("source"), v["target"], v.get("read_only", False)) if isinstance(v, dict) else
            (volume(v)[0], volume(v)[1], volume(v)[2]) for v in service.get("volumes", [])),
        "networks": sorted(service.get("networks") or ["default"]),
    }
    for key in ("user", "hostname", "working_dir", "restart", "read_only", "stop_grace_period"):
        found[key] = service.get(key)
    return found


assert sorted(theirs) == sorted(ours), (sorted(theirs), sorted(ours))
for name in theirs:
    a, b = facts(theirs[name]), facts(ours[name])
    for key in a:
        assert a[key] == b[key], f"{name}.{key}: theirs {a[key]!r}, ours {b[key]!r}"
