"""What a path says of itself: to people, to faces, and to the control plane."""

from __future__ import annotations

from typing import Literal

from firedoor.gateway.features import GroupFacts
from firedoor.gateway.parts import Parts
from firedoor.gateway.services import Failing, Sample, ServiceFacts, ServiceMetadata, VariantShown
from firedoor.gateway.versions import Held, Live
from firedoor.wire.evidence import Evidence
from firedoor.wire.serving import Outcome

Arm = Literal["champion", "candidate", "previous"]


def not_begun(parts: Parts, *, plainly: bool = False) -> str:
    """Return why no version answers at all; ``plainly``: as callers are told it."""
    route = parts.versions.route
    if route is None:
        return f"{parts.plan.name} has no route yet: no version of its model was named to answer"
    because = parts.versions.failure(route.champion)
    if because and plainly:
        because = "it cannot be loaded, and `firedoor status` says why"
    return f"{route.champion.name} is not there yet: {because or 'it is loading'}"


def weight(parts: Parts, live: Live) -> float:
    """Return the candidate's share that is in force."""
    if live.candidate is None or parts.trial.trips.tripped or parts.killed("candidate"):
        return 0.0
    if parts.lease.lapsed(live.route.lease_s, parts.clock.now_s()):
        return 0.0
    return live.split.weight


def facts(parts: Parts) -> ServiceFacts:
    """Return how a service is now."""
    live, now_s = parts.versions.live, parts.clock.now_s()
    if live is None:
        return ServiceFacts(
            ready=False, because=not_begun(parts), failing=_failing(parts), samples=_samples(parts)
        )
    ordered = parts.killed("route") or parts.killed("model")
    ready = not ordered and _answers(live)
    log = parts.log
    return ServiceFacts(
        ready=ready,
        because="; ".join(_complaints(parts, live)),
        failing=_failing(parts),
        ordered=ordered,
        variants=tuple(_shown(held, live) for held in _named(parts)),
        generation=parts.versions.followed,
        mode=live.route.mode,
        weight=weight(parts, live),
        lease_age_s=None if parts.lease.seen_s is None else parts.lease.age_s(now_s),
        shed=parts.slots.refused,
        limit=float(parts.slots.size),
        log_written=0 if log is None else log.written,
        log_dropped=0 if log is None else log.dropped,
        samples=_samples(parts),
    )


def metadata(parts: Parts, version: str) -> ServiceMetadata | None:
    """Return what a version takes; None: there is no such version here."""
    live = parts.versions.live
    if live is None:
        return None if version else ServiceMetadata(doc=parts.plan.doc)
    held = [one for one in (live.champion, live.candidate, live.previous) if one is not None]
    versions = tuple(dict.fromkeys(str(one.arm.version) for one in held))
    named = [one for one in held if version in ("", str(one.arm.version))]
    if not named:
        return None
    manifest = named[0].variant.manifest
    looked_up = {column for plan in parts.plan.features for column in plan.columns}
    signature = None if manifest is None else manifest.signature
    inputs = tuple(f for f in signature.inputs if f.name not in looked_up) if signature else ()
    taken = {field.name for field in inputs}
    keys = dict.fromkeys(key for plan in parts.plan.features for key in plan.keys)
    about = dict.fromkeys((parts.plan.key, *parts.plan.slices))
    return ServiceMetadata(
        inputs=inputs,
        outputs=signature.outputs if signature else (),
        keys=tuple(key for key in keys if key not in taken),
        about=tuple(column for column in about if column and column not in {*taken, *keys}),
        versions=versions,
        ready=named[0].state == "ready" if version else _answers(live),
        doc=parts.plan.doc,
    )


