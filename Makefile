# The project's commands. What they need is installed into .venv and .sam by whichever comes first.
.DEFAULT_GOAL := help
.PHONY: help run test check e2e build deploy destroy sam-local test-sam-local load soak bench mutants openapi format clean

# Tools of this size take twice as long without their bytecode.
unexport PYTHONDONTWRITEBYTECODE
# What is said to this Makefile (PYTHON=...) is not said to those of the layers, which SAM calls.
MAKEOVERRIDES =

PORT = 8000
STAGE = dev
ARCH = arm64
PYTHON_VERSION = 3.13

LOCAL = .venv/.local
INSTALLED = .venv/.installed
PY = .venv/bin/python
# SAM CLI looks for uv on PATH, and counts its calls for AWS unless it is told not to.
SAM = SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/bin:$$PATH" AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-eu-central-1} .sam/bin/sam
# The tests run the ffmpeg that the local stack was built with, and not any other.
PYTEST = FFMPEG="$(CURDIR)/.local/build/sam/FfmpegLayer/bin/ffmpeg" $(PY) -m pytest

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-14s %s\n", $$1, $$2}'

$(LOCAL): requirements-local.txt requirements-sam.txt local/environment.sh
	@sh local/environment.sh requirements-local.txt $@

$(INSTALLED): requirements-dev.txt layers/records/requirements.txt | $(LOCAL)
	@sh local/environment.sh requirements-dev.txt $@

.lint/.installed: requirements-lint.txt | $(INSTALLED)
	@.venv/bin/uv venv --quiet --allow-existing --python $(PY) .lint
	@.venv/bin/uv pip install --quiet --python .lint/bin/python -r requirements-lint.txt
	@touch $@

run: $(LOCAL) ## Run the whole stack on this machine; another port: make run PORT=8123
	@$(PY) -m local.run --port $(PORT)

test: check ## Run every check and every test
	@$(PY) -m local.run --build
	@$(PYTEST)

check: $(INSTALLED) .lint/.installed ## Look at the code and the template without running them
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(SAM) validate --lint
	@.lint/bin/cfn-lint --append-rules cfn_lint_serverless.rules -- template.yaml
	@.lint/bin/checkov --config-file .checkov.yaml

e2e: $(INSTALLED) ## Run the end-to-end tests against a deployed stack: make e2e URL=https://...
	@$(if $(URL),,echo "Which stack? make e2e URL=https://..." >&2; exit 1;) $(PY) -m local.run --build
	@E2E_URL="$(URL)" $(PYTEST) tests/e2e

build: $(LOCAL) ## Build for AWS, into .aws-sam; another processor: make build ARCH=x86_64
	@LAYER_ARCHITECTURE=$(ARCH) LAYER_PYTHON=$(PYTHON_VERSION) \
		$(SAM) build --parameter-overrides Architecture=$(ARCH) Runtime=python$(PYTHON_VERSION)

deploy: $(LOCAL) ## Build, deploy to AWS and try it out: make deploy STAGE=prod
	@$(PY) -m scripts.deploy $(STAGE)

destroy: $(LOCAL) ## Delete a deployed stack: make destroy STAGE=dev
	@$(PY) -m scripts.deploy $(STAGE) --destroy

sam-local: $(LOCAL) ## Run the functions in containers, with `sam local start-api`
	@$(PY) -m local.sam_local --port $(PORT)

test-sam-local: $(INSTALLED) ## Run the contract's tests over `sam local` (needs Docker)
	@$(PYTEST) tests/e2e/sam_local.py

soak: $(INSTALLED) ## Try what breaks it at full length: a million fuzzed WAV files, 5,000 generated ones, every fault
	@$(PY) -m local.run --build
	@$(PY) -m tests.fuzz.fuzz_wav -runs=1000000
	@SOAK=1 FUZZ_EXAMPLES=5000 SCHEMA_EXAMPLES=500 $(PYTEST) -s \
		tests/fuzz/test_wav_structure.py tests/integration/test_schema.py tests/integration/test_faults.py

load: $(INSTALLED) ## 5000 requests from 32 clients against a local cloud, every answer checked
	@$(PY) -m benchmarks.load

bench: $(INSTALLED) ## Measure: some ten minutes of a quiet machine (the server beside needs PostgreSQL)
	@.venv/bin/uv pip install --quiet --python $(PY) -r benchmarks/requirements.txt
	@$(PY) -m local.run --build
	@$(PY) -m benchmarks

mutants: $(INSTALLED) ## Take out each guard, one by one, and see a test go red
	@$(PY) -m local.run --build
	@$(PY) -m tests.support.mutants

openapi: $(INSTALLED) ## Write the OpenAPI document anew
	@$(PY) -m scripts.openapi

format: $(INSTALLED) ## Format the code
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format --quiet .

clean: ## Remove what was built and installed; the local stacks' data in .local/<port> stay
	rm -rf .venv .sam .lint .aws-sam .local/build .mypy_cache .pytest_cache .ruff_cache .hypothesis
