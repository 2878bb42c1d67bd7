"""What the template promises, on what SAM makes of it; the emulator does not hold the stack to all of that."""

from __future__ import annotations

import json
import os
import re
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from records.http import CROSS_ORIGIN
from records.recordings import MAX_ATTEMPTS, MAX_LIFETIME
from tests.conftest import ROOT
from tests.support.contract import METHODS

BUCKET = "arn:aws:s3:::${AWS::StackName}-${AWS::AccountId}-${AWS::Region}"
FUNCTIONS = {
    "CreateUser": "create_user",
    "CreateRecord": "create_record",
    "GetRecord": "get_record",
    "Manage": "manage",
    "Listen": "listen",
    "Site": "site",
    "ConvertUpload": "convert_upload",
    "RemoveAudio": "remove_audio",
    "EraseUser": "erase_user",
}
WARM = ("CreateUser", "CreateRecord", "GetRecord", "Manage", "Listen")  # what a client waits for
API_FUNCTIONS = (*WARM, "Site")

Template = dict[str, Any]


@pytest.fixture(scope="module")
def source() -> Template:
    """The template as it is written."""
    template: Template = yaml_parse((ROOT / "template.yaml").read_text())
    return template


def translated(source: Template, **parameters: Any) -> Template:
    """The template as CloudFormation gets it: SAM's resources made, parameters and conditions filled in."""
    source = json.loads(json.dumps(source))
    for resource in source["Resources"].values():  # as `sam deploy` does after the upload
        properties = resource.get("Properties", {})
        for place in ("CodeUri", "ContentUri"):
            if place in properties:
                properties[place] = "s3://bucket/key"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "AWS_DEFAULT_REGION", "eu-central-1")
        template = transform(source, {}, SimpleNamespace(load=dict))
    values = {name: entry["Default"] for name, entry in template["Parameters"].items()} | parameters
    conditions: dict[str, bool] = {}

    def fill(node: Any) -> Any:  # noqa: PLR0911 a case a function
        match node:
            case {"Ref": str(name)} if name in values:
                return values[name]
            case {"Fn::Equals": [left, right]}:
                return str(fill(left)) == str(fill(right))
            case {"Fn::Not": [condition]}:
                return not fill(condition)
            case {"Fn::And": parts}:
                return all(fill(part) for part in parts)
            case {"Condition": str(name)} if len(node) == 1:
                return conditions[name]
            case {"Fn::If": [name, then, otherwise]}:
                return fill(then if conditions[name] else otherwise)
            case {"Fn::Sub": str(text)}:
                text = re.sub(r"\$\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), text)
                return text.replace("${AWS::Partition}", "aws")
            case {"Fn::GetAtt": [str(resource), str(attribute)]}:
                return f"{resource}.{attribute}"
            case {"Ref": str(name)}:
                return name
            case dict():
                filled = {key: fill(value) for key, value in node.items()}
                return {key: value for key, value in filled.items() if value != "AWS::NoValue"}
            case list():
                return [item for item in map(fill, node) if item != "AWS::NoValue"]
        return node

    for name, condition in template["Conditions"].items():
        conditions[name] = fill(condition)
    return {
        name: fill(resource)
        for name, resource in template["Resources"].items()
        if conditions.get(resource.get("Condition"), True)
    }


@pytest.fixture(scope="module")
def dev(source: Template) -> Template:
    return translated(source)


@pytest.fixture(scope="module")
def prod(source: Template) -> Template:
    return translated(source, Stage="prod")


def of_type(resources: Template, kind: str) -> Template:
    return {name: resource["Properties"] for name, resource in resources.items() if resource["Type"] == kind}


# ---------------------------------------------------------------------- what people may set, and see


def test_each_parameter_has_a_default_and_a_description(source: Template) -> None:
    assert {name for name, entry in source["Parameters"].items() if "Default" not in entry} == set()
    assert {name for name, entry in source["Parameters"].items() if not entry.get("Description")} == set()


def test_outputs(source: Template) -> None:
    assert set(source["Outputs"]) >= {"ApiUrl", "UsersTableName", "RecordsTableName", "BucketName"}
    assert all(output["Description"] for output in source["Outputs"].values())


def test_a_domain_of_ones_own(source: Template) -> None:
    resources = translated(source, DomainName="records.example.com", CertificateArn="arn:certificate")
    assert of_type(resources, "AWS::ApiGatewayV2::DomainName") == {
        "ApiDomain": {
            "DomainName": "records.example.com",
            "DomainNameConfigurations": [
                {"CertificateArn": "arn:certificate", "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2"}
            ],
        }
    }
    assert of_type(resources, "AWS::ApiGatewayV2::ApiMapping") == {
        "ApiDomainMapping": {"ApiId": "Api", "DomainName": "ApiDomain", "Stage": "ApiApiGatewayDefaultStage"}
    }, "the mapping has to wait for the stage, which is there by a reference only"


# ---------------------------------------------------------------------- data


def test_the_bucket_is_closed(dev: Template) -> None:
    [bucket] = of_type(dev, "AWS::S3::Bucket").values()
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert bucket["BucketEncryption"] == {
        "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    }


def test_the_bucket_takes_tls_only(dev: Template) -> None:
    [policy] = of_type(dev, "AWS::S3::BucketPolicy").values()
    assert policy["Bucket"] == "AudioBucket"
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["AudioBucket.Arn", "${AudioBucket.Arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]


def test_cloudfront_may_read_recordings_where_there_is_one(source: Template) -> None:
    [policy] = of_type(translated(source, CdnDistribution="E1ABC"), "AWS::S3::BucketPolicy").values()
    assert policy["PolicyDocument"]["Statement"][1:] == [
        {
            "Sid": "CdnReadsRecordings",
            "Effect": "Allow",
            "Principal": {"Service": "cloudfront.amazonaws.com"},
            "Action": "s3:GetObject",
            "Resource": "${AudioBucket.Arn}/records/*",
            "Condition": {
                "StringEquals": {"aws:SourceArn": "arn:aws:cloudfront::${AWS::AccountId}:distribution/E1ABC"}
            },
        }
    ]


def test_what_is_left_in_the_bucket_expires(dev: Template) -> None:
    [bucket] = of_type(dev, "AWS::S3::Bucket").values()
    assert bucket["LifecycleConfiguration"]["Rules"] == [
        {
            "Id": "AbortAbandonedMultipartUploads",
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
        {"Id": "ExpireForgottenUploads", "Status": "Enabled", "Prefix": "uploads/", "ExpirationInDays": 15},
    ]


def test_the_tables(dev: Template) -> None:
    tables = of_type(dev, "AWS::DynamoDB::Table")
    assert set(tables) == {"UsersTable", "RecordsTable"}
    for table in tables.values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert tables["RecordsTable"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert tables["RecordsTable"]["StreamSpecification"] == {"StreamViewType": "OLD_IMAGE"}


def test_the_stack_leaves_its_data_behind(source: Template, dev: Template, prod: Template) -> None:
    """The bucket's name is fixed, so it must not stay after a first creation that failed; nor must its policy."""
    assert source["Transform"] == "AWS::Serverless-2016-10-31", "the policies are literal"
    assert {
        name: (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])
        for name, resource in dev.items()
        if not resource["Type"].startswith("AWS::Lambda::") and "DeletionPolicy" in resource
    } == {
        "UsersTable": ("Retain", "Retain"),
        "RecordsTable": ("Retain", "Retain"),
        "AudioBucket": ("RetainExceptOnCreate", "Retain"),
        "AudioBucketPolicy": ("RetainExceptOnCreate", "Retain"),
    }
    for name in ("UsersTable", "RecordsTable"):
        assert prod[name]["Properties"]["DeletionProtectionEnabled"] is True
        assert dev[name]["Properties"]["DeletionProtectionEnabled"] is False


def test_the_queues(dev: Template) -> None:
    failures = {"MessageRetentionPeriod": 14 * 24 * 3600, "SqsManagedSseEnabled": True}
    uploads = {
        "VisibilityTimeout": 960,
        "MessageRetentionPeriod": 10 * 24 * 3600,
        "RedrivePolicy": {"deadLetterTargetArn": "FailedConversionsQueue.Arn", "maxReceiveCount": MAX_ATTEMPTS + 1},
        "SqsManagedSseEnabled": True,
    }
    erasures = uploads | {
        "MessageRetentionPeriod": 4 * 24 * 3600,
        "RedrivePolicy": {"deadLetterTargetArn": "FailedErasuresQueue.Arn", "maxReceiveCount": 20},
    }
    stored: dict[str, Any] = {
        "DelaySeconds": 900,
        "VisibilityTimeout": 6 * dev["RemoveAudioFunction"]["Properties"]["Timeout"],
        "MessageRetentionPeriod": 4 * 24 * 3600,
        "RedrivePolicy": {"deadLetterTargetArn": "FailedRemovalsQueue.Arn", "maxReceiveCount": 5},
        "SqsManagedSseEnabled": True,
    }
    assert of_type(dev, "AWS::SQS::Queue") == {
        "UploadsQueue": uploads,
        "StoredAudioQueue": stored,
        "ErasuresQueue": erasures,
        "FailedConversionsQueue": failures,
        "FailedRemovalsQueue": failures,
        "FailedErasuresQueue": failures,
    }
    functions = of_type(dev, "AWS::Lambda::Function").values()
    assert int(str(stored["DelaySeconds"])) >= max(f["Timeout"] for f in functions), (
        "whoever stored an MP3 is not running then"
    )
    assert int(str(uploads["VisibilityTimeout"])) > MAX_LIFETIME, "a message comes again when no attempt is alive"
    convert_upload = dev["ConvertUploadFunction"]["Properties"]
    assert convert_upload["Timeout"] == MAX_LIFETIME
    assert convert_upload["Environment"]["Variables"]["UPLOADS_QUEUE"] == "UploadsQueue", (
        "it retries sooner what failed"
    )


# ---------------------------------------------------------------------- API


def test_the_api_throttles(source: Template) -> None:
    [stage] = of_type(translated(source, ThrottleRate=7, ThrottleBurst=9), "AWS::ApiGatewayV2::Stage").values()
    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
    assert stage["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": 7,
        "ThrottlingBurstLimit": 9,
        "DetailedMetricsEnabled": False,
    }


def test_no_operation_can_use_up_the_stage_s_limit(source: Template, dev: Template) -> None:
    [stage] = of_type(dev, "AWS::ApiGatewayV2::Stage").values()
    assert stage["RouteSettings"] == {
        "POST /users": {"ThrottlingRateLimit": 2, "ThrottlingBurstLimit": 20},
        "POST /records": {"ThrottlingRateLimit": 10, "ThrottlingBurstLimit": 50},
        "POST /uploads": {"ThrottlingRateLimit": 10, "ThrottlingBurstLimit": 50},
    }
    resources = translated(source, SignUpThrottleRate=3, SendThrottleRate=11)
    [stage] = of_type(resources, "AWS::ApiGatewayV2::Stage").values()
    assert [route["ThrottlingRateLimit"] for route in stage["RouteSettings"].values()] == [3, 11, 11]
    # AWS refuses a stage that names a route that the API does not have.
    paths = dev["Api"]["Properties"]["Body"]["paths"]
    routes = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    assert set(stage["RouteSettings"]) <= routes


def test_access_logs_hold_no_link_and_no_token(dev: Template) -> None:
    """A link's query string is a permission, and so is the Authorization header."""
    [stage] = of_type(dev, "AWS::ApiGatewayV2::Stage").values()
    settings = stage["AccessLogSettings"]
    assert settings["DestinationArn"] == "ApiLogGroup.Arn"
    assert json.loads(settings["Format"]) == {
        "requestId": "$context.requestId",
        "time": "$context.requestTime",
        "route": "$context.routeKey",
        "status": "$context.status",
        "latency": "$context.responseLatency",
        "integrationLatency": "$context.integrationLatency",
        "integrationError": "$context.integrationErrorMessage",
        "requestBytes": "$context.dataProcessed",
        "responseBytes": "$context.responseLength",
        "ip": "$context.identity.sourceIp",
        "userAgent": "$context.identity.userAgent",
    }


def test_routes(dev: Template) -> None:
    """Each function gets what it has a route for, and the pages' function all the rest."""
    paths = dev["Api"]["Properties"]["Body"]["paths"]
    found = {
        (method, path): re.findall(r"functions/\$\{(\w+)\}?", operation[INTEGRATION]["uri"])[0]
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    routes = {
        (route.method.lower(), route.path): f"{name}FunctionAliaslive"
        for name in WARM
        for route in import_module(f"functions.{FUNCTIONS[name]}.app").app._static_routes
    }
    methods = METHODS | {"/listen": "GET, HEAD"}
    assert set(routes) == {(method.lower(), path) for path in methods for method in methods[path].split(", ")}
    assert found == routes | {("x-amazon-apigateway-any-method", "$default"): "SiteFunction"}


def test_any_web_page_may_call_the_api(dev: Template) -> None:
    exposed = CROSS_ORIGIN["Access-Control-Expose-Headers"].split(", ")
    assert dev["Api"]["Properties"]["Body"]["x-amazon-apigateway-cors"] == {
        "allowOrigins": ["*"],
        "allowMethods": ["GET", "HEAD", "POST", "PATCH", "DELETE"],
        "allowHeaders": [
            *("Accept", "Authorization", "Content-Type", "Idempotency-Key"),
            *("If-None-Match", "If-Range", "Prefer", "Range"),
        ],
        "exposeHeaders": exposed,
        "maxAge": 3600,
    }


INTEGRATION = "x-amazon-apigateway-integration"


# ---------------------------------------------------------------------- functions


def test_each_folder_is_a_function(dev: Template, source: Template) -> None:
    functions = of_type(dev, "AWS::Lambda::Function")
    assert set(functions) == {f"{name}Function" for name in FUNCTIONS}
    for name, folder in FUNCTIONS.items():
        written = source["Resources"][f"{name}Function"]["Properties"]
        assert written["CodeUri"] == f"functions/{folder}/"
        assert functions[f"{name}Function"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == folder
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert folders == set(FUNCTIONS.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_traced_and_logs_into_a_group_of_its_own(source: Template, name: str) -> None:
    resources = translated(source, LogRetentionDays=14)
    function = resources[f"{name}Function"]["Properties"]
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": f"{name}LogGroup"}
    assert resources[f"{name}LogGroup"]["Properties"] == {
        "LogGroupName": f"/aws/lambda/${{AWS::StackName}}/{FUNCTIONS[name]}",
        "RetentionInDays": 14,
    }


def test_logs_are_not_kept_for_ever(dev: Template) -> None:
    assert dev["ApiLogGroup"]["Properties"]["LogGroupName"] == "/aws/vendedlogs/apigateway/${AWS::StackName}"
    groups = of_type(dev, "AWS::Logs::LogGroup")
    assert set(groups) == {f"{name}LogGroup" for name in (*FUNCTIONS, "Api")}
    assert {group["RetentionInDays"] for group in groups.values()} == {30}


def variables(resources: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = resources[f"{name}Function"]["Properties"]["Environment"]["Variables"]
    return found


def test_limits_of_a_user(source: Template, dev: Template) -> None:
    other = translated(source, UserDailyHours=0.5, UserStoredHours=0)
    for name in ("CreateRecord", "ConvertUpload", "Manage"):
        for resources, daily, stored in ((dev, 24, 1000), (other, 0.5, 0)):
            found = variables(resources, name)
            assert (found["USER_DAILY_HOURS"], found["USER_STORED_HOURS"]) == (daily, stored)


def test_how_long_recordings_are_kept(source: Template, dev: Template) -> None:
    for name in ("CreateRecord", "ConvertUpload"):
        assert variables(dev, name)["KEEP_DAYS"] == 0, "for ever"
        assert variables(translated(source, KeepDays=30), name)["KEEP_DAYS"] == 30


def test_limits_of_signing_up(source: Template, dev: Template) -> None:
    found = variables(dev, "CreateUser")
    assert (found["SIGN_UPS_PER_HOUR"], found["INVITE_HASHES"]) == (20, "")
    found = variables(translated(source, SignUpsPerHour=3, InviteHashes="ab" * 32), "CreateUser")
    assert (found["SIGN_UPS_PER_HOUR"], found["INVITE_HASHES"]) == (3, "ab" * 32)
    allowed = re.compile(source["Parameters"]["InviteHashes"]["AllowedPattern"])
    assert [
        bool(allowed.match(text)) for text in ("", "ab" * 32, f"{'ab' * 32},{'CD' * 32}", "secret", "ab" * 32 + ",")
    ] == [*(True, True, True, False, False)]


def test_the_functions_answer_before_the_api_gives_up(dev: Template) -> None:
    functions = of_type(dev, "AWS::Lambda::Function")
    assert {functions[f"{name}Function"]["Timeout"] for name in API_FUNCTIONS} == {29}


def references(node: Any) -> set[str]:
    """The names that !Ref and !Sub mention anywhere in a piece of the template."""
    match node:
        case {"Ref": str(name)}:
            return {name}
        case {"Fn::Sub": [str(text), dict(more)]}:
            return (references({"Fn::Sub": text}) - set(more)) | references(list(more.values()))
        case {"Fn::Sub": str(text)}:
            return set(re.findall(r"\$\{(\w+)\}", text))
        case dict():
            return set().union(*map(references, node.values()))
        case list():
            return set().union(*map(references, node))
    return set()


@pytest.mark.parametrize("name", WARM)
def test_whatever_changes_a_function_publishes_a_version(source: Template, name: str) -> None:
    """SAM looks at the code and at the function as it is written; the rest has to be in the version's description, and
    nothing else may be, or CloudFormation would publish what has not changed, which Lambda refuses."""
    function = source["Resources"][f"{name}Function"]["Properties"]
    assert (function["AutoPublishAlias"], function["AutoPublishAliasAllProperties"]) == ("live", True)
    made_of = [function[key] for key in ("Layers", "Environment", "SnapStart")]
    for_a_local_cloud = {"StorageUrl", "AwsEndpointUrl", "FfmpegPath"}
    unmentioned = for_a_local_cloud | {"CdnSecret"}  # a secret, which changes with its distribution
    changing = references([source["Globals"]["Function"], made_of]) - set(source["Resources"]) - unmentioned
    changing |= {"CdnDistribution"}
    layers = {layer["Ref"] for layer in function["Layers"]}
    assert references(function["VersionDescription"]) == (changing & set(source["Parameters"])) | layers


@pytest.mark.parametrize("name", WARM)
def test_warm_starts_are_off_until_asked_for(source: Template, name: str) -> None:
    for parameters, apply_on, warm in (
        ({}, "None", None),
        ({"SnapStart": "PublishedVersions"}, "PublishedVersions", None),
        ({"WarmInstances": 3}, "None", {"ProvisionedConcurrentExecutions": 3}),
    ):
        resources = translated(source, **parameters)
        assert resources[f"{name}Function"]["Properties"]["SnapStart"] == {"ApplyOn": apply_on}
        assert resources[f"{name}FunctionAliaslive"]["Properties"].get("ProvisionedConcurrencyConfig") == warm


@pytest.mark.parametrize("name", WARM)
def test_old_versions_are_deleted(source: Template, dev: Template, name: str) -> None:
    """SnapStart's cache is billed for each version that is kept."""
    assert source["Resources"][f"{name}Function"]["Properties"]["VersionDeletionPolicy"] == "Delete"
    versions = [
        resource
        for resource in dev.values()
        if resource["Type"] == "AWS::Lambda::Version" and resource["Properties"]["FunctionName"] == f"{name}Function"
    ]
    assert [version["DeletionPolicy"] for version in versions] == ["Delete"]


def test_uploads_are_converted_when_they_arrive(dev: Template) -> None:
    """S3 -> UploadsQueue -> convert_upload. Nothing is lost where more arrive than are converted: they wait."""
    [bucket] = of_type(dev, "AWS::S3::Bucket").values()
    assert bucket["NotificationConfiguration"] == {
        "QueueConfigurations": [
            {
                "Event": "s3:ObjectCreated:*",
                "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": "uploads/"}]}},
                "Queue": "UploadsQueue.Arn",
            },
            {
                "Event": "s3:ObjectCreated:*",
                "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": "records/"}]}},
                "Queue": "StoredAudioQueue.Arn",
            },
        ]
    }
    assert listed(dev["AudioBucket"]["DependsOn"]) == ["BucketEventsPolicy"], "S3 checks that it may send"
    assert of_type(dev, "AWS::SQS::QueuePolicy") == {
        "BucketEventsPolicy": {
            "Queues": ["UploadsQueue", "StoredAudioQueue"],
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "TakeEventsOfTheBucket",
                        "Effect": "Allow",
                        "Principal": {"Service": "s3.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": ["UploadsQueue.Arn", "StoredAudioQueue.Arn"],
                        "Condition": {
                            "ArnEquals": {"aws:SourceArn": BUCKET},
                            "StringEquals": {"aws:SourceAccount": "AWS::AccountId"},
                        },
                    }
                ],
            },
        }
    }
    assert dev["ArrivedUploads"]["Properties"] == {
        "EventSourceArn": "UploadsQueue.Arn",
        "FunctionName": "ConvertUploadFunction",
        "BatchSize": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 20},
    }


