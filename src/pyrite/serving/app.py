"""The application: its routes, and what each answers."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from pyrite.bundle import Panel
from pyrite.decision import Policy
from pyrite.errors import PyriteError, require
from pyrite.rendering.text import outcome
from pyrite.serving.cards import bounds_of, examples_of, model_card
from pyrite.serving.decoders import Tell
from pyrite.serving.explaining import Explained
from pyrite.serving.fair import Asker
from pyrite.serving.middleware import EXPOSED, GONE, Frame, Gate
from pyrite.serving.openapi import (
    DESCRIPTION,
    answer,
    errors,
    example_error,
    give_examples,
    images,
    picture,
    security,
    take_request_ids,
    text,
)
from pyrite.serving.progress import LINES, send_lines
from pyrite.serving.rates import LEFT, POLICY
from pyrite.serving.record import Record
from pyrite.serving.reference import reference_page
from pyrite.serving.refusal import JSON, Refusal, code_of, error_body
from pyrite.serving.schemas import components, with_ids
from pyrite.serving.service import Reload, Service, Shared
from pyrite.serving.settings import ServerSettings
from pyrite.serving.signals import on_signals
from pyrite.serving.uploads import Upload, UploadBounds, receive

if TYPE_CHECKING:
    from fastapi import Request, Response
    from starlette.datastructures import Headers
    from starlette.types import ASGIApp, Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
"""The page and its parts."""
EXPLANATION_HEADER = "X-Pyrite-Explanation"
"""With the figures of an explanation whose picture is the answer; those that are never long."""

_IN_HEADER = ("leans", "better_than_random", "faithfulness", "input_size", "scored")
_PATIENCE = 0.1  # seconds before the server looks whether the client still waits
_ERRORS = (401, 421, 429, 431, 500)
_METRICS_ERRORS = (401, 421, 431, 500)
_BODY_ERRORS = (*_ERRORS, 400, 403, 408, 413, 415, 422, 503, 504)
_Result = TypeVar("_Result")


def create_app(
    settings: ServerSettings, *, panel: Panel | None = None, shared: Shared | None = None, reload: Reload = None
) -> Frame:
    """Return the application, with its bundle loaded, for any ASGI server.

    Args:
        settings: How to serve.
        panel: What judges, if it is loaded already; otherwise what the settings name.
        shared: What this process shares with the other workers of the server, if there are any.
        reload: Reads the settings again at SIGHUP, for the keys in them.

    Raises:
        MissingExtraError: The extra `serve` is not installed.
        PyriteError: The bundle or a setting cannot be used.
    """
    require(
        "serve",
        "fastapi",
        "limits",
        "pebble",
        "prometheus_client",
        "psutil",
        "python_multipart",
        "starlette",
        "uvicorn",
    )
    from starlette.middleware.cors import CORSMiddleware

    class Origins(CORSMiddleware):
        """Refuses as everything else here does."""

        def preflight_response(self, request_headers: "Headers") -> "Response":
            answer = super().preflight_response(request_headers)
            if answer.status_code >= 400:
                raise Refusal(403, "cross_origin", "Pages of this origin may not send such requests.")
            return answer

    service = Service(settings, panel=panel, shared=shared, reload=reload)
    app: ASGIApp = Gate(_routes(service), service)
    if settings.origins:
        app = Origins(
            app,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=[EXPLANATION_HEADER, POLICY, LEFT, *EXPOSED],
        )
    return Frame(app, service)


def _routes(service: Service) -> "ASGIApp":
    from fastapi import FastAPI, Request, Response
    from fastapi.middleware.gzip import GZipMiddleware
    from fastapi.responses import FileResponse
    from fastapi.routing import APIRoute
    from fastapi.staticfiles import StaticFiles
    from starlette.requests import ClientDisconnect

    settings, detector = service.settings, service.detector
    bounds = UploadBounds(settings.max_bytes, settings.max_request_bytes, settings.max_files, settings.upload_seconds)
    one = replace(bounds, max_files=1)
    card, limits = model_card(detector), bounds_of(settings, detector)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            with on_signals(
                stop=service.drain,
                seconds=settings.drain_seconds,
                abandon=service.abandon,
                reload=service.reload_keys,
            ):
                yield

    app = FastAPI(
        title="Pyrite",
        version=version("pyrite"),
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Which would send traces and errors to wherever the environment says.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )

    class Route(APIRoute):
        """Calls with the request alone: FastAPI takes as long as all else to read the one parameter that there is."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            return self.endpoint

    class Lines(Response):
        """What comes of one image, in lines while it is worked on."""

        def __init__(self, request: Request, work: Callable[[Upload, Tell], Coroutine[Any, Any, object]]) -> None:
            self._request, self._work = request, work

        async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
            request, record = self._request, self._request.state.record
            # Nobody is there to be told then, and lines may have been sent.
            with suppress(ClientDisconnect):
                async with _receive(service, request, one) as [upload]:
                    lines = send_lines(partial(self._work, upload), send, record, service.note)
                    await _while_connected(request, lines)

    app.router.route_class = Route
    smallest = detector.smallest_max_fpr

    @app.post(
        "/v1/detect",
        summary="Judge images",
        operation_id="detect",
        responses={**answer("What was found.", "Detections"), **errors(*_BODY_ERRORS)},
        openapi_extra=images("detect", settings.max_files, smallest=smallest, client_ids=True),
    )
    async def detect(request: Request) -> Response:
        """Judge one image or many: parts of a form that are named `files`, or one image as the body.

        With a part named `client_id` for each file, in the same order, each detection has the id of its file.
        A file that cannot be read is a detection with its `error`, and fails nothing else.
        """
        policy = _policy(service, request)
        asker, record = request.state.asker, request.state.record
        async with _receive(service, request, replace(bounds, client_ids=True)) as uploads:
            detections = await _while_connected(request, service.detect(uploads, policy, asker, record))
            named = with_ids(detections, [upload.client_id for upload in uploads])
        record.outcomes.update(outcome(detection) for detection in detections)
        content = {
            "detections": named,
            "model": detector.model,
            "max_fpr": policy.max_fpr,
            "request_id": request.state.request_id,
        }
        return Response(msgspec.json.encode(content), media_type=JSON)

    @app.post(
        "/v1/explain",
        summary="Explain the score of one image",
        operation_id="explain",
        responses={**picture(EXPLANATION_HEADER), **errors(*_BODY_ERRORS)},
        openapi_extra=images("explain", 1, smallest=smallest),
    )
    async def explain(request: Request) -> Response:
        """Draw what moved the score of an image, with how far that can be trusted.

        The answer is a picture, or with `Accept: application/json` all figures and the picture within. With
        `Accept: application/x-ndjson`, lines of JSON come while the image is scored: how many of the model's inputs
        are done, and in the last line the same figures as `result`, or an `error`.
        """
        policy = _policy(service, request)
        asker, record = request.state.asker, request.state.record
        accepted = request.headers.get("accept", "")
        service.explanations.check(asker.client)

        def whole(found: Explained) -> dict[str, Any]:
            more = {"picture": base64.b64encode(found.picture).decode(), "request_id": request.state.request_id}
            return {**msgspec.json.decode(found.figures), **more}

        if LINES in accepted:

            async def work(upload: Upload, tell: Tell) -> dict[str, Any]:
                return whole(await service.explain(upload, policy, asker, record, tell))

            return Lines(request, work)
        async with _receive(service, request, one) as [upload]:
            found = await _while_connected(request, service.explain(upload, policy, asker, record))
        if JSON in accepted:
            return Response(msgspec.json.encode(whole(found)), media_type=JSON)
        figures = msgspec.json.decode(found.figures)
        header = msgspec.json.encode({name: figures[name] for name in _IN_HEADER}).decode()
        return Response(found.picture, media_type="image/png", headers={EXPLANATION_HEADER: header})

    @app.post(
        "/v1/history",
        summary="Show what was done to one image",
        operation_id="history",
        responses={**answer("What its file and pixels tell.", "HistoryResponse"), **errors(*_BODY_ERRORS)},
        openapi_extra=images("history", 1),
    )
    async def history(request: Request) -> Response:
        """Tell what the file and pixels of an image show of earlier saves and edits, whether or not a bundle judges it.

        Maps of error levels, noise and JPEG ghosts, each with what it can show and cannot; the compression; and the
        thumbnail in the EXIF data. It is context, and changes no verdict.
        """
        return await look_at(request, service.trace)

    @app.post(
        "/v1/thumbnail",
        summary="Show one image small",
        operation_id="thumbnail",
        responses={**answer("A small picture.", "SmallPicture"), **errors(*_BODY_ERRORS)},
        openapi_extra=images("thumbnail", 1),
    )
    async def thumbnail(request: Request) -> Response:
        """Return an image small and upright, for programs that cannot read its format, such as browsers with HEIC."""
        return await look_at(request, service.draw_small)

    async def look_at(
        request: Request, work: Callable[[Upload, Asker, Record], Coroutine[Any, Any, bytes]]
    ) -> Response:
        if request.query_params:
            raise Refusal(422, "invalid_request", "The query must be empty: there is no error budget here.")
        asker, record = request.state.asker, request.state.record
        service.explanations.check(asker.client)
        async with _receive(service, request, one) as [upload]:
            found = msgspec.json.decode(await _while_connected(request, work(upload, asker, record)))
        found["request_id"] = request.state.request_id
        return Response(msgspec.json.encode(found), media_type=JSON)

    @app.get(
        "/v1/model",
        summary="What judges",
        operation_id="model",
        responses={**answer("Its card, and what decides.", "Card"), **errors(*_ERRORS)},
    )
    async def show_model(_: Request) -> Response:
        """Tell which bundles judge here, with the calibration that decides for any error budget."""
        return Response(card, media_type=JSON)

    @app.get(
        "/v1/examples",
        summary="Images to try",
        operation_id="examples",
        responses={**answer("The images.", "ExamplesResponse"), **errors(*_ERRORS)},
    )
    async def show_examples(_: Request) -> Response:
        """Return the golden images of the first bundle, which it was made for."""
        return Response(examples_of(detector), media_type=JSON)

    @app.get(
        "/v1/limits",
        summary="What a request may bring",
        operation_id="limits",
        responses={**answer("The limits.", "Bounds"), **errors(*_ERRORS)},
    )
    async def show_limits(_: Request) -> Response:
        """Tell how large files and requests may be, and which error budgets there are."""
        return Response(limits, media_type=JSON)

    @app.get(
        "/healthz",
        summary="Whether the server lives",
        operation_id="health",
        responses={**answer("It does.", "Health"), **errors(431, 500)},
    )
    async def health(_: Request) -> Response:
        """Return 200 while the server responds."""
        return Response(b'{"status":"ok"}', media_type=JSON)

    @app.get(
        "/readyz",
        summary="Whether the server takes images",
        operation_id="ready",
        responses={**answer("It does.", "Health"), **errors(431, 500, 503)},
    )
    async def ready(_: Request) -> Response:
        """Return 200 while the server takes images, and 503 while it starts or stops."""
        if not service.ready:
            doing = "stopping" if service.draining else "starting"
            raise Refusal(503, "not_ready", f"The server is {doing}.", {"Retry-After": "1"})
        return Response(b'{"status":"ready"}', media_type=JSON)

    @app.get(
        "/metrics",
        summary="Figures for Prometheus",
        operation_id="metrics",
        response_class=Response,
        responses={**text("In Prometheus' text format."), **errors(*_METRICS_ERRORS)},
    )
    async def metrics(_: Request) -> Response:
        """Tell of requests, latencies by stage, uploads, the queue, verdicts, rejections, processes and bundles."""
        page = await asyncio.to_thread(service.metrics.page)
        return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(_: Request) -> Response:
        return Response(document, media_type=JSON)

    @app.get("/docs", include_in_schema=False)
    async def reference(_: Request) -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": page_policy})

    @app.get("/", include_in_schema=False)
    async def index(_: Request) -> Response:
        if not (STATIC / "index.html").is_file():
            raise Refusal(404, "not_found", "There is no page here. The API is described at /docs.")
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    whole = app.openapi()
    whole.setdefault("components", {})["schemas"] = components()
    give_examples(whole)
    take_request_ids(whole)
    if settings.api_keys:
        whole["components"]["securitySchemes"] = security()
        for path, operations in whole["paths"].items():
            for operation in operations.values() if path.startswith("/v1/") or path == "/metrics" else ():
                operation["security"] = [{name: []} for name in security()]
    document = msgspec.json.encode(whole)
    page, page_policy = reference_page(whole, example_error("too_large"))
    if STATIC.is_dir():
        app.mount("/static", GZipMiddleware(StaticFiles(directory=STATIC)))
    # Without the layers that FastAPI puts around its routes: `Frame` does what is needed of them in less time.
    return _answer_errors(app.router, service)


