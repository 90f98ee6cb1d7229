from __future__ import annotations

import json
from pathlib import Path

from msgspec.structs import replace

from firedoor.adapters.nats.users import passwords, write_account, write_private
from firedoor.testing.conformance.store import make_plan


def test_an_account_is_for_its_owner_only_and_keeps_its_passwords(tmp_path: Path) -> None:
    folder, plan = tmp_path / "users", make_plan()
    small = replace(plan, zones=plan.zones[:2])
    assert len(write_account(folder, small)) == 4
    before = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    settings, *users = write_account(folder, plan)
    assert [path.name for path in users] == [
        "admin.json", "zone-intake.json", "zone-clean.json", "zone-store.json",
    ]  # fmt: skip
    for name, text in before.items():
        assert (folder / name).read_bytes() == text
    logins = [json.loads(path.read_bytes()) for path in users]
    assert [login["user"] for login in logins] == [
        "conformance-admin", "conformance-zone-intake", "conformance-zone-clean",
        "conformance-zone-store",
    ]  # fmt: skip
    assert len({login["password"] for login in logins}) == 4
    assert all(login["password"] in settings.read_text() for login in logins)
    assert {path.stat().st_mode & 0o777 for path in (settings, *users)} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_password_of_another_broker_is_not_used_for_our_own(tmp_path: Path) -> None:
    there = {"url": "nats://a", "user": "somebody", "password": "theirs", "external": True}
    write_private(tmp_path / "endpoint.json", json.dumps(there).encode())
    assert passwords(tmp_path, None)[None] != "theirs"
    ours = there | {"external": False, "password": "ours"}
    write_private(tmp_path / "endpoint.json", json.dumps(ours).encode())
    assert passwords(tmp_path, None)[None] == "ours"
