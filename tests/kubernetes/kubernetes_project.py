"""What the tests of this folder share: the profile that is shipped, and a small project."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = Path(sys.executable).parent
PROFILE = Path("profiles", "kubernetes", "profile.v9+.yaml")
SHIPPED = (ROOT / PROFILE).read_text(encoding="utf-8")
SETTINGS = yaml.safe_load(SHIPPED)
VOLUME = SETTINGS["kubernetes-shared-persistent-volumes"]
SNAKEMAKE = ("snakemake", "--workflow-profile", "profiles/kubernetes", "--seconds-between-status-checks", "1")
PLANTED = {"SNAKEMAKE_STORAGE_S3_SECRET_KEY": "planted-secret-key"}
CONFIG = """
datasets:
  amharic: {path: my-dataset, language: am, validation: {eval_min: 4}}
runs:
  amharic:
    datasets: [amharic]
    tokenizer: {new_tokens: 500}
    training: {learning_rate: 1.0e-3, milestones: [100], grad_accum: 1, max_steps: 40, eval_every_steps: 20,
               save_every_steps: 10}
    freezing: {policy: none}
"""
