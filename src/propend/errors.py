"""Every refusal propend can give, one class per stable code.

A message states the facts with their numbers; the hint says what to do next. The same object is the
exception in Python, the JSON body of the API, the exit status of the CLI and the card on the page.
Run errors carry the numbers of the reference spec (section 7.2); codes under 300 are ours.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class PropendError(Exception):
    """Base of all coded errors.

    Attributes:
        code: stable text such as ``PROPEND-400``.
        symbol: stable upper-case name such as ``NOT_ENOUGH_OBJECTIVE``.
        exit_status: what the CLI exits with: 2 configuration, 3 data not sufficient, 4 model not good
            enough, 1 anything else.
        facts: the numbers in the message, by name.
    """

    number: ClassVar[int] = 0
    symbol: ClassVar[str] = "ERROR"
    stage: ClassVar[str] = "run"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts = facts

    @property
    def code(self) -> str:
        return f"PROPEND-{self.number}"

    def __str__(self) -> str:
        head = f"{self.code} {self.symbol}\n{self.message}"
        return f"{head}\nHint: {self.hint}" if self.hint else head

    def to_dict(self) -> dict[str, Any]:
        """The error as plain data: code, symbol, stage, message, hint and facts."""
        return {
            "code": self.code,
            "symbol": self.symbol,
            "stage": self.stage,
            "message": self.message,
            "hint": self.hint,
            "facts": dict(self.facts),
        }


def error_of(document: dict[str, Any]) -> PropendError:
    """The error that ``to_dict`` made a document of, of the same class; of an unknown code an unexpected one."""
    number = str(document.get("code", "")).rpartition("-")[2]
    kinds = {str(kind.number): kind for kind in _kinds(PropendError)}
    kind = kinds.get(number, UnexpectedError)
    error = kind.__new__(kind)
    PropendError.__init__(error, document["message"], document.get("hint", ""), **document.get("facts", {}))
    if isinstance(error, ConfigurationError):
        error.mistakes = tuple(Mistake(**m) for m in error.facts.get("mistakes", ()))
        error.document = "the instance"
    return error


def _kinds(kind: type[PropendError]) -> Iterator[type[PropendError]]:
    yield kind
    for lower in kind.__subclasses__():
        yield from _kinds(lower)


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in an instance document: where it stands, what it is, the nearest valid name."""

    place: str
    problem: str
    nearest: str = ""

    def __str__(self) -> str:
        tail = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        return f"{self.place}: {self.problem}{tail}"


class UnexpectedError(PropendError):
    """Something failed that propend has no words for: a fault of its own, or of what it runs on."""

    number, symbol = 1, "UNEXPECTED"

    @classmethod
    def of(cls, error: BaseException) -> UnexpectedError:
        """What is said of an exception that nobody expected."""
        first = next(iter(str(error).strip().splitlines()), "")
        return cls(
            f"{type(error).__name__}: {first:.500}" if first else type(error).__name__,
            "this is a fault of propend; PROPEND_DEBUG=1 shows where it happened, which helps to report it.",
            exception=type(error).__name__,
        )


# --- configuration (exit 2) -------------------------------------------------------------------------


_CORRECT, _CHECKED = "correct these places{}", "; `propend check` shows the effect before anything is trained."
_NO_INSTANCES = ("the command", "the destination", "the export", "the segment", "the installation", "this installation")
"""What else can have mistakes, by the name in the message."""


class ConfigurationError(PropendError):
    """The instance document is not valid; every mistake found is listed at once."""

    number, symbol, stage, exit_status = 100, "CONFIGURATION_INVALID", "configure", 2

    def __init__(self, mistakes: Sequence[Mistake], document: str = "the instance") -> None:
        count = len(mistakes)
        noun = "mistake" if count == 1 else "mistakes"
        lines = "\n".join(f"  {i}. {m}" for i, m in enumerate(mistakes, 1))
        super().__init__(
            f"{count} {noun} in {document}:\n{lines}",
            _CORRECT.format("." if document in _NO_INSTANCES else _CHECKED),
            mistakes=[{"place": m.place, "problem": m.problem, "nearest": m.nearest} for m in mistakes],
        )
        self.mistakes, self.document = tuple(mistakes), document

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[tuple[Mistake, ...], str]]:
        return type(self), (self.mistakes, self.document)


