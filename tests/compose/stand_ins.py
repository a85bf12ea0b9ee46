"""Writes an override that lets every service of a project run from busybox: sleep instead of its program.

Reads `config --format json`, and writes the override as JSON, which is YAML. A service that another one waits
for until it has completed runs `true`.
"""

import json
import sys

project = json.load(sys.stdin)
services = project["services"]
jobs = {
    name
    for service in services.values()
    for name, need in (service.get("depends_on") or {}).items()
    if need["condition"] == "service_completed_successfully"
}
override = {}
for name, service in services.items():
    program = ["true"] if name in jobs else ["sleep", "100000"]
    override[name] = {"entrypoint": program, "command": [], "init": name not in jobs, "stop_grace_period": "0s"}
    if "healthcheck" in service:
        override[name]["healthcheck"] = {"test": ["CMD", "true"], "interval": "100ms", "timeout": "30s"}
json.dump({"services": override}, sys.stdout)
print(*sorted({service["image"] for service in services.values()}), sep="\n", file=sys.stderr)
