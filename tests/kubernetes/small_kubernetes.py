"""A small Kubernetes: the part of the API that the executor asks for, over HTTP; a pod is a process on this machine.

It refuses what a cluster would refuse of the requests that reach it: what its schema does not know, two volumes or
mounts of one name, claims that nobody made, requests for GPUs without a limit, what the pod security level `restricted`
forbids, logs of a run before the first.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import yaml

SCHEMA = "1.32"


class Refused(Exception):
    """What the API answers in place of what was asked.

    Args:
        status: HTTP status.
        message: as a cluster words it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Pod:
    """A job, its only pod, and the process that stands for its container.

    Args:
        job: as it was posted.
        folder: what the pod has for itself: its empty volume, its output.
        secrets: of the namespace, by name.
        environment: what its process got.
    """

    job: dict[str, Any]
    folder: Path
    secrets: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    deleted: bool = False

    @property
    def name(self) -> str:
        return str(self.job["metadata"]["name"])

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.job["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        [container] = self.spec["containers"]
        return dict(container)

    @property
    def command(self) -> str:
        """The shell line that the container runs."""
        return str(self.container["args"][1])

    @property
    def rule(self) -> str:
        match = re.search(r"--allowed-rules (\w+)", self.command)
        assert match is not None, self.command
        return match[1]

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 and the signal's number where one ended it."""
        assert self.process is not None
        status = self.process.poll()
        return status if status is None or status >= 0 else 128 - status

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(encoding="utf-8")

    def start(self) -> None:
        """Claims are folders of this machine that pods see where they are; what else a pod has is its own.

        Nothing of this process's environment reaches it but where programs lie.
        """
        (self.folder / "workdir").mkdir(parents=True)
        folder = self.folder / "workdir" if self.container["workingDir"] == "/workdir" else self.container["workingDir"]
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        self.environment = {"PATH": path, "HOME": str(self.folder), "OMP_NUM_THREADS": "1"}
        for variable in self.container.get("env", []):
            source = variable["valueFrom"]["secretKeyRef"]
            self.environment[variable["name"]] = b64decode(self.secrets[source["name"]]["data"][source["key"]]).decode()
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [*self.container["command"], *self.container["args"]],
                cwd=folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        """As when its node is gone."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Kubernetes:
    """A cluster.

    Args:
        folder: everything of it lies here.
        namespace: the only one that the user may use.
        claims: names of the volume claims in it.
        pods: all so far, deleted ones too, in the order in which they were asked for.
        asked: (verb, resource) of every request, as a Role names them.
        on_start: called with each pod once its process runs.
    """

    folder: Path
    namespace: str
    claims: tuple[str, ...]
    pods: list[Pod] = field(default_factory=list)
    secrets: dict[str, Any] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)
    on_start: Callable[[Pod], None] = lambda pod: None
    port: int = 0

    @property
    def kubeconfig(self) -> Path:
        """What an administrator gives a user."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "small", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "user", "user": {}}],
            "contexts": [{"name": "small", "context": {"cluster": "small", "user": "user"}}],
            "current-context": "small",
        }
        path = self.folder / "kubeconfig"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def pods_of(self, rule: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.rule == rule]

    def answer(self, method: str, url: str, body: dict[str, Any]) -> dict[str, Any] | str:
        """What the API says.

        Raises:
            Refused: it says no.
        """
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        for (verb, pattern), (right, handle) in ROUTES.items():
            match = re.fullmatch(pattern, parts.path)
            if verb == method and match:
                self.asked.add(right)
                if match["namespace"] != self.namespace:
                    raise Refused(403, f"forbidden in the namespace {match['namespace']}")
                return handle(self, match.groupdict().get("name", ""), query, body)
        raise Refused(404, f"the server could not find the requested resource: {method} {url}")

    def create_job(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": "batch/v1", "kind": "Job"} | body
        refuse(body, self.claims)
        pod = Pod(body, self.folder / body["metadata"]["name"], self.secrets)
        if any(other.name == pod.name for other in self.pods if not other.deleted):
            raise Refused(409, f'jobs.batch "{pod.name}" already exists')
        pod.start()
        self.pods.append(pod)
        self.on_start(pod)
        return body

    def job_status(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        pod = self._find(name)
        code = pod.exit_code
        status = {"active": int(code is None), "succeeded": int(code == 0), "failed": int(code not in (None, 0))}
        return {**pod.job, "status": status}

    def delete_job(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        pod = self._find(name)
        pod.kill()
        pod.deleted = True
        return {"kind": "Status", "status": "Success"}

    def list_pods(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        job = query["labelSelector"].removeprefix("job-name=")
        pods = [pod for pod in self.pods if pod.name == job and not pod.deleted]
        return {"apiVersion": "v1", "kind": "PodList", "items": [_as_object(pod) for pod in pods]}

    def delete_pod(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        self._find(name).kill()
        return {"kind": "Status", "status": "Success"}

    def read_log(self, name: str, query: dict[str, str], body: dict[str, Any]) -> str:
        if query.get("previous", "false").lower() == "true":
            raise Refused(400, f'previous terminated container "snakemake" in pod "{name}" not found')
        return self._find(name).output

    def create_secret(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        self.secrets[body["metadata"]["name"]] = body
        return body

    def delete_secret(self, name: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        del self.secrets[name]
        return {"kind": "Status", "status": "Success"}

    def stop(self) -> None:
        for pod in self.pods:
            pod.kill()

    def _find(self, name: str) -> Pod:
        for pod in self.pods:
            if pod.name == name and not pod.deleted:
                return pod
        raise Refused(404, f'"{name}" not found')


Handler = Callable[[Kubernetes, str, dict[str, str], dict[str, Any]], "dict[str, Any] | str"]
JOBS = r"/apis/batch/v1/namespaces/(?P<namespace>[^/]+)/jobs"
CORE = r"/api/v1/namespaces/(?P<namespace>[^/]+)"
NAMED = r"/(?P<name>[^/]+)"
ROUTES: dict[tuple[str, str], tuple[tuple[str, str], Handler]] = {
    ("POST", JOBS): (("create", "jobs"), Kubernetes.create_job),
    ("GET", f"{JOBS}{NAMED}/status"): (("get", "jobs/status"), Kubernetes.job_status),
    ("DELETE", f"{JOBS}{NAMED}"): (("delete", "jobs"), Kubernetes.delete_job),
    ("GET", f"{CORE}/pods"): (("list", "pods"), Kubernetes.list_pods),
    ("DELETE", f"{CORE}/pods{NAMED}"): (("delete", "pods"), Kubernetes.delete_pod),
    ("GET", f"{CORE}/pods{NAMED}/log"): (("get", "pods/log"), Kubernetes.read_log),
    ("POST", f"{CORE}/secrets"): (("create", "secrets"), Kubernetes.create_secret),
    ("DELETE", f"{CORE}/secrets{NAMED}"): (("delete", "secrets"), Kubernetes.delete_secret),
}
"""Method and path -> the right that it needs, and what answers."""


def refuse(job: dict[str, Any], claims: tuple[str, ...]) -> None:
    """Raises:
    Refused: a cluster would not take this job.
    """
    try:
        kubernetes_validate.validate(job, SCHEMA, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise Refused(422, str(error)) from error
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    volumes, mounts = pod["volumes"], container["volumeMounts"]
    resources = container["resources"]
    claimed = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    extended = {name: amount for name, amount in resources["requests"].items() if "/" in name}
    limits = {name: amount for name, amount in resources.get("limits", {}).items() if "/" in name}
    security = container.get("securityContext", {})
    reasons = {
        "spec.containers[0].image: Required value": not container.get("image"),
        "spec.volumes: Duplicate value": len({volume["name"] for volume in volumes}) != len(volumes),
        "mountPath: must be unique": len({mount["mountPath"] for mount in mounts}) != len(mounts),
        "volumeMounts: Not found": not {mount["name"] for mount in mounts} <= {volume["name"] for volume in volumes},
        "persistentvolumeclaim not found": not set(claimed) <= set(claims),
        "Limit must be set for non overcommitable resources": extended != limits,
        "violates PodSecurity restricted": not (
            pod.get("securityContext", {}).get("runAsNonRoot") is True
            and pod["securityContext"].get("seccompProfile") == {"type": "RuntimeDefault"}
            and security.get("allowPrivilegeEscalation") is False
            and security.get("capabilities", {}).get("drop") == ["ALL"]
            and not security.get("privileged")
            and pod["securityContext"].get("runAsUser") != 0
        ),
    }
    for reason, applies in reasons.items():
        if applies:
            raise Refused(422, f"Job is invalid: {reason}")


def _as_object(pod: Pod) -> dict[str, Any]:
    code = pod.exit_code
    state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
    name = pod.container["name"]
    status = {"name": name, "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    return {"metadata": {"name": pod.name}, "spec": pod.spec, "status": {"containerStatuses": [status]}}


@contextmanager
def running_kubernetes(namespace: str, *claims: str) -> Iterator[Kubernetes]:
    """A cluster until the end of the block, in a temporary folder."""
    with TemporaryDirectory(prefix="kubernetes-") as name:
        cluster = Kubernetes(Path(name), namespace, claims)

        class Requests(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    status, said = 200, cluster.answer(self.command, self.path, json.loads(body or b"{}"))
                except Refused as no:
                    status, said = no.status, {"kind": "Status", "status": "Failure", "message": str(no)}
                content = (said if isinstance(said, str) else json.dumps(said)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = handle_request

            def log_message(self, *_: object) -> None:
                """Requests are recorded as pods."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        server.daemon_threads = True
        cluster.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield cluster
        finally:
            server.shutdown()
            server.server_close()
            cluster.stop()