class SentenceError(PropendError):
    """The English sentence of a goal could not be read."""

    number, symbol, stage, exit_status = 101, "SENTENCE_NOT_UNDERSTOOD", "configure", 2


class OutputExistsError(PropendError):
    """The output folder holds something that is not an earlier run."""

    number, symbol, stage, exit_status = 102, "OUTPUT_EXISTS", "configure", 2


class InstanceNotFoundError(PropendError):
    """There is no such instance document, run or model."""

    number, symbol, stage, exit_status = 103, "NOT_FOUND", "configure", 2


class ProfileNotFoundError(PropendError):
    """The profile is not among the scored ones."""

    number, symbol, stage, exit_status = 104, "PROFILE_NOT_FOUND", "explain", 2


class NoBehaviourError(PropendError):
    """The goal's own event is the only kind of event there is (spec IN-14)."""

    number, symbol, stage, exit_status = 105, "NO_BEHAVIOUR_BESIDES_GOAL", "configure", 2


class WorkspaceNotFoundError(PropendError):
    """The folder is not a workspace, or its settings cannot be read."""

    number, symbol, stage, exit_status = 110, "WORKSPACE_NOT_FOUND", "workspace", 2


class CatalogUnavailableError(PropendError):
    """The catalog's database cannot be reached, or is of a newer propend."""

    number, symbol, stage, exit_status = 111, "CATALOG_UNAVAILABLE", "workspace", 1


class RunWaitingError(PropendError):
    """A run of the instance waits already: a second one would do the same."""

    number, symbol, stage, exit_status = 112, "RUN_WAITING_ALREADY", "workspace", 1


class StatusError(PropendError):
    """The instance or run is not in a state in which this can be done."""

    number, symbol, stage, exit_status = 113, "NOT_IN_THIS_STATE", "workspace", 2


class ChangedMeanwhileError(PropendError):
    """Somebody else changed it since it was read."""

    number, symbol, stage, exit_status = 114, "CHANGED_MEANWHILE", "workspace", 1


class RunCancelledError(PropendError):
    """The run was cancelled; nothing of it was kept."""

    number, symbol, stage, exit_status = 115, "RUN_CANCELLED", "run", 1


class RunInterruptedError(PropendError):
    """The process of the run ended before it was done; nothing of it was kept."""

    number, symbol, stage, exit_status = 116, "RUN_INTERRUPTED", "run", 1


class TimeLimitError(PropendError):
    """The run took longer than the workspace allows; nothing of it was kept."""

    number, symbol, stage, exit_status = 117, "TIME_LIMIT", "run", 1


class NotLoggedInError(PropendError):
    """Nobody is known to ask: no session, no token, or one that has expired (401 over HTTP)."""

    number, symbol, stage, exit_status = 130, "NOT_LOGGED_IN", "access", 1


class NotAllowedError(PropendError):
    """Whoever asks may not do this (403 over HTTP)."""

    number, symbol, stage, exit_status = 131, "NOT_ALLOWED", "access", 1


class TooManyAttemptsError(PropendError):
    """Too many log-ins failed lately (429 over HTTP)."""

    number, symbol, stage, exit_status = 132, "TOO_MANY_ATTEMPTS", "access", 1


class RequestInvalidError(PropendError):
    """A request is not what the route takes (422 over HTTP)."""

    number, symbol, stage, exit_status = 133, "REQUEST_INVALID", "request", 2


class KeyUsedError(PropendError):
    """An idempotency key came again with another request (409 over HTTP)."""

    number, symbol, stage, exit_status = 134, "IDEMPOTENCY_KEY_USED", "request", 1


