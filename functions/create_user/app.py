"""POST /users: a name and, optionally, an e-mail in; an id and a token out."""

from __future__ import annotations

from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, Field

from records import api, aws, openapi, signups
from records.errors import EmailTaken, IdempotencyConflict, InviteRequired, TooManySignUps, ValidationFailed
from records.fields import Invite, PersonName
from records.requests import JSON, uuid_key
from records.responses import json_response
from records.users import SIGNUP_CONFLICT, User

app = api.resolver()


def _email(text: str) -> str:
    try:
        # No look-up: it would make signing up depend on somebody's name server. Test domains are as good as any.
        return validate_email(text, check_deliverability=False, test_environment=True, strict=True).normalized
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None


# Here and not in `records.fields`: importing the validator takes 25 ms, and no other function needs it.
Email = Annotated[str, Field(max_length=254), AfterValidator(_email)]


class NewUser(BaseModel):
    """Who signs up."""

    name: PersonName = Field(examples=["user1"])
    email: Email | None = Field(None, examples=["user1@mail.ru"])
    invite: Invite | None = Field(None, description="Where the operator asks for an invitation.", examples=["sesame"])


KEY = openapi.request_header(
    "Idempotency-Key",
    "For 24 hours the same key and body return the same user, so that a retry is safe.",
    "0b4cbd1c-5a4f-4b3a-9d8e-3a1f3a9c2b10",
    format="uuid",
)


@app.post(
    "/users",
    status_code=201,
    **openapi.operation(
        "createUser",
        "Sign up",
        {
            201: openapi.response(
                "The id and the token. Keep the token: it is not shown again.",
                openapi.ref("CreatedUser"),
                openapi.CREATED_USER,
            ),
            200: openapi.response(
                "The same id and token as before, for the same key and body.",
                openapi.ref("CreatedUser"),
                openapi.CREATED_USER,
            ),
            **openapi.refusals(
                openapi.BAD_JSON,
                EmailTaken(),
                IdempotencyConflict(SIGNUP_CONFLICT),
                openapi.NOT_JSON,
                InviteRequired(),
                TooManySignUps(1800),
                ValidationFailed(("name", "string should have at least 1 character")),
            ),
        },
        tag="users",
        parameters=[KEY],
    ),
)
def create_user(new: NewUser) -> Response[Any]:
    event = app.current_event.raw_event
    key = uuid_key(event)
    found = User.repeat(new.name, new.email, key) if key is not None and signups.restricted() else None
    if found is None:
        signups.admit(event["requestContext"]["http"].get("sourceIp") or "", new.invite)
        found = User.register(new.name, new.email, key)
    user_id, token, made = found
    return json_response(201 if made else 200, {"id": user_id, "token": token})


lambda_handler = api.handler(app, accepts={"/users": frozenset({JSON})})
aws.warm(User, storage=False)