def test_stored_audio_is_looked_at_once_more(dev: Template) -> None:
    assert dev["StoredAudio"]["Properties"] == {
        "EventSourceArn": "StoredAudioQueue.Arn",
        "FunctionName": "RemoveAudioFunction",
        "BatchSize": 10,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }


def test_conversions_at_once_are_limited_without_a_reservation(source: Template) -> None:
    """AWS lets nobody reserve the last hundred of an account, and a new account may have ten."""
    resources = translated(source, ConvertConcurrency=5)
    assert resources["ArrivedUploads"]["Properties"]["ScalingConfig"] == {"MaximumConcurrency": 5}
    functions = of_type(resources, "AWS::Lambda::Function")
    assert [name for name, function in functions.items() if "ReservedConcurrentExecutions" in function] == []


def test_removed_rows_are_handed_over(dev: Template) -> None:
    mapping = dev["RemovedRows"]["Properties"]
    assert mapping["EventSourceArn"] == "RecordsTable.StreamArn"
    assert mapping["FunctionName"] == "RemoveAudioFunction"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["MaximumRecordAgeInSeconds"] < 24 * 3600, "the stream itself drops what is older than a day"
    assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": "FailedRemovalsQueue.Arn"}}
    assert [json.loads(f["Pattern"]) for f in mapping["FilterCriteria"]["Filters"]] == [{"eventName": ["REMOVE"]}]


