"""Access to the Hugging Face hub: what a repository is, whether it may be read, what went wrong.

The client itself respects HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE, HF_TOKEN and proxies. Tokens stay
inside it: nothing here reads, prints or stores one.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

from snakeval.errors import SourceError
from snakeval.sources.unavailable import Unavailable, Unreachable

Kind = Literal["model", "dataset"]
T = TypeVar("T")

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between tries
LONGEST_WAIT = 120.0  # seconds; a server may ask for more in Retry-After
PROBE_TIMEOUT = 15.0  # seconds
PERMISSION = "read access to public gated repositories"
UNKNOWN = "The log of this job has the whole error."
TRANSPORTS = ("httpx", "httpx2", "httpcore", "requests", "urllib3", "aiohttp")


def endpoint() -> str:
    """Return the address of the hub in use."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def page(repo: str, kind: Kind) -> str:
    """Return the address of a repository's page, where its licence is accepted."""
    return f"{endpoint()}/{'datasets/' if kind == 'dataset' else ''}{repo}"


def info(repo: str, kind: Kind, revision: str | None) -> Any:
    """Ask the hub about a repository: resolved commit (`sha`), files with sizes, licence.

    Raises:
        Unavailable: not reachable, not found, not allowed, no such revision.
    """
    from huggingface_hub import HfApi

    def ask() -> Any:
        return HfApi().repo_info(
            repo,
            repo_type=kind,
            revision=revision,
            timeout=PROBE_TIMEOUT,
            files_metadata=True,
        )

    try:
        return patiently(ask, repo, patient=False)
    except Exception as error:
        raise explain(error, repo, kind, revision) from error


def check_access(repo: str, kind: Kind, commit: str, file: str) -> None:
    """Ask for a file's header, which is refused where the file itself would be.

    A gated repository shows its description to everybody, so only this tells whether a download
    would work.

    Raises:
        Unavailable: with the licence page and the permission that is missing.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo, file, repo_type=kind, revision=commit)
    try:
        patiently(lambda: get_hf_file_metadata(url, timeout=PROBE_TIMEOUT), repo, patient=False)
    except Exception as error:
        raise explain(error, repo, kind, commit) from error


def text(repo: str, kind: Kind, commit: str, file: str) -> str:
    """Return a small file's text; nothing is kept.

    Raises:
        Unavailable: it cannot be had.
    """
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils._headers import build_hf_headers
    from huggingface_hub.utils._http import hf_raise_for_status

    def ask() -> str:
        address = hf_hub_url(repo, file, repo_type=kind, revision=commit)
        answer = get_session().get(address, headers=build_hf_headers(), timeout=PROBE_TIMEOUT)
        hf_raise_for_status(answer)
        return str(answer.text)

    try:
        return patiently(ask, repo, patient=False)
    except Exception as error:
        raise explain(error, repo, kind, commit) from error


def patiently(call: Callable[[], T], what: str, patient: bool = True) -> T:
    """Call, and call again after a while where the hub is busy or the connection broke.

    Args:
        call: what to do.
        what: names it in the log.
        patient: also try again where no connection comes about at all. The first question to the
            hub is not patient, so that a machine without a network goes on to the next source.
    """
    for wait in WAITS:
        try:
            return call()
        except Exception as error:
            if not _passing(error, patient):
                raise
            wait = min(max(wait, _asked_wait(error)), LONGEST_WAIT)
            reason = type(_root(error)).__name__
            print(f"{what}: {reason}, trying again in {wait:.0f} s", file=sys.stderr)
        time.sleep(wait)
    return call()


def explain(error: Exception, repo: str, kind: Kind, revision: str | None) -> SourceError:
    """Say in one line what an error of the hub's client means and what to do."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import (
        EntryNotFoundError,
        FileMetadataError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, SourceError):
        return error
    root = _root(error)
    where = f"hub {repo}"

    def failed(got: str, expected: str, fix: str) -> Unavailable:
        return Unavailable(where, got, expected, fix)

    tokens = f"{endpoint()}/settings/tokens"
    if isinstance(root, HfHubHTTPError):
        status = root.response.status_code
        message = _server_message(root)
        said = message.lower()
        if isinstance(root, GatedRepoError) or (status in (401, 403) and "gated" in said):
            return _gated(failed, repo, kind, status, said, get_token() is not None)
        if isinstance(root, RevisionNotFoundError):
            return failed(
                f"no revision {revision}",
                "a commit, branch or tag of that repository",
                f"Mend the revision; {page(repo, kind)}/commits/main lists them.",
            )
        if isinstance(root, EntryNotFoundError):
            return failed(
                f"no file {root.response.url.path.split('/')[-1]} at revision {revision}",
                "that file in the repository",
                "Mend the file name or the revision.",
            )
        if status == 401 and ("credentials" in said or "expired" in said or "token" in said):
            return failed(
                "an access token that the hub refuses (401)",
                "a valid token, or none for a public repository",
                f"Make a new token at {tokens} and set HF_TOKEN, or run: hf auth login",
            )
        if isinstance(root, RepositoryNotFoundError) or status in (401, 404):
            return failed(
                f"not found ({status})",
                f"a {kind} repository that exists and that you may read",
                "Mend the name if it is misspelt; if the repository is private, set HF_TOKEN to a "
                "token that may read it.",
            )
        if status == 403:
            return failed(
                f"refused (403: {message or 'no reason given'})",
                "a token that may read this repository",
                f"Check the token's permissions at {tokens}.",
            )
        if status == 429:
            return failed(
                "too many requests (429)",
                "an answer",
                "Wait some minutes and run the same command again; with a token the limit is "
                "higher.",
            )
        return failed(
            f"error {status} of the hub ({message or 'no reason given'})",
            "an answer",
            "Wait a while and run the same command again.",
        )
    if isinstance(root, OSError) and root.errno in (errno.ENOSPC, errno.EDQUOT):
        return failed(
            "a full disk",
            f"space in {constants.HF_HUB_CACHE}",
            "Free space there, or set HF_HOME to a folder on a larger disk; what is "
            "already here is kept.",
        )
    if isinstance(root, OfflineModeIsEnabled) or constants.is_offline_mode():
        return Unreachable(
            where,
            f"offline mode (HF_HUB_OFFLINE is set), and not in {constants.HF_HUB_CACHE}",
            "files that were fetched before",
            "Fetch them once with HF_HUB_OFFLINE unset and the same HF_HOME, or give the source "
            "as a path.",
        )
    if isinstance(root, FileMetadataError):
        return failed(
            f"answers from {endpoint()} that are not a hub's",
            "a Hugging Face hub or a mirror of it",
            "Check HF_ENDPOINT, the proxy, and whether this network asks for a login first.",
        )
    if _is_transport(root) or isinstance(root, (LocalEntryNotFoundError, ConnectionError)):
        proxy = " through the proxy" if type(root).__name__ == "ProxyError" else ""
        return Unreachable(
            where,
            f"no connection to {endpoint()}{proxy} ({type(root).__name__})",
            "a network, or files that are already here",
            "This machine cannot reach the hub: run the fetch on one that can, such as a login "
            "node, with the same HF_HOME, or give the files as "
            f"{'data_dir' if kind == 'dataset' else 'a path'}.",
        )
    if isinstance(root, HFValidationError):
        return failed("a name that no repository can have", "org/name", "Mend the name.")
    return failed(
        f"{type(root).__name__}: {str(root)[:300]}",
        f"a {kind} that loads",
        UNKNOWN,
    )


