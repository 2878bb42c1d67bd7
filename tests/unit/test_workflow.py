"""What the workflow runs, and what its role may do."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from tests.conftest import ROOT

STATEMENTS: list[dict[str, Any]] = json.loads((ROOT / ".github/deploy-role.json").read_text())["Statement"]
# The service of a resource type, where IAM calls it otherwise.
SERVICES = {"apigatewayv2": "apigateway", "serverless": "lambda"}


def test_actions_are_pinned_by_commit() -> None:
    """A tag can be moved to other code, which would then run with the role."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []


def test_the_role_reaches_every_service_of_the_template() -> None:
    types = {resource["Type"] for resource in yaml_parse((ROOT / "template.yaml").read_text())["Resources"].values()}
    services = {kind.split("::")[1].lower() for kind in types}
    allowed = {action.split(":")[0] for statement in STATEMENTS for action in statement["Action"]}
    assert {SERVICES.get(service, service) for service in services} <= allowed
    assert {"cloudformation", "iam"} <= allowed


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: str(statement["Sid"]))
def test_the_role_may_write_to_nothing_but_its_stacks(statement: dict[str, Any]) -> None:
    """What has no name of ours in its resources is here by name."""
    resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    ours = re.compile(r"records-|RecordsLayer|FfmpegLayer|aws-sam-cli-managed-default|Serverless-2016-10-31")
    others = [resource for resource in resources if not ours.search(resource)]
    if statement["Sid"] in {
        *("TemplatesBeforeTheirStackIsThere", "EventSourceMappings", "ListTables", "LogsOfTheApi", "Budget", "Api"),
        "RoleOfApiGatewayForItsLogs",
    }:
        assert others
    else:
        assert others == []
    assert "*" not in statement["Action"]