class ServerBusyError(PropendError):
    """So much is being worked on that this has to wait for another time (503 over HTTP)."""

    number, symbol, stage, exit_status = 135, "SERVER_BUSY", "request", 1


class ServerUnreachableError(PropendError):
    """The client got no answer of propend from that address."""

    number, symbol, stage, exit_status = 136, "SERVER_UNREACHABLE", "request", 1


class ProviderFailedError(PropendError):
    """The OpenID provider cannot be reached, or does not answer as it should (502 over HTTP)."""

    number, symbol, stage, exit_status = 150, "PROVIDER_FAILED", "access", 1


class PolicyError(PropendError):
    """A policy forbids what a document does with a labelled field (spec CF-29)."""

    number, symbol, stage, exit_status = 140, "POLICY_FORBIDS", "configure", 2


class NoProfileGivenError(PropendError):
    """Somebody is to be forgotten, and no id was given (422 over HTTP)."""

    number, symbol, stage, exit_status = 141, "NO_PROFILE_GIVEN", "privacy", 2


class ForgettingFailedError(PropendError):
    """Something of a person could not be removed yet; it is tried again."""

    number, symbol, stage, exit_status = 142, "FORGETTING_FAILED", "privacy", 1


class EventsInvalidError(RequestInvalidError):
    """The events given to be scored cannot be read: a time, a number or a role is missing or of another form."""

    number, symbol, stage, exit_status = 160, "EVENTS_NOT_UNDERSTOOD", "score", 2


class EventsAfterCutoffError(RequestInvalidError):
    """Events given to be scored are of the cutoff or later: what is foretold would be known."""

    number, symbol, stage, exit_status = 161, "EVENTS_AFTER_CUTOFF", "score", 2


class NotForLiveError(StatusError):
    """The run keeps nothing to compare a single profile with: it was made by an earlier propend."""

    number, symbol, stage, exit_status = 162, "NOT_FOR_LIVE_SCORING", "score", 2


class ScoresGoneError(InstanceNotFoundError):
    """The scores of a run have been removed."""

    number, symbol, stage, exit_status = 163, "SCORES_GONE", "explain", 2


class DifferentQuestionsError(PropendError):
    """Runs or models that are to be held against each other ask different questions."""

    number, symbol, stage, exit_status = 120, "DIFFERENT_QUESTIONS", "evaluate", 2


class NoOutcomeKnownError(PropendError):
    """Of no run the outcome is known: no window has matured, or the data are of other profiles."""

    number, symbol, stage, exit_status = 121, "NO_OUTCOME_KNOWN", "evaluate", 3


class NoFairComparisonError(PropendError):
    """Since both models were trained, no outcome window has passed: one would be judged on what it has seen."""

    number, symbol, stage, exit_status = 122, "NO_FAIR_COMPARISON", "evaluate", 3


# --- sources (exit 2: the document points at something that cannot be read) ---------------------------


class SourceNotFoundError(PropendError):
    """A path or glob matches no file."""

    number, symbol, stage, exit_status = 200, "SOURCE_NOT_FOUND", "read", 2


class SourceUnreadableError(PropendError):
    """A file is there and cannot be read as what it claims to be."""

    number, symbol, stage, exit_status = 201, "SOURCE_UNREADABLE", "read", 2


class LibraryMissingError(PropendError):
    """What a source is kept in is read by a library that is not installed."""

    number, symbol, stage, exit_status = 210, "LIBRARY_MISSING", "read", 2


class SourceChangedError(SourceUnreadableError):
    """A file of a source vanished, or was cut, between being found and being read."""

    number, symbol, stage, exit_status = 211, "SOURCE_CHANGED", "read", 2


class ColumnNotFoundError(PropendError):
    """A column named in the mapping, or needed and not guessable, is not in the data."""

    number, symbol, stage, exit_status = 202, "COLUMN_NOT_FOUND", "read", 2