def is_unknown(error: SourceError) -> bool:
    """Tell whether `explain` did not know the error, so that the log should hold all of it."""
    return error.fix == UNKNOWN


def _gated(
    failed: Callable[[str, str, str], Unavailable],
    repo: str,
    kind: Kind,
    status: int,
    said: str,
    has_token: bool,
) -> Unavailable:
    """Tell the four ways apart in which a gated repository is closed."""
    licence, tokens = page(repo, kind), f"{endpoint()}/settings/tokens"
    if not has_token:
        return failed(
            "a gated repository, and no access token",
            f'a token with the permission "{PERMISSION}"',
            f"Accept the licence at {licence}, make such a token at {tokens}, and set HF_TOKEN or "
            "run: hf auth login",
        )
    if "fine-grained" in said or "token settings" in said:
        return failed(
            "a gated repository, and a token that may not read those",
            f'a token with the permission "{PERMISSION}"',
            f"Add that permission to the token at {tokens}; the licence is at {licence}",
        )
    if "awaiting" in said or "pending" in said:
        return failed(
            "a gated repository that has not granted your request yet",
            "an accepted request",
            f"Wait for its owners; {licence} shows the state.",
        )
    if status == 401:
        return failed(
            "a gated repository, and a token that the hub refuses (401)",
            f'a valid token with the permission "{PERMISSION}"',
            f"Make one at {tokens} and set HF_TOKEN; the licence is at {licence}",
        )
    return failed(
        "a gated repository, and an account that has not accepted its licence",
        f'an accepted licence, and a token with the permission "{PERMISSION}"',
        f"Accept the licence at {licence} with the account of the token.",
    )


def _server_message(error: Any) -> str:
    """Return what the server itself said, from its header or the client's text."""
    said = error.response.headers.get("X-Error-Message") or error.server_message or ""
    return " ".join(str(said).split())[:200]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _root(error: BaseException) -> BaseException:
    """Find the error that tells most among those it was raised from."""
    from huggingface_hub.errors import FileMetadataError, HfHubHTTPError, OfflineModeIsEnabled

    chain = list(_chain(error))
    tests: tuple[Callable[[BaseException], bool], ...] = (
        lambda e: isinstance(e, HfHubHTTPError),
        lambda e: isinstance(e, OfflineModeIsEnabled),
        _is_transport,
        lambda e: isinstance(e, FileMetadataError),
        lambda e: isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT),
    )
    for test in tests:
        for candidate in chain:
            if test(candidate):
                return candidate
    return error


def _is_transport(error: BaseException) -> bool:
    """Tell whether the connection itself failed (the client's HTTP library differs by version)."""
    from huggingface_hub.errors import HfHubHTTPError

    modules = {cls.__module__.split(".")[0] for cls in type(error).__mro__}
    return bool(modules & set(TRANSPORTS)) and not isinstance(error, HfHubHTTPError)


def _passing(error: BaseException, patient: bool) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    root = _root(error)
    if isinstance(root, HfHubHTTPError):
        return root.response.status_code in (408, 429, 500, 502, 503, 504)
    if _is_transport(root):
        no_connection = type(root).__name__ in ("ConnectError", "ConnectTimeout", "ProxyError")
        return patient or not no_connection
    return "Consistency check failed" in str(root)  # a connection that ended early, unnoticed


def _asked_wait(error: BaseException) -> float:
    response = getattr(_root(error), "response", None)
    try:
        return float(response.headers["Retry-After"]) if response is not None else 0.0
    except (KeyError, ValueError):
        return 0.0
