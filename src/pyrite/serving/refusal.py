"""What the server answers when it does not do what was asked: one shape for all errors."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

JSON = "application/json"


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """A request that gets an error for an answer."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Take what the answer says.

        Args:
            status: Of HTTP.
            code: Stable and machine-readable.
            message: One sentence for a person.
            headers: What goes with it.
        """
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


def busy(code: str, message: str) -> Refusal:
    """Return the answer of a server that has no room now, with when to come again."""
    return Refusal(503, code, message, {"Retry-After": "1"})


def error_body(code: str, message: str, request_id: str) -> bytes:
    """Return an error as JSON."""
    return msgspec.json.encode(error_content(code, message, request_id))


def error_content(code: str, message: str, request_id: str) -> dict[str, dict[str, str]]:
    """Return an error for JSON."""
    return {"error": {"code": code, "message": message, "request_id": request_id}}


def code_of(status: int) -> str:
    """Return the code of an error that has none but its status: `not_found` for 404."""
    try:
        return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
    except ValueError:
        return "error"
