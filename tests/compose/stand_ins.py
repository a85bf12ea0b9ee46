"""Writes an override with which every service of a project runs `sleep` from busybox.

Reads `config --format json`, and writes the override as JSON, which is also YAML. A service with a
dependent that waits for its completion runs `true` instead.
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
