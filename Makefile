# Everything a fresh machine needs: Python 3.11 or later and make.
PYTHON ?= python3
VENV ?= .venv
# PyTorch's wheel index, for example that of its CPU builds; empty takes pip's own.
TORCH_INDEX ?=
ARGS ?=
# Tests at once; those of one file run one after the other. More than cores, because the tests
# of real servers mostly wait.
WORKERS ?= 3

# What builds an image from a Dockerfile: `docker build`, `podman build`, `buildah build --layers`.
IMAGE_BUILDER ?= docker build
# Put before the images' names: registry and folder, with the slash.
IMAGE_PREFIX ?=
IMAGE_TAG ?= $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' modelyard/__init__.py)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TORCH := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),) torch

# Without byte code every start of ours takes two to three times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-slow test-cluster test-cluster-all lint images bench docs clean

run: $(VENV)/.flow
	$(BIN)/modelyard run examples/digits.yaml $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# Whole installations, broken in every way: longer than all the rest.
test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
	  -m "slow and not cluster" $(ARGS)

# On the cluster of KUBECONFIG; docs/cluster.md says what else the tests take from the environment.
test-cluster: $(VENV)/.dev
	$(BIN)/python -m pytest -m "cluster and not slow_cluster" $(ARGS)

test-cluster-all: $(VENV)/.dev
	$(BIN)/python -m pytest -m cluster $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

images:
	@for image in trial flow serve; do \
	  echo "$(IMAGE_PREFIX)modelyard-$$image:$(IMAGE_TAG)"; \
	  $(IMAGE_BUILDER) --build-arg TORCH_INDEX=$(TORCH_INDEX) -f images/$$image/Dockerfile \
	    -t $(IMAGE_PREFIX)modelyard-$$image:$(IMAGE_TAG) . || exit; \
	done

bench: $(VENV)/.bench
	$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.dev
	$(BIN)/python -m modelyard.experiment.reference > docs/experiment.md

clean:
	-$(BIN)/modelyard down
	rm -rf $(VENV) .modelyard

$(BIN)/python:
	@echo "Setting up $(VENV). This brings about 2 GB (PyTorch is the largest part; its CUDA build"
	@echo "brings 5 GB more: TORCH_INDEX chooses another) and takes 2 to 6 minutes, once."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.flow: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing PyTorch …"
	@$(PIP) $(TORCH)
	@echo "Installing Modelyard with Prefect, Optuna and MLflow …"
	@$(PIP) -e ".[flow]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.flow
	@echo "Installing what the tests need …"
	@$(PIP) -e ".[dev]"
	@touch $@

$(VENV)/.bench: pyproject.toml constraints.txt $(VENV)/.dev
	@echo "Installing the peers of the benchmarks …"
	@$(PIP) -e ".[bench]" || echo "Not all of them can be: their figures will be missing."
	@touch $@
