"""Compares the services in mydocker's `config` with those in docker-compose 1.29's.

The arguments are pairs of a project's directory and a file with mydocker's `config --format json`.
docker-compose is used as a library, because one process for each project would take minutes.
"""

import json
import logging
import os
import shlex
import sys

import yaml
from compose.config import config
from compose.config.environment import Environment
from compose.config.serialize import serialize_config

logging.disable(logging.CRITICAL)


def port(one):
    if not isinstance(one, dict):
        rest, _, protocol = one.partition("/")
        parts = rest.split(":")
        return (parts[-1], parts[-2] if len(parts) > 1 else "", protocol or "tcp")
    return (str(one["target"]), str(one.get("published") or "").split(":")[-1], one.get("protocol") or "tcp")


def mount(one):
    if not isinstance(one, dict):
        parts = one.split(":")
        if len(parts) == 1:
            return (None, parts[0], False)
        return (parts[0], parts[1], "ro" in parts[2:])
    return (one.get("source"), one["target"], bool(one.get("read_only")))


def words(value):
    value = value if isinstance(value, list) else shlex.split(value or "")
    return [word.replace("$$", "$") for word in value]


def pairs(value):
    if isinstance(value, list):
        value = dict(one.partition("=")[::2] for one in value)
    return {key: None if one is None else str(one).replace("$$", "$") for key, one in (value or {}).items()}


def facts(service):
    networks = service.get("networks") or (["default"] if not service.get("network_mode") else [])
    found = {
        "image": service["image"],
        "command": words(service.get("command")),
        "entrypoint": words(service.get("entrypoint")),
        "environment": pairs(service.get("environment")),
        "labels": pairs(service.get("labels")),
        "sysctls": pairs(service.get("sysctls")),
        "depends_on": sorted(service.get("depends_on") or []),
        "ports": sorted(port(one) for one in service.get("ports") or []),
        "volumes": sorted((mount(one) for one in service.get("volumes") or []), key=str),
        "networks": sorted(networks),
        "extra_hosts": sorted(str(one).replace("=", ":") for one in pairs_or_list(service.get("extra_hosts"))),
        "secrets": sorted(one["source"] if isinstance(one, dict) else one for one in service.get("secrets") or []),
        "cap_add": sorted(service.get("cap_add") or []),
        "cap_drop": sorted(service.get("cap_drop") or []),
        "links": sorted(service.get("links") or []),
        "devices": sorted(one.split(":")[0] for one in service.get("devices") or []),
    }
    for key in ("user", "hostname", "domainname", "working_dir", "restart", "network_mode", "pid", "stop_signal",
                "container_name", "init", "mac_address", "ipc"):
        found[key] = service.get(key)
    for key in ("read_only", "tty", "stdin_open", "privileged"):
        found[key] = bool(service.get(key))
    return found


def pairs_or_list(value):
    return [f"{key}:{one}" for key, one in value.items()] if isinstance(value, dict) else value or []


def compare(directory, ours):
    os.chdir(directory)
    environment = Environment.from_env_file(directory)
    # docker-compose sets this variable before it reads the file.
    environment.setdefault("COMPOSE_PROJECT_NAME", os.path.basename(directory))
    loaded = config.load(config.find(directory, None, environment))
    theirs = yaml.safe_load(serialize_config(loaded))["services"]
    ours = json.load(open(ours))["services"]
    # mydocker lists only services with an enabled profile, docker-compose lists all.
    theirs = {name: one for name, one in theirs.items() if not one.get("profiles")}
    assert sorted(theirs) == sorted(ours), f"{directory}: {sorted(theirs)}, ours {sorted(ours)}"
    for name in theirs:
        a, b = facts(theirs[name]), facts(ours[name])
        for key in a:
            assert a[key] == b[key], f"{directory}: {name}.{key}: theirs {a[key]!r}, ours {b[key]!r}"


for at in range(1, len(sys.argv), 2):
    compare(sys.argv[at], sys.argv[at + 1])
