# `make` alone lists the commands. Needs only Python 3.11 and make: the first command that needs packages installs them into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
# Where bytecode may not be written, pytest rewrites its plugins at every start of every worker, which costs seconds each.
unexport PYTHONDONTWRITEBYTECODE
UPGRADE ?=
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help demo test faults bench lint fmt types docs lock kafka clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## Run the whole service with sample data on this machine; Ctrl+C ends it
	@exec $(BIN)/python manage.py demo $(ARGS)

test: $(READY) ## Run the tests on real servers; ARGS="-k words" chooses some
	$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

faults: $(READY) ## Run the fault tests at full size (long)
	FAULTS=full $(BIN)/pytest tests/acceptance --timeout 3600 $(ARGS)

bench: $(READY) ## Measure jobs, claims, broadcasts, renderings, mails and webhooks a second, and a failover
	$(BIN)/python -m benchmarks.pipeline $(ARGS)
	$(BIN)/python -m benchmarks.claims $(ARGS)
	$(BIN)/python -m benchmarks.broadcasts $(ARGS)
	$(BIN)/python -m benchmarks.urgent $(ARGS)
	$(BIN)/python -m benchmarks.pace $(ARGS)
	$(BIN)/python -m benchmarks.pages $(ARGS)
	$(BIN)/python -m benchmarks.rendering $(ARGS)
	$(BIN)/python -m benchmarks.email $(ARGS)
	$(BIN)/python -m benchmarks.webhook $(ARGS)
	$(BIN)/python -m benchmarks.failover $(ARGS)

lint: $(READY) ## Check the style of the code, the Dockerfile and compose.yaml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

fmt: $(READY) ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## Check the types
	$(BIN)/mypy

docs: $(READY) ## Check that the documentation is complete
	$(BIN)/pytest -k docs $(ARGS)

lock: $(READY) ## Pin requirements*.in again, with hashes; UPGRADE=1 takes newer versions
	$(COMPILE) requirements.in --output-file requirements.txt
	$(COMPILE) --constraint requirements.txt requirements-dev.in --output-file requirements-dev.txt

kafka: $(READY) ## Fetch Apache Kafka for the tests with KAFKA_BROKER=apache
	$(BIN)/python -c "from notifyproj.embedded import apache; apache.fetch()"

clean: ## Remove caches and what the demo stored; packages stay
	rm -rf .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis staticfiles test-results
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed, and $(PYTHON) is " + sys.version.split()[0] + ". Name another one: make PYTHON=/path/to/python3.11")'
	@echo "Making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv

# pip brings in only uv, by the hashes of the lock, and uv the rest.
$(READY): requirements-dev.txt | $(BIN)/python
	@echo "Installing the packages of requirements-dev.txt (1/2: uv)"
	@awk '/^uv==/ {found = 1} found {print} found && !/\\$$/ {exit}' requirements-dev.txt > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement .venv/uv.txt
	@echo "Installing the packages of requirements-dev.txt (2/2: everything else)"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --requirement requirements-dev.txt
	@touch $@