def evidence(parts: Parts, at_s: float) -> Evidence:
    """Return what was counted of a rollout."""
    parts.look_for_trips()
    route, trial = parts.versions.route, parts.trial
    variants: dict[str, str] = {}
    deaths: dict[str, int] = {}
    for held in _named(parts):
        how = held.variant.facts
        plain = how.state == "ready" or not how.because  # of one that is ready these are notes
        variants[held.name] = how.state if plain else f"{how.state}: {how.because}"
        deaths[held.name] = how.deaths
    for arm in (route.champion, route.candidate) if route else ():
        if arm is not None and arm.name not in variants:
            variants[arm.name] = f"failed: {parts.versions.failure(arm) or 'it is not held'}"
    lease_s = route.lease_s if route else None
    return Evidence(
        service=parts.plan.name,
        gateway=parts.gateway,
        boot=parts.boot,
        at_s=at_s,
        generation=parts.versions.followed,
        rollout=trial.rollout,
        step=route.step if route else 0,
        arms=trial.tally.arms(),
        slices=trial.tally.slices(),
        pairs=trial.pairing.pairs(),
        slice_pairs=trial.pairing.slice_pairs(),
        disagree_sum=trial.pairing.disagree_sum,
        disagree_n=trial.pairing.disagree_n,
        latency=parts.latency.counts(),
        variants=variants,
        deaths=deaths,
        trips=dict(trial.trips.tripped),
        pack=trial.capture.failing,
        lapsed=parts.lease.lapsed(lease_s, parts.clock.now_s()),
        copies_dropped=parts.mirror.dropped,
    )


def _named(parts: Parts) -> tuple[Held, ...]:
    """Return what is held, each version once: the one that answers, where it is held twice."""
    live = parts.versions.live
    named = {held.name: held for held in reversed(parts.versions.held)}
    for held in (live.previous, live.candidate, live.champion) if live else ():
        if held is not None and held.name in named:
            named[held.name] = held
    return tuple(reversed(named.values()))


def _answers(live: Live) -> bool:
    """Return whether a version of the model answers."""
    held = (live.champion, live.previous)
    return any(one is not None and one.state == "ready" for one in held)


def _complaints(parts: Parts, live: Live) -> list[str]:
    """Return what is wrong, in sentences."""
    said = [live.pending] if live.pending else []
    said += parts.switches.told()
    for held in parts.versions.held:
        how = held.variant.facts
        if how.state != "ready" and not (live.pending and held.arm == live.route.champion):
            because = f": {how.because}" if how.because else ""
            said.append(f"the {_arm(held, live)} {held.name} is {how.state}{because}")
        trouble = held.trouble.told(parts.clock.now_s())
        if trouble:
            said.append(f"{held.name} fails at requests: {trouble}")
        if held.circuit.word != "closed":
            said.append(f"the breaker of {held.name} is {held.circuit.word}: {held.circuit.cause}")
    said += [f"{kind}: {why}" for kind, why in parts.trial.trips.tripped.items()]
    if live.candidate and parts.lease.lapsed(live.route.lease_s, parts.clock.now_s()):
        age_s = parts.lease.age_s(parts.clock.now_s())
        said.append(
            f"the control plane was not heard of for {age_s:.0f} s: all goes to the champion"
        )
    said += _beside(parts)
    said += _misnamed(parts, live)
    if parts.broken:
        said.append(f"beside requests: {parts.broken}")
    return said


def _misnamed(parts: Parts, live: Live) -> list[str]:
    """Return that the declared constant is no answer of this model, before it is needed as one."""
    constant, manifest = parts.plan.fallback.constant, live.champion.variant.manifest
    outputs = [] if manifest is None else [field.name for field in manifest.signature.outputs]
    if constant is None or not all(outputs) or not outputs or set(constant) == set(outputs):
        return []
    said, name = ", ".join(sorted(constant)), live.champion.name
    wanted = ", ".join(sorted(outputs))
    return [f"the fallback constant says {said}, where {name} says {wanted}: declare the same"]


def _beside(parts: Parts) -> list[str]:
    """Return what is wrong with what is asked beside versions."""
    said = []
    if parts.function is not None:
        how = parts.function.facts
        if how.state in ("backing_off", "failed"):
            said.append(f"the fallback function is {how.state}: {how.because}")
        elif parts.ladder.function_because:
            said.append(f"the fallback function did not answer: {parts.ladder.function_because}")
    for name, group in parts.lookups.facts().items() if parts.lookups is not None else ():
        if group.breaker != "closed":
            said.append(f"features {name} are not looked up: {group.because}")
    return said