class ColumnTypeError(PropendError):
    """A column's values do not fit the role it was given."""

    number, symbol, stage, exit_status = 203, "COLUMN_TYPE", "read", 2


class NotXdmEventsError(PropendError):
    """A source that should hold XDM ExperienceEvents holds something else."""

    number, symbol, stage, exit_status = 206, "NOT_XDM_EVENTS", "read", 2


class IdentityNotFoundError(PropendError):
    """XDM data have no identity, or not the one that is named (spec ID-05)."""

    number, symbol, stage, exit_status = 214, "IDENTITY_NOT_FOUND", "read", 2


class NamespacesDifferError(PropendError):
    """Sources tell profiles apart by identities of different namespaces (spec ID-02)."""

    number, symbol, stage, exit_status = 215, "NAMESPACES_DIFFER", "read", 2


class StitchedElsewhereError(PropendError):
    """Several ids are to be one profile, and the engine that was asked for does not join them."""

    number, symbol, stage, exit_status = 212, "STITCHED_ELSEWHERE", "read", 2


class WriteFailedError(PropendError):
    """Results could not be written; nothing half-written was left."""

    number, symbol, stage, exit_status = 204, "WRITE_FAILED", "write", 1


class NotEnoughMemoryError(PropendError):
    """The engine could not finish within its memory and disk."""

    number, symbol, stage, exit_status = 205, "NOT_ENOUGH_MEMORY", "read", 1


class DatabaseUnreachableError(PropendError):
    """A database cannot be reached: no such host or file, wrong password, no driver, no answer in time."""

    number, symbol, stage, exit_status = 207, "DATABASE_UNREACHABLE", "read", 2


class DatabaseRefusedError(PropendError):
    """A database answers, and does not give what is asked for: no such table, no right to read it, too slow."""

    number, symbol, stage, exit_status = 208, "DATABASE_REFUSED", "read", 2


class MirrorFailedError(PropendError):
    """The mirror of a database's table cannot be kept, and reading everything again does not mend it."""

    number, symbol, stage, exit_status = 209, "MIRROR_FAILED", "read", 1


# --- destinations ---------------------------------------------------------------------------------------------


class DestinationNotFoundError(InstanceNotFoundError):
    """There is no such destination, or no such kind of one."""

    number, symbol, stage, exit_status = 260, "DESTINATION_NOT_FOUND", "push", 2


class PushFailedError(PropendError):
    """Scores could not be pushed now; what was there before stands, and another try may succeed."""

    number, symbol, stage, exit_status = 261, "PUSH_FAILED", "push", 1


class DestinationRefusedError(PropendError):
    """Scores may not go there: a folder or an address that is not allowed, a table that others fill."""

    number, symbol, stage, exit_status = 262, "DESTINATION_REFUSED", "push", 2


class OlderRunError(PropendError):
    """A newer run was pushed there already."""

    number, symbol, stage, exit_status = 263, "OLDER_RUN", "push", 2


class NotEnrichedError(StatusError):
    """The scores of an instance do not enrich profiles: they stand beside no others."""

    number, symbol, stage, exit_status = 264, "NOT_ENRICHED", "push", 2


class NotKeptError(PropendError):
    """A rule asks for what a run does not keep of its profiles."""

    number, symbol, stage, exit_status = 265, "NOT_KEPT", "score", 2


# --- run errors, numbered as in the reference spec, section 7.2 ----------------------------------------


class NotEnoughObjectiveError(PropendError):
    """Fewer profiles met the goal than the minimum."""

    number, symbol, stage, exit_status = 400, "NOT_ENOUGH_OBJECTIVE", "train", 3


class NotEnoughPopulationError(PropendError):
    """Too few eligible profiles, or too few that did not meet the goal."""

    number, symbol, stage, exit_status = 401, "NOT_ENOUGH_POPULATION", "train", 3


class BadModelError(PropendError):
    """No model of acceptable quality."""

    number, symbol, stage, exit_status = 402, "BAD_MODEL", "train", 4


