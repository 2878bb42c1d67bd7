# The project's commands. Whatever they need is installed into .venv and .sam by the first of them.
.DEFAULT_GOAL := help
.PHONY: help run test check unit e2e build deploy destroy format clean

PORT = 8000
STAGE = dev
ARCH = arm64

TOOLS = .venv/.installed
PYTHON_TOOL = .venv/bin/python
# SAM CLI counts on uv in PATH, and reports to AWS unless it is told not to.
SAM = SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/bin:$$PATH" .sam/bin/sam

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

$(TOOLS): requirements-dev.txt requirements-sam.txt layers/records/requirements.txt local/environment.sh
	@sh local/environment.sh

run: $(TOOLS) ## Run the whole stack on this machine: make run PORT=8123
	@$(PYTHON_TOOL) -m local.cloud --port $(PORT)
