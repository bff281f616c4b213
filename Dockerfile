# xtts-framework with everything it needs on a cluster: `docker build --tag REGISTRY/xtts-framework:0.1.0 .`
#
# CUDA is that of torch 2.11 (13.0). Its wheels bring every CUDA library, so `-base`, which has none, is enough; the
# driver comes from the node. There is no compiler either: `training.compile` needs one, and stays off.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04

# Ubuntu removes every version that a security update replaces, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# Clusters run images as any user, often one without a name: HOME is for all, and USER answers who that is.
RUN useradd --no-log-init --create-home --uid 10001 xtts \
    && chmod 1777 /home/xtts \
    && python3 -m venv /opt/xtts
ENV PATH=/opt/xtts/bin:$PATH \
    HOME=/home/xtts \
    USER=xtts \
    PYTHONUNBUFFERED=1

WORKDIR /source
COPY constraints.txt LICENSE pyproject.toml README.md ./
COPY profiles profiles
COPY snakemake_executor_plugin_kubernetes_shared snakemake_executor_plugin_kubernetes_shared
COPY workflow workflow
COPY xtts_framework xtts_framework
COPY xtts_plugins xtts_plugins
RUN pip install --no-cache-dir --only-binary :all: --no-binary connection-pool,docopt --constraint constraints.txt '.[kubernetes,s3]'

# The number, not the name: Kubernetes compares it with 0 when a pod says `runAsNonRoot`.
USER 10001:10001
WORKDIR /xtts
ENTRYPOINT ["xtts"]
CMD ["--help"]
