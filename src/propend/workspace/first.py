"""A workspace: a folder of instances, the first of them proposed and commented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from propend.document import write_yaml
from propend.errors import OutputExistsError, WriteFailedError
from propend.proposal import Proposal
from propend.workspace.settings import SETTINGS_FILE
from propend.writing import whole_file

INSTANCE_FILE = "first.yaml"
FIRST_LINE = (
    "# Proposed from a look at the data. Any line may be wrong: read, correct, then `propend check` this file.\n"
)
LAST_LINE = "# Days begin at midnight UTC; name your zone if yours do not: options: {time_zone: Europe/Berlin}\n"


def write_workspace(home: Path, proposal: Proposal | None) -> list[Path]:
    """Make a workspace folder, with a first instance if one was proposed; gives the files written.

    Raises:
        OutputExistsError: the instance file is there already.
        WriteFailedError: the folder cannot be written.
    """
    target = home / "instances" / INSTANCE_FILE
    if proposal is not None and target.exists():
        raise OutputExistsError(
            f"{target.name!r} is already in {str(target.parent)!r}.",
            "name another folder, or edit that file.",
        )
    settings = home / SETTINGS_FILE
    texts = {} if settings.exists() else {settings: "# A propend workspace: instances/*.yaml, runs under .propend/\n"}
    if proposal is not None:
        texts[target] = document_text(proposal)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            with whole_file(path) as file:
                file.write(text.encode())
    except OSError as error:
        raise WriteFailedError(
            f"The workspace {str(home)!r} cannot be written: {error.strerror}.", "name another folder."
        ) from None
    return list(texts)


def document_text(proposal: Proposal) -> str:
    """The proposed document for ``instances/``: each section under the reasons for what it says."""
    document = proposed_document(proposal)
    head = {"name": document["name"], "type": proposal.instance.type}
    parts = [FIRST_LINE + write_yaml(head)]
    for section in ("data", "events", "goal", "eligible"):
        reasons = "".join(f"# {_one_line(note.text)}\n" for note in proposal.notes if note.section == section)
        parts.append(reasons + (write_yaml({section: document[section]}) if section in document else ""))
    return "\n".join([*parts, LAST_LINE])


def proposed_document(proposal: Proposal) -> dict[str, Any]:
    """The proposed instance as it stands in ``instances/``: its paths are relative to the workspace around."""
    document = proposal.instance.document()
    if "events" in document["data"]:
        document["data"] = {"events": _shortest(document["data"].pop("events"))} | document["data"] | {"folder": ".."}
    return document


def _shortest(sources: list[Any]) -> Any:
    """A lone path needs no list around it."""
    return sources[0]["path"] if len(sources) == 1 and set(sources[0]) == {"path"} else sources


def _one_line(text: str) -> str:
    """Text that cannot end the comment it stands in: names of columns and kinds are other people's texts."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