def _answer_errors(routes: "ASGIApp", service: Service) -> "ASGIApp":
    """Give every error its one shape."""
    from fastapi import Request, Response
    from starlette.exceptions import HTTPException
    from starlette.middleware.exceptions import ExceptionMiddleware
    from starlette.requests import ClientDisconnect

    def respond(request: Request, status: int, code: str, message: str, headers: Any = None) -> Response:
        service.note(code, request.state.record)
        body = error_body(code, message, request.state.request_id)
        return Response(body, status, media_type=JSON, headers=headers)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return respond(request, error.status, error.code, error.message, error.headers)

    async def not_routed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        sentence = {404: "There is nothing here.", 405: "This path does not support that method."}
        message = sentence.get(error.status_code, str(error.detail))
        return respond(request, error.status_code, code_of(error.status_code), message, error.headers)

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=GONE)

    return ExceptionMiddleware(routes, {Refusal: refused, ClientDisconnect: gone, HTTPException: not_routed})


@asynccontextmanager
async def _receive(service: Service, request: "Request", bounds: UploadBounds) -> AsyncIterator[list[Upload]]:
    """Give the files of a request, and note how many they are and how long they took to come."""
    record = request.state.record
    async with AsyncExitStack() as held:
        with record.timing("receive"):
            uploads = await held.enter_async_context(receive(request, bounds, service.folder, service.receiving))
        record.images = len(uploads)
        yield uploads


def _policy(service: Service, request: "Request") -> Policy:
    """Return the policy that a request asks for by `max_fpr`, which its query may have and nothing else."""
    asked = request.query_params.multi_items()
    if not asked:
        return service.detector.policy
    if len(asked) > 1 or asked[0][0] != "max_fpr":
        raise Refusal(422, "invalid_request", "The query may have max_fpr once, and nothing else.")
    try:
        return service.detector.policy_for(float(asked[0][1]))
    except ValueError:
        raise Refusal(422, "invalid_request", "max_fpr must be a number.") from None
    except PyriteError as error:
        raise Refusal(422, "invalid_request", str(error)) from None


async def _while_connected(request: "Request", work: Coroutine[Any, Any, _Result]) -> _Result:
    """Give up a work when the client does not wait for it any more.

    Raises:
        ClientDisconnect: It does not.
    """
    from starlette.requests import ClientDisconnect

    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task], timeout=_PATIENCE)
        if not task.done():
            # The body has been read, so all that can come is the end of the connection.
            gone = asyncio.ensure_future(request.receive())
            try:
                await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
            if not task.done():
                raise ClientDisconnect
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