class IneligibleScoresError(PropendError):
    """The scores' distribution is far from what the proof period leads one to expect."""

    number, symbol, stage, exit_status = 403, "INELIGIBLE_SCORES", "score", 4


class NoScoringDataError(PropendError):
    """No events in the scoring eligibility window."""

    number, symbol, stage, exit_status = 405, "NO_SCORING_DATA", "score", 3


class NotEnoughHistoryError(PropendError):
    """Fewer days of history than eligibility and outcome window need."""

    number, symbol, stage, exit_status = 407, "NOT_ENOUGH_HISTORICAL_EVENT_DATA", "train", 3


class NoRecentDataError(PropendError):
    """The eligible population has no behaviour in the last days before now."""

    number, symbol, stage, exit_status = 408, "NO_RECENT_DATA_FOR_ELIGIBLE_POPULATION", "score", 3


class NoObjectiveError(PropendError):
    """Nobody met the goal."""

    number, symbol, stage, exit_status = 409, "NO_OBJECTIVE", "train", 3


class NoPopulationError(PropendError):
    """Nobody is eligible."""

    number, symbol, stage, exit_status = 410, "NO_POPULATION", "train", 3


class NoInputDataError(PropendError):
    """Neither events nor attributes are left after preparation."""

    number, symbol, stage, exit_status = 411, "NO_INPUT_DATA_AFTER_ETL", "prepare", 3


class NoEventDataError(PropendError):
    """No events are left after preparation (attributes are there)."""

    number, symbol, stage, exit_status = 412, "NO_EVENT_DATA_AFTER_ETL", "prepare", 3


class SingleValueError(PropendError):
    """Everybody met the goal: there are no negatives."""

    number, symbol, stage, exit_status = 413, "SINGLE_VALUE_IN_OBJECTIVE", "train", 3


class NoInfluentialFactorsError(PropendError):
    """The model's contributions name no usable factor."""

    number, symbol, stage, exit_status = 414, "NO_INFLUENTIAL_FACTORS", "explain", 4


_OF_THE_DISK = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or have the quota raised",
    errno.EIO: "see to the disk: it fails, and what is on it may be damaged",
    errno.EROFS: "see to the disk: it was mounted to be read, as systems do after errors",
    errno.EACCES: "see to the rights of the folder",
    errno.EPERM: "see to the rights of the folder",
    errno.EFBIG: "see to the limit of the size of files (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files",
}
"""What a disk, or a limit of the system, refuses with, and what helps."""


def told_of(error: BaseException, doing: str = "Something could not be written") -> PropendError:
    """What is said of an exception: of a disk that refuses what it says and how much is free, of memory that there was
    not enough; else it was not expected.

    Args:
        doing: what was being done, as the beginning of a sentence.
    """
    if isinstance(error, PropendError):
        return error
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return NotEnoughMemoryError(
            f"There was not enough memory ({first_line(error)}).",
            "end other processes or give this one more, then do it again; what there was before stands.",
        )
    if not isinstance(error, OSError) or error.errno not in _OF_THE_DISK:
        return UnexpectedError.of(error)
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    free = free_near(place)
    where = f" ({place!r})" if place else ""
    return WriteFailedError(
        f"{doing}: {error.strerror}{where}; {free / 1e6:,.0f} MB are free there.",
        f"{_OF_THE_DISK[error.errno]}, then do it again; what there was before stands.",
        path=place, free_bytes=free,
    )  # fmt: skip


def free_near(place: str) -> int:
    """Free bytes of the disk that a path is on, whether it is there or not; an empty one is where the process works."""
    path = os.path.abspath(place)  # noqa: PTH100  a name may be too long for others to ask for it
    while not os.path.exists(path) and path != os.path.dirname(path):  # noqa: PTH110, PTH120
        path = os.path.dirname(path)  # noqa: PTH120
    return shutil.disk_usage(path).free


def first_line(error: Exception) -> str:
    """What a library says of its error, without what follows the first line; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
