"""What can be wrong with a request: one code, one line that says it, one that says what to do."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel

from voicelat.errors import VoicelatError

__all__ = ["STATUS", "Code", "Problem", "ProblemBody"]

Code = Literal[
    "unauthorised",
    "missing_scope",
    "needs_grant",
    "grant_invalid",
    "denied",
    "not_found",
    "invalid",
    "key_reused",
    "key_missing",
    "too_large",
    "busy",
    "internal",
]

STATUS: Final[dict[Code, int]] = {
    "unauthorised": 401,
    "missing_scope": 403,
    "needs_grant": 403,
    "grant_invalid": 403,
    "denied": 403,
    "not_found": 404,
    "invalid": 422,
    "key_reused": 409,
    "key_missing": 400,
    "too_large": 413,
    "busy": 503,
    "internal": 500,
}


class ProblemBody(BaseModel):
    """The JSON of every answer that is not a 200."""

    error: Code
    says: str
    fix: str


class Problem(VoicelatError):
    """A request that is refused, and why. Nothing was written."""

    def __init__(self, code: Code, says: str, fix: str) -> None:
        super().__init__(f"{says}; {fix}")
        self.code: Code = code
        self.body = ProblemBody(error=code, says=says, fix=fix)
