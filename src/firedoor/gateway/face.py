"""The routes of a gateway: who answers which path, and what each one says.

| Path | |
|---|---|
| ``POST /predict``, ``/predict/SERVICE`` | plain JSON |
| ``POST /labels``, ``/labels/SERVICE``, ``/v2/models/SERVICE/labels`` | what turned out true |
| ``/v2/...`` | the Open Inference Protocol |
| ``GET /livez``, ``/readyz``, ``/readyz/SERVICE`` | for what schedules processes |
| ``GET /metrics`` | for Prometheus |
| ``GET /openapi.json`` | for whoever writes a client |
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, cast

from firedoor.events import metrics
from firedoor.events.exposition import CONTENT_TYPE, expose
from firedoor.gateway import exposition, openapi
from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.face_counts import ServiceCounts
from firedoor.gateway.face_health import Health
from firedoor.gateway.face_plain import plain_endpoint
from firedoor.gateway.face_request import (
    ID_MAX,
    OK,
    Asked,
    Refusal,
    asked_of,
    check_content,
    is_plain,
    shorter,
    with_id,
)
from firedoor.gateway.face_rows import take_labels
from firedoor.gateway.face_v2 import EXTENSIONS, read_v2, v2_metadata, v2_response
from firedoor.gateway.http_message import Endpoint, Head, Response, error_response, json_response
from firedoor.gateway.services import Service
from firedoor.gateway.watching import Watch
from firedoor.wire.serving import Form

LABEL_BYTES: Final = 2 * 2**20
IGNORED_BYTES: Final = 4_096
"""Of the body that a client may send with a ``GET``, for no reason."""
VERSION_MAX: Final = 20
SHOWN_MAX: Final = 20
"""Services that an error lists."""

Tell = Callable[[], Response]
Open = Callable[[Head], Endpoint | Response]


class _Page(NamedTuple):
    """What is at one path."""

    get: Tell | None = None
    post: Open | None = None


class Face:
    """Stands behind an ``HttpServer``. Used from one event loop."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        gateway: str,
        release: str,
        now_s: Callable[[], float],
        process: Callable[[], exposition.ProcessFacts],
        draining: Callable[[], bool],
        counts: Mapping[str, ServiceCounts] | None = None,
        further: Callable[[], Iterable[metrics.Sample]] = tuple,
        watch: Watch | None = None,
        pipeline: str = "",
    ) -> None:
        """Know the services; they do not change.

        Args:
            services: by different names.
            gateway: its name, for metrics and health.
            release: of firedoor.
            now_s: seconds that never jump.
            process: tells what the process uses, for metrics.
            draining: whether the server is ending.
            counts: where answers are counted, by service; None: made here.
            further: what else is told in metrics, of the promises of services.
            watch: who is told of requests; None: nobody listens.
            pipeline: whose services, for metrics.
        """
        self.services = {service.name: service for service in services}
        self.counts = counts or {name: ServiceCounts() for name in self.services}
        self._watch, self._further = watch, further
        self._gateway, self._pipeline = gateway, pipeline
        self._release = release
        self._now_s = now_s
        self._process = process
        self._health = Health(list(services), gateway=gateway, draining=draining)
        self._pages = self._server_pages()
        for service in services:
            self._pages |= self._service_pages(service)
        if len(services) == 1:
            only = services[0]
            self._pages["/predict"] = _Page(post=lambda head: self._open_rows(only, head))

    def route(self, head: Head) -> Endpoint | Response:
        """Return who answers a request, or what is said to it without reading its body."""
        said = self._route(head)
        return with_id(said, head) if isinstance(said, Response) else said

    def _route(self, head: Head) -> Endpoint | Response:
        """Return the same, but for the request's id."""
        page = self._pages.get(head.path) or self._odd_page(head.path)
        if isinstance(page, Response):
            return page
        method = head.method
        if page.get is not None and method in {"GET", "HEAD"}:
            return Endpoint(_telling(page.get), IGNORED_BYTES, counted=False)
        if page.post is not None and method == "POST":
            return page.post(head)
        allowed = "GET, HEAD" if page.get is not None else "POST"
        return error_response(
            405, f"{head.path} takes {allowed}, not {method}", f"Allow: {allowed}\r\n".encode()
        )

    # ------------------------------------------------------------------------------- where

    def _server_pages(self) -> dict[str, _Page]:
        """Return what is there besides services."""
        services = list(self.services.values())
        told = {
            "name": "firedoor",
            "version": self._release,
            "extensions": list(EXTENSIONS),
        }
        return {
            "/livez": _Page(get=self._health.live),
            "/readyz": _Page(get=self._health.ready),
            "/metrics": _Page(get=self._metrics),
            "/openapi.json": _Page(
                get=lambda: json_response(OK, openapi.document(services, release=self._release))
            ),
            "/labels": _Page(post=lambda head: self._open_labels(services, head)),
            "/v2": _Page(get=lambda: json_response(OK, told)),
            "/v2/health/live": _Page(get=lambda: json_response(OK, {"live": True})),
            "/v2/health/ready": _Page(get=self._health.v2_ready),
            "/v2/models": _Page(get=lambda: json_response(OK, {"models": list(self.services)})),
        }

    def _service_pages(self, service: Service) -> dict[str, _Page]:
        """Return what is there of a service, whichever version."""
        name = service.name
        return {
            f"/predict/{name}": _Page(post=lambda head: self._open_rows(service, head)),
            f"/labels/{name}": _Page(post=lambda head: self._open_labels([service], head)),
            f"/readyz/{name}": _Page(get=lambda: self._health.service_ready(service)),
            **self._model_pages(service, f"/v2/models/{name}", ""),
        }

    def _model_pages(self, service: Service, root: str, version: str) -> dict[str, _Page]:
        """Return what the protocol has of a model, or of one version."""
        return {
            root: _Page(get=lambda: self._metadata(service, version)),
            f"{root}/ready": _Page(get=lambda: self._health.v2_model(service, version)),
            f"{root}/infer": _Page(post=lambda head: self._open_v2(service, version, head)),
            f"{root}/labels": _Page(post=lambda head: self._open_labels([service], head)),
        }

    def _odd_page(self, path: str) -> _Page | Response:
        """Return what is at a path with a version, a slash at its end or percent signs."""
        plain = urllib.parse.unquote(path) if "%" in path else path
        plain = plain.rstrip("/")
        page = self._pages.get(plain)
        if page is not None:
            return page
        match plain.split("/"):
            case ["", "v2", "models", name, *_] if name not in self.services:
                return self._no_service(name)
            case ["", "predict" | "labels" | "readyz", name]:
                return self._no_service(name)
            case ["", "v2", "models", name, "versions", version, *_]:
                return self._version_page(plain, self.services[name], version)
            case ["", "predict"]:
                return error_response(404, f"say which: POST /predict/SERVICE, {self._listed()}")
            case _:
                return self._nothing(plain)

    def _version_page(self, path: str, service: Service, version: str) -> _Page | Response:
        """Return what is at a path that names a version."""
        if not (version.isascii() and version.isdigit() and len(version) <= VERSION_MAX):
            return error_response(404, "a version is a number, as /v2/models/NAME lists them")
        root = f"/v2/models/{service.name}/versions/{version}"
        return self._model_pages(service, root, version).get(path) or self._nothing(path)

    def _no_service(self, name: str) -> Response:
        """Return what is said of a service that is not here."""
        return error_response(404, f"there is no service {_shown(name)} here: {self._listed()}")

    def _nothing(self, path: str) -> Response:
        """Return what is said of a path where nothing is."""
        return error_response(
            404,
            f"there is nothing at {_shown(path or '/')}: there are POST /predict/SERVICE, POST "
            "/labels/SERVICE, POST /v2/models/SERVICE/infer, GET /v2/models/SERVICE, GET /readyz, "
            f"GET /metrics, and all in GET /openapi.json; {self._listed()}",
        )

    def _listed(self) -> str:
        """Return which services there are."""
        names = sorted(self.services)
        more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
        return f"services: {', '.join(names[:SHOWN_MAX]) or 'none'}{more}"

    # ------------------------------------------------------------------------------ answers

    def _open_rows(self, service: Service, head: Head) -> Endpoint | Response:
        """Let plain rows in."""
        refused = check_content(head)
        if refused is not None:
            return refused
        try:
            asked = asked_of(head)
        except Refusal as refusal:
            return refusal.response

        return plain_endpoint(
            service,
            self.counts[service.name],
            _request(Form.ROWS, b"", asked, shorter(asked.timeout_s, None, service.limits)),
            answer=self._answer,
            now_s=self._now_s,
            parent=asked.parent,
            watch=self._watch,
        )

    def _open_v2(self, service: Service, version: str, head: Head) -> Endpoint | Response:
        """Let tensors in."""
        refused = check_content(head, binary=True)
        if refused is not None:
            return refused
        try:
            asked = asked_of(head)
        except Refusal as refusal:
            return refusal.response

        async def handle(body: bytes) -> Response:
            try:
                said = read_v2(head, body)
            except Refusal as refusal:
                return with_id(refusal.response, head)
            # An id that no header could carry is told again in the body, where it came from.
            fits = 0 < len(said.id) <= ID_MAX and is_plain(said.id)
            asked_id = said.id if fits else asked.id
            timeout_s = shorter(asked.timeout_s, said.timeout_s, service.limits)
            request = _request(said.form, body, asked, timeout_s)._replace(
                id=asked_id, json_bytes=said.json_bytes, version=version
            )
            answer = await self._answer(service, request, asked.parent)
            return v2_response(service.name, answer, caller_id=said.id)

        return Endpoint(handle, service.limits.body_bytes)

    def _open_labels(self, services: Sequence[Service], head: Head) -> Endpoint | Response:
        """Let labels in."""
        refused = check_content(head)
        if refused is not None:
            return refused

        async def handle(body: bytes) -> Response:
            try:
                return with_id(await take_labels(services, body), head)
            except Refusal as refusal:
                return with_id(refusal.response, head)

        return Endpoint(handle, LABEL_BYTES)

    async def _answer(self, service: Service, request: Request, parent: str) -> Answer:
        """Have a request answered, and count it. A service that is full takes no other's room."""
        counts, watch = self.counts[service.name], self._watch
        began_s = self._now_s()
        seen = None if watch is None else watch.see(request, parent)
        answer = await self._within(counts, service, request if seen is None else seen.request)
        seconds = self._now_s() - began_s
        counts.answered(answer, seconds)
        if seen is not None and watch is not None:
            watch.tell(service.name, seen, answer, seconds, counts)
        return answer

    async def _within(self, counts: ServiceCounts, service: Service, request: Request) -> Answer:
        """Have a request answered where there is room for one more of its service."""
        most = service.limits.concurrency
        if counts.in_flight >= most:
            said = f"{most} requests for {service.name} are under way already: come again shortly"
            return Answer(503, request.id, message=said, retry_after_s=1.0)
        counts.in_flight += 1
        try:
            return await service.answer(request)
        finally:
            counts.in_flight -= 1

    def _metadata(self, service: Service, version: str) -> Response:
        """Return what a model takes and returns."""
        metadata = service.metadata(version)
        if metadata is None:
            return self._health.no_version(service, version)
        return json_response(OK, v2_metadata(service.name, metadata))

    def samples(self) -> Iterator[metrics.Sample]:
        """Yield everything that is counted."""
        told = {
            name: (self.counts[name], service.facts()) for name, service in self.services.items()
        }
        further = self._further()
        return exposition.samples_of(self._gateway, self._process(), told, further)

    def _metrics(self) -> Response:
        """Return the same for Prometheus."""
        text = expose(self.samples(), pipeline=self._pipeline)
        return Response(OK, text, content_type=CONTENT_TYPE)


def _request(form: Form, body: bytes, asked: Asked, timeout_s: float | None) -> Request:
    """Return a request as services take it."""
    return Request(
        form=form,
        body=body,
        id=asked.id,
        key=asked.key,
        priority=asked.priority,
        timeout_s=timeout_s,
        tester=cast("Literal['', 'candidate', 'champion']", asked.tester),
        source=asked.source,
    )


def _telling(tell: Tell) -> Callable[[bytes], Awaitable[Response]]:
    """Return an endpoint that says something, whatever the body."""

    async def handle(_: bytes) -> Response:
        return tell()

    return handle


def _shown(text: str) -> str:
    """Return a name as an error shows it: short, and on one line."""
    return repr(text[:100])
