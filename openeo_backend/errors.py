"""The one error type of this back-end.

Everything a user may learn about a failure is an :class:`OpenEOError`: a code of the openEO API
(or an exception named in a process specification), a plain message, and where in the graph it happened.
Any other exception is internal: users see only an id that leads the operator to the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: HTTP status of each standard openEO error code (API 1.2.0, errors.json). Exceptions named in process
#: specifications are not in this table: they are the user's to mend and map to 400.
STATUS: dict[str, int] = {
    "Internal": 500,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "FeatureUnsupported": 501,
    "InfrastructureMaintenance": 503,
    "InfrastructureBusy": 503,
    "TooManyRequests": 429,
    "UnsupportedApiVersion": 404,
    "RequestTimeout": 408,
    "RequestTooLarge": 413,
    "RequestInvalid": 400,
    "BudgetInvalid": 400,
    "EstimateComplexity": 500,
    "NoDataForUpdate": 400,
    "PropertyNotEditable": 400,
    "CollectionNotFound": 404,
    "StorageFailure": 500,
    "StorageQuotaExceeded": 400,
    "FileNotFound": 404,
    "FilePathInvalid": 400,
    "FileOperationUnsupported": 400,
    "FolderOperationUnsupported": 400,
    "ContentTypeInvalid": 400,
    "FileTypeInvalid": 400,
    "FileSizeExceeded": 400,
    "FileContentInvalid": 400,
    "FileLocked": 400,
    "ProcessGraphNotFound": 404,
    "ProcessInvalid": 400,
    "ProcessGraphMissing": 400,
    "ProcessGraphInvalid": 400,
    "PredefinedProcessExists": 400,
    "ProcessGraphComplexity": 400,
    "ProcessUnsupported": 400,
    "ProcessParameterUnsupported": 400,
    "ProcessParameterInvalid": 400,
    "ProcessParameterRequired": 400,
    "ProcessParameterMissing": 400,
    "ProcessNamespaceInvalid": 400,
    "JobNotFound": 404,
    "JobLocked": 400,
    "JobNotFinished": 400,
    "JobNotStarted": 400,
    "ResultLinkExpired": 410,
    "PaymentRequired": 402,
    "BillingPlanInvalid": 400,
    "BillingPlanMissing": 400,
    "AuthenticationRequired": 401,
    "AuthenticationSchemeInvalid": 403,
    "TokenInvalid": 403,
    "CredentialsInvalid": 403,
    "PermissionsInsufficient": 403,
    "ServiceNotFound": 404,
    "ServiceUnsupported": 400,
    "ServiceConfigUnsupported": 400,
    "ServiceConfigInvalid": 400,
    "ServiceConfigRequired": 400,
}


#: What may be a secret in URLs: user and password, and members of queries that prove who somebody is.
_SECRETS = re.compile(
    r"(?i)(://(?:[^/\s@'\"?#:]*:)?)[^/\s@'\"?#]+(?=@)"
    r"|([?&;][\w.%-]{0,40}(?:sig|token|passw|secret|key|credential|auth)[\w.%-]{0,40}=)[^&;\s'\"<>]+"
)


#: Longest message: what users send is quoted in messages, and every message is logged.
LONGEST = 20_000


def conceal_urls(text: str) -> str:
    """A text without what may be a secret in the URLs in it."""
    return _SECRETS.sub(lambda match: f"{match[1] or match[2]}***", text)


@dataclass(frozen=True)
class NodeRef:
    """A node on the way to a failure, as log entries name it (`path` of an openEO log entry)."""

    node_id: str
    process_id: str
    argument: str | None = None

    def json(self) -> dict[str, str]:
        entry = {"node_id": self.node_id, "process_id": self.process_id}
        if self.argument:
            entry["parameter"] = self.argument
        return entry


class OpenEOError(Exception):
    """A failure told to the user.

    :param code: an openEO error code or an exception name of a process specification.
    :param message: what failed and why, in plain words; `describe` puts the node in front of it. Secrets in URLs in it
        are not kept.
    :param hint: what the user can do about it, appended as a sentence of its own.
    :param path: the nodes from the outermost graph to the failing one.
    :param status: the HTTP status; by default the standard one of the code, else 400.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        path: Iterable[NodeRef] = (),
        status: int | None = None,
        data: Any = None,
    ) -> None:
        message = conceal_urls(message if len(message) <= LONGEST else f"{message[:LONGEST]}...")
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.hint = hint
        self.path = tuple(path)
        self.status = status if status is not None else STATUS.get(code, 400)
        self.data = data

    def __str__(self) -> str:
        return f"{self.code}: {self.describe()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.code, self.message, self.hint, self.path, self.status, self.data)

    def at(self, path: Iterable[NodeRef]) -> OpenEOError:
        """The same error with a path, unless it has one already."""
        if not self.path:
            self.path = tuple(path)
        return self

    def describe(self) -> str:
        """The whole message for people: where, what, and what to do."""
        where = ""
        if self.path:
            last = self.path[-1]
            where = f"Node '{last.node_id}' ({last.process_id}): "
            if last.argument:
                where = f"Node '{last.node_id}' ({last.process_id}), argument '{last.argument}': "
        hint = f" {self.hint}" if self.hint else ""
        return f"{where}{self.message}{hint}"

    def json(self) -> dict[str, Any]:
        """The openEO error object without `id`, which the boundary that reports it adds."""
        body: dict[str, Any] = {"code": self.code, "message": self.describe(), "links": []}
        if self.path:
            body["path"] = [node.json() for node in self.path]
        if self.data is not None:
            body["data"] = self.data
        return body


def refuse_options(options: Mapping[str, Any] | None) -> None:
    """Refuse options of a process that has none of its own.

    :raises OpenEOError: FeatureUnsupported, naming them.
    """
    if options:
        raise OpenEOError(
            "FeatureUnsupported",
            f"The options {', '.join(map(repr, options))} are not supported: this back-end has no options here.",
            hint="Leave them out.",
        )


def _restore(
    code: str, message: str, hint: str | None, path: tuple[NodeRef, ...], status: int, data: Any
) -> OpenEOError:
    return OpenEOError(code, message, hint=hint, path=path, status=status, data=data)
