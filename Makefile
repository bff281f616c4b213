# make demo   sets everything up, then runs the whole workflow on synthesised Amharic speech
# make test   sets up if needed, checks style and types, runs the tests
# make test-full      the same, with every fault as often as docs/faults.md says
# make audit          known vulnerabilities of what constraints.txt pins, where they can be looked up
# make sbom           what is installed here, as CycloneDX: build/sbom.json
# make test-cluster   the workflow on a SLURM of its own; skips where slurm-wlm, munge or root are missing
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: setup demo test test-full test-cluster audit sbom lint format config clean-demo clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"error: Python 3.11 to 3.13 needed, $(PYTHON) is {v[0]}.{v[1]}; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar off -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY) demo/base/config.json demo/config.yaml
	snakemake --directory demo --configfile demo/config.yaml
	@echo
	@xtts show demo/results/runs/demo
	@echo "The demo's base has random weights: it proves the plumbing and does not speak a language."

demo/dataset/metadata.csv: | $(READY)
	xtts demo-data --out demo/dataset

demo/base/config.json: | $(READY) demo/dataset/metadata.csv
	xtts base create --size tiny --speech demo/dataset --out demo/base

demo/config.yaml: config/demo.yaml
	mkdir -p demo
	cp $< $@

test: $(READY) lint
	python -m pytest -n 2 --dist loadscope --ignore tests/cluster

test-full: $(READY) lint
	python -m pytest -n 2 --dist loadscope --ignore tests/cluster --full

test-cluster: $(READY)
	python -m pytest tests/cluster

audit: $(READY)
	python .ci/audit.py

sbom: $(READY)
	mkdir -p build
	.ci/sbom build/sbom.json

lint: $(READY)
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	mkdir -p build
	snakemake --lint --directory build --configfile config/config.yaml

format: $(READY)
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

config: $(READY)
	xtts config write --out config/config.yaml --schema workflow/schemas/config.schema.json

clean-demo:
	rm -rf demo

clean: clean-demo
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .snakemake
