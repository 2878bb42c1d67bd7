# The project's commands. What they need is installed into .venv and .sam by whichever comes first.
.DEFAULT_GOAL := help
.PHONY: help run test check unit integration e2e build deploy destroy sam-local test-sam-local test-browsers load soak bench \
	mutants openapi lint-web format clean ffmpeg code types template soak-fuzz soak-functions soak-e2e

# Tools of this size take twice as long without their bytecode.
unexport PYTHONDONTWRITEBYTECODE
# Variables of this Makefile's command line (PYTHON=...) must not reach the layers' Makefiles, which SAM calls.
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
PYTEST = $(PY) -m pytest
# Two workers more than there are processors: many tests wait more than they compute. A module's tests stay together.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)
PARALLEL = -n $(WORKERS) --dist loadscope --no-loadscope-reorder

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

# Some of the tests, as make test ARGS="tests/unit/test_wav.py -k rf64", without the checks and the build before them.
ifdef ARGS
test: $(INSTALLED) ffmpeg ## Run every check and every test; only some: make test ARGS="tests/unit/test_wav.py -k rf64"
	@$(PYTEST) $(ARGS)
else
test: check
	@$(PY) -m local.run --build
	@echo "Running every test, on $(WORKERS) processes ..."
	@$(PYTEST) -q $(PARALLEL)
endif

unit: $(INSTALLED) ffmpeg ## Run the quick unit tests: some seconds, nothing is built
	@echo "Running the quick unit tests, on $(WORKERS) processes ..."
	@$(PYTEST) -q $(PARALLEL) --dist load -m "not slow" tests/unit $(ARGS)

integration: $(INSTALLED) ffmpeg ## Run the functions over an AWS inside the test process, and the fuzz tests
	@echo "Running the integration and fuzz tests, on $(WORKERS) processes ..."
	@$(PYTEST) -q $(PARALLEL) tests/integration tests/fuzz $(ARGS)

e2e: $(INSTALLED) ## Run the end-to-end tests on a local cloud; on a deployed stack: make e2e URL=https://...
	@$(PY) -m local.run --build
	@echo "Running the end-to-end tests against $(or $(URL),a local cloud for each of $(WORKERS) processes) ..."
	@E2E_URL="$(URL)" $(PYTEST) -q $(PARALLEL) tests/e2e $(ARGS)

# The ffmpeg that the tests of single functions run: the local stack's, or else one that was built before, or a wheel's.
ffmpeg: $(LOCAL)
	@test -x .local/build/sam/FfmpegLayer/bin/ffmpeg -o -x .local/ffmpeg/bin/ffmpeg || { \
		echo "Fetching an ffmpeg ..."; \
		RECORDS_FFMPEG=kept LAYER_ARCHITECTURE=host $(PY) layers/ffmpeg/build.py layer .local/ffmpeg; }

check: $(INSTALLED) .lint/.installed ## Lint the code and the template, and check the types
	@echo "Checking the code, its types and the template ..."
	@$(MAKE) --no-print-directory --jobs=$(WORKERS) --output-sync=target code types template

code:
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --check .

types:
	@.venv/bin/mypy

template: .lint/.installed
	@said=$$($(SAM) validate --lint 2>&1) || { echo "$$said"; exit 1; }
	@.lint/bin/cfn-lint --append-rules cfn_lint_serverless.rules -- template.yaml cdn.yaml
	@.lint/bin/checkov --config-file .checkov.yaml

lint-web: ## Lint the page's scripts and check their types, lint the OpenAPI document (needs Node.js and npm)
	@npm install --prefix tests/web --silent --no-audit --no-fund
	@tests/web/node_modules/.bin/eslint --config tests/web/eslint.config.js functions/site/static
	@tests/web/node_modules/.bin/tsc --project tests/web
	@tests/web/node_modules/.bin/tsc --project tests/web/tsconfig.workers.json
	@tests/web/node_modules/.bin/redocly lint functions/site/static/openapi.json
	@tests/web/node_modules/.bin/spectral lint --ruleset tests/web/spectral.yaml functions/site/static/openapi.json

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

test-browsers: $(INSTALLED) ## Try the page in Firefox and WebKit (it names the packages that are missing)
	@$(PYTEST) tests/e2e/other_browsers.py

soak: $(INSTALLED) ## Try what breaks it at full length: a million fuzzed WAV files, 5,000 generated ones, every fault
	@$(PY) -m local.run --build
	@$(MAKE) --no-print-directory --jobs=2 soak-fuzz soak-functions
	@$(MAKE) --no-print-directory soak-e2e

soak-fuzz:
	@$(PY) -m tests.fuzz.fuzz_wav -runs=1000000

soak-functions:
	@SOAK=1 FUZZ_EXAMPLES=5000 SCHEMA_EXAMPLES=500 JOINED_RECORDINGS=200 $(PYTEST) -q $(PARALLEL) --dist load \
		tests/fuzz/test_wav_structure.py tests/integration/test_schema.py tests/integration/test_faults.py \
		tests/integration/test_interleavings.py tests/integration/test_interleaved_parts.py tests/unit/test_parallel.py

soak-e2e:
	@SOAK=1 $(PYTEST) -q $(PARALLEL) tests/e2e/test_emulator.py tests/e2e/test_readme_client.py \
		tests/e2e/test_many_recordings.py tests/e2e/test_limits.py tests/build/reproducible.py

load: $(INSTALLED) ## Send 5000 requests from 32 clients to a local cloud, and check every response
	@$(PY) -m benchmarks.load

bench: $(INSTALLED) ## Measure: half an hour of a quiet machine (the server beside needs PostgreSQL)
	@.venv/bin/uv pip install --quiet --python $(PY) -r benchmarks/requirements.txt
	@$(PY) -m local.run --build
	@$(PY) -m benchmarks

mutants: $(INSTALLED) ## Take out each guard, one by one, and expect a test to fail
	@$(PY) -m local.run --build
	@$(PY) -m tests.support.mutants

openapi: $(INSTALLED) ## Rewrite the OpenAPI document
	@$(PY) -m scripts.openapi

format: $(INSTALLED) ## Format the code
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format --quiet .

clean: ## Remove what was built and installed; the local stacks' data in .local/<port> stay
	rm -rf .venv .venv-oldest .sam .lint .aws-sam .local/build .mypy_cache .pytest_cache .ruff_cache .hypothesis