# ---------------------------------------------------------------------- permissions

ALLOWED: dict[str, set[tuple[str, str]]] = {
    "CreateUser": {
        ("dynamodb:PutItem", "UsersTable.Arn"),
        ("dynamodb:UpdateItem", "UsersTable.Arn"),
        ("dynamodb:GetItem", "UsersTable.Arn"),
    },
    "CreateRecord": {
        ("dynamodb:GetItem", "UsersTable.Arn"),
        ("dynamodb:UpdateItem", "UsersTable.Arn"),
        ("dynamodb:Query", "RecordsTable.Arn"),
        ("dynamodb:GetItem", "RecordsTable.Arn"),
        ("dynamodb:PutItem", "RecordsTable.Arn"),
        ("dynamodb:UpdateItem", "RecordsTable.Arn"),
        ("dynamodb:DeleteItem", "RecordsTable.Arn"),
        ("s3:PutObject", f"{BUCKET}/records/*"),
        ("s3:PutObject", f"{BUCKET}/uploads/*"),
        ("s3:DeleteObject", f"{BUCKET}/records/*"),
        ("s3:ListBucket", BUCKET),
        ("s3:ListMultipartUploadParts", f"{BUCKET}/uploads/*"),
        ("s3:AbortMultipartUpload", f"{BUCKET}/records/*"),
        ("s3:AbortMultipartUpload", f"{BUCKET}/uploads/*"),
    },
    "GetRecord": {
        ("dynamodb:GetItem", "RecordsTable.Arn"),
        ("dynamodb:GetItem", "UsersTable.Arn"),
        ("s3:ListBucket", BUCKET),
        ("s3:GetObject", f"{BUCKET}/records/*"),
    },
    "EraseUser": {
        ("sqs:ReceiveMessage", "ErasuresQueue.Arn"),
        ("sqs:DeleteMessage", "ErasuresQueue.Arn"),
        ("sqs:GetQueueAttributes", "ErasuresQueue.Arn"),
        ("sqs:SendMessage", "ErasuresQueue.Arn"),
        ("dynamodb:GetItem", "UsersTable.Arn"),
        ("dynamodb:UpdateItem", "UsersTable.Arn"),
        ("dynamodb:DeleteItem", "UsersTable.Arn"),
        ("dynamodb:Query", "RecordsTable.Arn"),
        ("dynamodb:DeleteItem", "RecordsTable.Arn"),
        ("s3:ListBucket", BUCKET),
        ("s3:ListBucketMultipartUploads", BUCKET),
        ("s3:DeleteObject", f"{BUCKET}/records/*"),
        ("s3:DeleteObject", f"{BUCKET}/uploads/*"),
        ("s3:AbortMultipartUpload", f"{BUCKET}/records/*"),
        ("s3:AbortMultipartUpload", f"{BUCKET}/uploads/*"),
    },
    "Manage": {
        ("dynamodb:GetItem", "UsersTable.Arn"),
        ("dynamodb:UpdateItem", "UsersTable.Arn"),
        ("dynamodb:DeleteItem", "UsersTable.Arn"),
        ("dynamodb:PutItem", "UsersTable.Arn"),
        ("sqs:SendMessage", "ErasuresQueue.Arn"),
        ("dynamodb:GetItem", "RecordsTable.Arn"),
        ("dynamodb:Query", "RecordsTable.Arn"),
        ("dynamodb:Query", "${RecordsTable.Arn}/index/by_time"),
        ("dynamodb:UpdateItem", "RecordsTable.Arn"),
        ("dynamodb:DeleteItem", "RecordsTable.Arn"),
    },
    "Listen": {
        ("dynamodb:GetItem", "RecordsTable.Arn"),
        ("dynamodb:GetItem", "UsersTable.Arn"),
    },
    "Site": set(),
    "ConvertUpload": {
        ("dynamodb:GetItem", "UsersTable.Arn"),
        ("dynamodb:UpdateItem", "UsersTable.Arn"),
        ("dynamodb:Query", "RecordsTable.Arn"),
        ("dynamodb:GetItem", "RecordsTable.Arn"),
        ("dynamodb:UpdateItem", "RecordsTable.Arn"),
        ("s3:ListBucket", BUCKET),
        ("s3:GetObject", f"{BUCKET}/uploads/*"),
        ("s3:PutObject", f"{BUCKET}/records/*"),
        ("s3:AbortMultipartUpload", f"{BUCKET}/records/*"),
        ("s3:DeleteObject", f"{BUCKET}/uploads/*"),
        ("s3:DeleteObject", f"{BUCKET}/records/*"),
        ("sqs:ReceiveMessage", "UploadsQueue.Arn"),
        ("sqs:DeleteMessage", "UploadsQueue.Arn"),
        ("sqs:GetQueueAttributes", "UploadsQueue.Arn"),
        ("sqs:ChangeMessageVisibility", "UploadsQueue.Arn"),
    },
    "RemoveAudio": {
        ("dynamodb:DescribeStream", "RecordsTable.StreamArn"),
        ("dynamodb:GetRecords", "RecordsTable.StreamArn"),
        ("dynamodb:GetShardIterator", "RecordsTable.StreamArn"),
        ("dynamodb:ListStreams", "*"),
        ("s3:ListBucket", BUCKET),
        ("s3:DeleteObject", f"{BUCKET}/records/*"),
        ("s3:DeleteObject", f"{BUCKET}/uploads/*"),
        ("sqs:SendMessage", "FailedRemovalsQueue.Arn"),
        ("dynamodb:GetItem", "RecordsTable.Arn"),
        ("s3:AbortMultipartUpload", f"{BUCKET}/uploads/*"),
        ("sqs:ReceiveMessage", "StoredAudioQueue.Arn"),
        ("sqs:DeleteMessage", "StoredAudioQueue.Arn"),
        ("sqs:GetQueueAttributes", "StoredAudioQueue.Arn"),
    },
}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(resources: Template, name: str) -> list[dict[str, Any]]:
    policies = resources[f"{name}FunctionRole"]["Properties"].get("Policies", [])
    return [statement for policy in policies for statement in listed(policy["PolicyDocument"]["Statement"])]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_do_what_it_does_and_no_more(dev: Template, name: str) -> None:
    found = [
        (action, resource)
        for statement in statements(dev, name)
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    ]
    assert all(statement["Effect"] == "Allow" for statement in statements(dev, name))
    assert sorted(found) == sorted(ALLOWED[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_besides_a_function_may_log_and_trace(dev: Template, name: str) -> None:
    role = dev[f"{name}FunctionRole"]["Properties"]
    assert role["ManagedPolicyArns"] == [
        "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
        "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess",
    ]
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {"Action": ["sts:AssumeRole"], "Effect": "Allow", "Principal": {"Service": ["lambda.amazonaws.com"]}}
    ]


@pytest.mark.parametrize(
    ("name", "listed"), [("CreateRecord", ["records/*", "uploads/*"]), ("RemoveAudio", "records/*")]
)
def test_recordings_only_are_listed(dev: Template, name: str, listed: list[str] | str) -> None:
    [listing] = [s for s in statements(dev, name) if s["Action"] == "s3:ListBucket"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": listed}}


def test_functions_are_called_by_the_api_only(dev: Template) -> None:
    """And by the event source mappings, which call in the name of the function's own role."""
    permissions = of_type(dev, "AWS::Lambda::Permission").values()
    assert {p["Action"] for p in permissions} == {"lambda:InvokeFunction"}
    assert {(p["Principal"], "SourceArn" in p) for p in permissions} == {("apigateway.amazonaws.com", True)}
    assert of_type(dev, "AWS::Lambda::Url") == {}


# ---------------------------------------------------------------------- alarms


def test_every_alarm_has_a_topic_to_subscribe_to(source: Template) -> None:
    alarms = of_type(translated(source), "AWS::CloudWatch::Alarm")
    for alarm in alarms.values():
        assert (alarm["AlarmActions"], alarm["OKActions"]) == (["AlarmTopic"], ["AlarmTopic"])
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmDescription"]
    assert of_type(translated(source), "AWS::SNS::Subscription") == {}
    assert of_type(translated(source, AlarmEmail="a@example.com"), "AWS::SNS::Subscription") == {
        "AlarmSubscription": {"TopicArn": "AlarmTopic", "Protocol": "email", "Endpoint": "a@example.com"}
    }


def alarm(resource: Template) -> tuple[Any, ...]:
    """What an alarm watches: namespace, metric, dimensions, statistic, threshold, and for how many periods."""
    return (
        resource["Namespace"],
        resource["MetricName"],
        [(d["Name"], d["Value"]) for d in resource["Dimensions"]],
        resource.get("Statistic") or resource["ExtendedStatistic"],
        resource["Threshold"],
        resource["EvaluationPeriods"],
    )


def test_alarms(dev: Template) -> None:
    alarms = of_type(dev, "AWS::CloudWatch::Alarm")
    assert {alarm["ComparisonOperator"] for alarm in alarms.values()} == {"GreaterThanThreshold"}
    of_functions = {
        f"{name}{metric}Alarm": ("AWS/Lambda", metric, [("FunctionName", f"{name}Function")], "Sum", 0, 1)
        for name in FUNCTIONS
        for metric in ("Errors", "Throttles")
    }

    def of_queue(queue: str, metric: str, threshold: int) -> tuple[Any, ...]:
        return ("AWS/SQS", metric, [("QueueName", f"{queue}.QueueName")], "Maximum", threshold, 1)

    visible = "ApproximateNumberOfMessagesVisible"
    found = {name: alarm(properties) for name, properties in alarms.items() if "Metrics" not in properties}
    assert found == {
        **of_functions,
        "FailedConversionsAlarm": of_queue("FailedConversionsQueue", visible, 0),
        "FailedRemovalsAlarm": of_queue("FailedRemovalsQueue", visible, 0),
        "FailedErasuresAlarm": of_queue("FailedErasuresQueue", visible, 0),
        "WaitingUploadsAlarm": of_queue("UploadsQueue", "ApproximateAgeOfOldestMessage", 3600),
        "RemovalsBehindAlarm": (
            *("AWS/Lambda", "IteratorAge", [("FunctionName", "RemoveAudioFunction")], "Maximum", 3_600_000, 1),
        ),
        "ReadyWithoutObjectAlarm": ("Records", "ReadyWithoutObject", [("service", "get_record")], "Sum", 0, 1),
        "ServerErrorsAlarm": ("AWS/ApiGateway", "5xx", [("ApiId", "Api")], "Sum", 5, 1),
        "LatencyAlarm": ("AWS/Lambda", "Duration", [("FunctionName", "CreateRecordFunction")], "p99", 10_000, 3),
    }
    assert {properties["Period"] for properties in alarms.values() if "Metrics" not in properties} == {300}


def test_the_share_of_client_errors_raises_an_alarm(source: Template, dev: Template) -> None:
    def metric(name: str) -> Template:
        of_api = [{"Name": "ApiId", "Value": "Api"}]
        return {
            "Metric": {"Namespace": "AWS/ApiGateway", "MetricName": name, "Dimensions": of_api},
            "Stat": "Sum",
            "Period": 300,
        }

    properties = dev["ClientErrorsAlarm"]["Properties"]
    assert (properties["Threshold"], properties["EvaluationPeriods"]) == (50, 3)
    [share, *inputs] = properties["Metrics"]
    assert share["Expression"] == "IF(requests >= 100, 100 * refused / requests, 0)"
    assert inputs == [
        {"Id": "refused", "ReturnData": False, "MetricStat": metric("4xx")},
        {"Id": "requests", "ReturnData": False, "MetricStat": metric("Count")},
    ]
    assert "ClientErrorsAlarm" not in translated(source, StorageUrl="http://127.0.0.1:8000")


def test_a_budget_warns_by_e_mail(source: Template) -> None:
    assert of_type(translated(source, AlarmEmail="a@example.com"), "AWS::Budgets::Budget") == {}
    assert of_type(translated(source, BudgetUsd=50), "AWS::Budgets::Budget") == {}, "there is nobody to write to"
    resources = translated(source, BudgetUsd=50, AlarmEmail="a@example.com")
    to_email = [{"SubscriptionType": "EMAIL", "Address": "a@example.com"}]
    assert resources["Budget"]["Properties"] == {
        "Budget": {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": 50, "Unit": "USD"}},
        "NotificationsWithSubscribers": [
            {
                "Notification": {"NotificationType": kind, "ComparisonOperator": "GREATER_THAN", "Threshold": percent},
                "Subscribers": to_email,
            }
            for kind, percent in (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))
        ],
    }