def _failing(parts: Parts) -> tuple[Failing, ...]:
    """Return what is failed at lately, in the words of whose code it is."""
    now_s, found = parts.clock.now_s(), list[Failing]()
    for held in _named(parts):
        found += held.trouble.failing(held.name, now_s)
    if parts.ladder.function_because:
        ladder = parts.ladder
        found.append(Failing("fallback", ladder.function_because, ladder.function_text))
    for name, group in parts.lookups.facts().items() if parts.lookups is not None else ():
        if group.because:
            found.append(
                Failing(f"features.{name}", "nothing, or not all, was found", group.because)
            )
    return tuple(found)


def _arm(held: Held, live: Live) -> Arm:
    """Return the arm for which a version is held."""
    route = live.route
    if held is live.champion or held.arm == route.champion:
        return "champion"
    return "candidate" if held.arm == route.candidate else "previous"


def _shown(held: Held, live: Live) -> VariantShown:
    """Return how a version is."""
    how = held.variant.facts
    return VariantShown(
        name=held.name, arm=_arm(held, live), state=how.state, because=how.because,
        replicas=how.replicas, waiting=how.waiting, deaths=dict(how.deaths_by),
        memory_bytes=how.memory_bytes,
    )  # fmt: skip


def _samples(parts: Parts) -> tuple[Sample, ...]:
    """Return numbers for ``/metrics``."""
    samples: list[Sample] = []
    for held in _named(parts):
        labels = (("variant", held.name),)
        open_now = 0.0 if held.circuit.word in ("closed", "disabled") else 1.0
        samples += [
            Sample("breaker_open", "gauge", "1 while a breaker refuses.", labels, open_now),
            Sample(
                "breaker_refused", "counter", "Attempts that a breaker refused.", labels,
                float(held.circuit.turned),
            ),
        ]  # fmt: skip
        samples += [
            Sample(
                "attempts", "counter", "Attempts of a version, by how they ended.",
                (*labels, ("outcome", outcome.name.lower())), float(held.trouble.outcomes[outcome]),
            )
            for outcome in Outcome
            if held.trouble.outcomes[outcome]
        ]  # fmt: skip
    mirror, suspicions = parts.mirror, parts.attempts.suspicions
    samples += [
        Sample("copies", "counter", "Copies for the other version.", (), float(mirror.copied)),
        Sample(
            "copies_dropped", "counter", "Copies that found no room.", (), float(mirror.dropped)
        ),
        Sample(
            "suspects", "gauge", "Requests that a worker died of lately.", (),
            float(len(suspicions)),
        ),
        Sample("retry_tokens", "gauge", "Left of the retry budget.", (), parts.ladder.tokens),
    ]  # fmt: skip
    if parts.function is not None:
        broken = float(parts.ladder.broken)
        told = "Calls of the fallback function without an answer."
        samples.append(Sample("fallback_function_failed", "counter", told, (), broken))
    if parts.lookups is not None:
        for name, group in parts.lookups.facts().items():
            samples += _of_features(name, group)
    if parts.cache is not None:
        size = float(parts.cache.bytes)
        samples.append(Sample("cache_bytes", "gauge", "Of cached answers.", (), size))
    return tuple(samples)


def _of_features(name: str, group: GroupFacts) -> list[Sample]:
    """Return numbers of one group that is looked up."""
    labels = (("features", name),)
    shut = float(group.breaker != "closed")
    samples = [
        Sample("features_breaker_open", "gauge", "1 while a store is not asked.", labels, shut),
        Sample("features_calls", "counter", "Calls of a store.", labels, float(group.calls)),
        Sample("features_kept", "gauge", "Keys that are cached.", labels, float(group.entries)),
    ]
    samples += [
        Sample(
            "features_values", "counter", "Values that requests were given, by quality.",
            (*labels, ("code", code)), float(count),
        )
        for code, count in group.values.items()
    ]  # fmt: skip
    samples += [
        Sample(
            "features_bad", "counter", "Calls of a store that failed or were late; wrong values.",
            (*labels, ("kind", kind)), float(count),
        )
        for kind, count in (("failed", group.failed), ("late", group.late), ("wrong", group.wrong))
    ]  # fmt: skip
    return samples
