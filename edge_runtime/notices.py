"""What a pipeline says beside results, as JSON bytes: gap records and alerts.

By gap.schema.json and alert.schema.json, which lie beside this module.
"""

from __future__ import annotations

from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING

from .times import rfc3339
from .wire import SCHEMA

if TYPE_CHECKING:
    from .frame import Identity
    from .outbox.gap import Gap


class Notices:
    """Makes those of one pipeline."""

    def __init__(self, identity: Identity) -> None:
        self._who = f'"device":{quote(identity.device)},"pipeline":{quote(identity.pipeline)}'

    def gap(self, gap: Gap) -> bytes:
        """A gap record."""
        text = (
            f'{{"schema":{SCHEMA},"id":{quote(gap_key(gap))},{self._who},'
            f'"source":{quote(gap.source)},"run":{quote(gap.run)},"first_seq":{gap.first_seq},'
            f'"last_seq":{gap.last_seq},"count":{gap.count},"first":"{rfc3339(gap.first_ns)}",'
            f'"last":"{rfc3339(gap.last_ns)}","reason":{quote(gap.reason)}}}'
        )
        return text.encode("utf-8", "replace")

    def alert(self, key: str, timestamp_ns: int, kind: str, text: str, *, cleared: bool) -> bytes:
        """An alert; `key` is its id."""
        document = (
            f'{{"schema":{SCHEMA},"id":{quote(key)},{self._who},'
            f'"timestamp":"{rfc3339(timestamp_ns)}","kind":{quote(kind)},"text":{quote(text)},'
            f'"cleared":{str(cleared).lower()}}}'
        )
        return document.encode("utf-8", "replace")


def gap_key(gap: Gap) -> str:
    """The id of a gap record."""
    return f"gap-{gap.id:x}"
