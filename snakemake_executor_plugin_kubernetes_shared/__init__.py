"""Snakemake's Kubernetes executor, for pods that share a volume: what `profiles/kubernetes` runs with.

`snakemake-executor-plugin-kubernetes` declares that pods share nothing, and no option of Snakemake can say otherwise:
all files would go through object storage, and what a stage keeps in undeclared folders (checkpoints, features, the
sides of the split) would end with its pod. Here the working folder lies on a volume that every pod mounts at the same
path, as on any cluster. Jobs are the other plugin's, amended before they are submitted; docs/kubernetes.md says how.

Snakemake imports every executor that it finds, so without that plugin this module still is one: one that says so.
"""

from __future__ import annotations

import os
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import AbstractExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
)

try:
    import snakemake_executor_plugin_kubernetes as upstream
    from kubernetes import client
except ImportError:

    class ExecutorSettings(ExecutorSettingsBase):
        """None: there is nothing to set."""

    class Executor(AbstractExecutor):
        """Takes the place of what is not installed."""

        def __new__(cls, *_: Any) -> Any:
            raise WorkflowError("the Kubernetes executor is not installed: pip install 'xtts-framework[kubernetes]'")

else:

    class ExecutorSettings(upstream.ExecutorSettings):  # type: ignore[no-redef]
        """Those of the other plugin."""

    class Jobs(client.BatchV1Api):
        """Submits jobs that work in one folder, with limits, and with no more rights than they need.

        Args:
            folder: where Snakemake was started.
        """

        def __init__(self, api_client: Any, folder: str) -> None:
            super().__init__(api_client)
            self.folder = folder

        def create_namespaced_job(self, namespace: str, body: Any, **options: Any) -> Any:
            pod = body.spec.template.spec
            [container] = pod.containers
            container.working_dir = self.folder
            _limit_gpus(container.resources)
            # Containers get 64 MB of shared memory, too little for processes that train together.
            memory = client.V1EmptyDirVolumeSource(medium="Memory")
            pod.volumes.append(client.V1Volume(name="shared-memory", empty_dir=memory))
            container.volume_mounts.append(client.V1VolumeMount(name="shared-memory", mount_path="/dev/shm"))
            # Files belong to whoever started Snakemake, as everywhere. Root leaves it to the image, which is not root.
            user, group = os.getuid() or None, os.getgid() or None
            pod.security_context = client.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=user,
                run_as_group=group,
                fs_group=group,
                fs_group_change_policy="OnRootMismatch" if group else None,
                seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
            )
            container.security_context = client.V1SecurityContext(
                allow_privilege_escalation=False, capabilities=client.V1Capabilities(drop=["ALL"])
            )
            return super().create_namespaced_job(namespace, body, **options)

    class Pods(client.CoreV1Api):
        """Reads the log of a container that has run once. The plugin asks for the one before: the server refuses, and
        the plugin ends the whole workflow because one job has failed."""

        def read_namespaced_pod_log(self, name: str, namespace: str, **options: Any) -> Any:
            return super().read_namespaced_pod_log(name, namespace, **options | {"previous": False})

    class Executor(upstream.Executor):  # type: ignore[no-redef]
        """Submits jobs that work in the folder where Snakemake was started.

        The plugin makes its two clients, and makes them again when a token has run out: both are replaced on the way.
        """

        def __post_init__(self) -> None:
            folder = self.workflow.workdir_init
            mounts = [str(volume.path) for volume in self.workflow.executor_settings.persistent_volumes]
            if not any(os.path.commonpath([folder, mount]) == mount for mount in mounts):
                raise WorkflowError(
                    f"{folder} is on no volume that pods mount ({', '.join(mounts) or 'none is named'}). Start "
                    "Snakemake on the volume, and name it in the profile: "
                    "`kubernetes-shared-persistent-volumes: CLAIM:PATH`."
                )
            super().__post_init__()

        @property
        def batchapi(self) -> Jobs:
            return self._jobs

        @batchapi.setter
        def batchapi(self, plain: Any) -> None:
            self._jobs = Jobs(plain.api_client, self.workflow.workdir_init)

        @property
        def kubeapi(self) -> Pods:
            return self._pods

        @kubeapi.setter
        def kubeapi(self, plain: Any) -> None:
            self._pods = Pods(plain.api_client)

    def _limit_gpus(resources: Any) -> None:
        """Kubernetes refuses a request for GPUs without an equal limit. The plugin sets limits with `scale: 0` only,
        and then on memory as well, which kills what needs a little more for a moment."""
        for name in ("nvidia.com/gpu", "amd.com/gpu"):
            count = resources.requests.pop(name, "0")
            if count != "0":
                resources.requests[name] = count
                resources.limits = {**(resources.limits or {}), name: count}
