"""A way to a version on which requests take longer, in virtual time."""

from __future__ import annotations

import pytest

from firedoor.compose.slow_link import SlowLink
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import ScriptedVariant
from firedoor.wire.route import Arm
from firedoor.wire.serving import Ask, Form, Outcome, Told

CLOCK = VirtualClock()
ARM = Arm(model="late", version=1, digest="1" * 64)


def ask(body: bytes = b"{}", within_s: float = 5.0) -> Ask:
    return Ask(Form.ROWS, body, deadline_s=CLOCK.now_s() + within_s)


@pytest.mark.parametrize(
    ("delay_s", "within_s", "outcome", "after_s"),
    [
        (0.0, 5.0, Outcome.OK, 0.0),
        (0.5, 5.0, Outcome.OK, 0.5),
        (0.5, 0.2, Outcome.LATE, 0.2),
        (0.5, -1.0, Outcome.LATE, 0.0),
    ],
)
def test_an_answer_comes_later_or_not_within_its_time(
    delay_s: float, within_s: float, outcome: Outcome, after_s: float
) -> None:
    async def story() -> None:
        variant = ScriptedVariant(ARM)
        link = SlowLink(variant, lambda _: delay_s, CLOCK)
        began_s = CLOCK.now_s()
        told = await link.ask(ask(within_s=within_s))
        assert told.outcome is outcome
        assert CLOCK.now_s() - began_s == pytest.approx(after_s)
        assert variant.number == (outcome is Outcome.OK), "what is late is not asked besides"

    run(story())


def test_others_pass_meanwhile_and_who_has_left_disturbs_nobody() -> None:
    async def story() -> None:
        link = SlowLink(ScriptedVariant(ARM), lambda one: float(one.body == b"slow"), CLOCK)
        heard: list[Told] = []
        left = link.ask(ask(b"slow"))
        assert not isinstance(left, Told)
        left.cancel()  # type: ignore[attr-defined]
        link.post(ask(b"slow"), heard.append)
        began_s = CLOCK.now_s()
        assert (await link.ask(ask(b"quick"))).outcome is Outcome.OK
        assert (CLOCK.now_s(), heard) == (began_s, [])
        await CLOCK.wait(1.5)
        assert [told.outcome for told in heard] == [Outcome.OK]

    run(story())
