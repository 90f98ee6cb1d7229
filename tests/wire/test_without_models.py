"""What was written before zones used models is read; and where none is used, nothing is written."""

from __future__ import annotations

import msgspec
import pytest

from firedoor.wire.envelope import Envelope, checksum, decode_envelope, encode_envelope
from firedoor.wire.records import Attempts, BatchRecord, DeadEntry

ENVELOPE = Envelope(
    batch="s-000001", rows=1, frame_bytes=2, crc32=checksum(b"ab"), zone="s", zone_version="1",
    cut_s=1.0,
)  # fmt: skip
RECORD = BatchRecord(
    zone="s", batch="s-000001", zone_version="1", rows_in=1, rows_out=1, passed=1, began_s=1.0,
    ended_s=2.0, cut_s=1.0,
)  # fmt: skip
ENTRY = DeadEntry(
    zone="s", batch="s-000001", zone_version="1", rows=1, frame_bytes=2, crc32=0, groups=(),
    at_s=1.0, cut_s=1.0,
)  # fmt: skip


@pytest.mark.parametrize("value", [ENVELOPE, RECORD, ENTRY, Attempts()])
def test_who_knows_no_models_and_who_does_read_each_other(value: msgspec.Struct) -> None:
    written = msgspec.json.encode(value)
    assert b"models" not in written
    assert msgspec.json.decode(written, type=type(value)) == value
    scored = msgspec.json.encode(msgspec.structs.replace(value, models={"late": "late@3"}))
    assert b'"models":{"late":"late@3"}' in scored


def test_an_envelope_of_the_wire_version_before_is_read() -> None:
    older = encode_envelope(msgspec.structs.replace(ENVELOPE, wire=0))
    assert decode_envelope(older, b"ab").models == {}
