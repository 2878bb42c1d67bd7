"""The functions as they are deployed, in this process, over AWS in its memory, with one user signed up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import aws
from benchmarks.common import Cost, become_lambda, cost

MAX_DIRECT_BYTES = 4_613_734


class Service:
    def __init__(self) -> None:
        become_lambda()
        self.memory = aws.install()

        from records.users import User
        from tests.support.client import Context, function, http_event

        self._event, self._context, self._function = http_event, Context, function
        self.user, self.token, _ = User.register("user1", None)

    def direct(self, path: Path, form: bool = False) -> Cost:
        """POST /records with the file, as the body itself or in a form."""
        headers, body = {"content-type": "audio/wav"}, path.read_bytes()
        if form:
            from tests.support.client import form as made

            headers, body = made(("user_id", None, str(self.user).encode()), ("audio", path.name, body))
        headers |= {"authorization": f"Bearer {self.token}"}
        event = self._event("POST", f"/records?user_id={self.user}", headers, body)
        handler, context = self._function("create_record").lambda_handler, self._context()
        answers: list[dict[str, Any]] = []
        found = cost(lambda: answers.append(handler(event, context)))
        assert answers[0]["statusCode"] == 201, answers
        return found

    def uploaded(self, path: Path) -> Cost:
        """The event of a WAV that has arrived in the bucket."""
        from records.recordings import READY, Recording
        from records.users import User

        row = Recording.reserve(User(f"user#{self.user}", id=self.user), "a.wav", None, audio=None)
        self.memory.objects[row.upload_key] = str(path)
        event = {"Records": [{"s3": {"object": {"key": row.upload_key, "size": path.stat().st_size}}}]}
        handler, context = self._function("convert_upload").lambda_handler, self._context(seconds=900.0)
        found = cost(lambda: handler(event, context))
        assert Recording.find(self.user, row.id).status == READY
        self.memory.objects.clear()
        return found

    def get(self, record_id: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[Cost, int]:
        """GET /record. Returns the cost, and the answer's status."""
        event = self._event(method, f"/record?id={record_id}&user={self.user}", headers)
        handler, context = self._function("get_record").lambda_handler, self._context()
        answers: list[dict[str, Any]] = []
        found = cost(lambda: answers.append(handler(event, context)))
        return found, answers[0]["statusCode"]
