"""Mailboxes (.mbox) as events: who wrote, when, about what."""

import mailbox
from email.utils import parseaddr, parsedate_to_datetime

import pyarrow as pa

from propend.connectors import Located, Origin
from propend.errors import SourceNotFoundError, SourceUnreadableError

COLUMNS = {"customer_id": pa.string(), "at": pa.timestamp("us", "UTC"), "event": pa.string(), "subject": pa.string()}


class MailboxConnector:
    name = "mailbox"

    def accepts(self, origin: Origin) -> bool:
        return all(path.endswith(".mbox") for path in origin.paths)

    def locate(self, origin: Origin) -> Located:
        rows = [row for path in origin.paths for row in self._mails(origin, path)]
        return Located(origin.name, "mbox", tables=(pa.Table.from_pylist(rows, pa.schema(COLUMNS)),))

    def _mails(self, origin: Origin, path: str) -> list[dict]:
        place = origin.folder / path
        if not place.is_file():
            raise SourceNotFoundError(f"There is no mailbox {path!r}.", "correct the path.", path=path)
        box = mailbox.mbox(place, create=False)
        try:
            return [self._event(mail) for mail in box]
        except (TypeError, ValueError) as error:
            raise SourceUnreadableError(f"{path!r} is torn: {error}.", "export it again.", path=path) from error
        finally:
            box.close()

    def _event(self, mail: mailbox.mboxMessage) -> dict:
        who, at = parseaddr(mail["From"])[1], parsedate_to_datetime(mail["Date"])
        return {"customer_id": who, "at": at, "event": "mail", "subject": mail["Subject"]}
