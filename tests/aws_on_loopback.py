"""AWS on loopback for the tests of Python programs: moto over HTTP, and answers that a test gives.

What a test puts into `answers` for an action, such as "rds:DescribeDBProxies", goes before moto's
own: a dictionary as boto3 returns it, which has to fit the API's model; an error, a `Fault`; or a
function of the request that returns either, or None for moto's own. `calls` has every action that
was asked for. What moto said once it says again until something is changed.
"""

import io
import json
import os
import threading
import unittest
import urllib.parse
import warnings
from functools import cache
from unittest import mock

import boto3
from botocore.validate import ParamValidator
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

REGION = "eu-west-1"
# boto's names of services, where they are not those of the signature.
SERVICES = {"elasticloadbalancing": "elbv2"}
# Operations of services that say them in the path.
PATHS = {("GET", "/2015-03-31/functions"): "ListFunctions"}
# What changes nothing.
READS = ("Describe", "Get", "List", "Lookup")


class Fault(Exception):
    """An error of AWS."""

    def __init__(self, code, message="no more is said"):
        super().__init__(message)
        self.code, self.message = code, message


DENIED = Fault("AccessDenied", "User: arn:aws:iam::123456789012:user/me is not authorized")


class Aws:
    """The server, its address, and what it is to answer."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.answers, self.calls, self.remembered = {}, [], {}
        self.server = make_server(
            "127.0.0.1", 0, self.application, threaded=True, request_handler=Silent
        )
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self):
        """In which nothing else is reached, and nothing is tried twice."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
        }

    def application(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if "HTTP_AUTHORIZATION" in environ:
            region, prefix = environ["HTTP_AUTHORIZATION"].split("/")[2:4]
            operation = operation_of(environ, body)
            action = f"{prefix}:{operation}"
            self.calls.append(action)
            answer = self.answers.get(action)
            if callable(answer):
                answer = answer(request_of(environ, body))
            if answer is not None:
                return self.respond(prefix, operation, answer)(environ, start_response)
            asked = (region, action, environ["PATH_INFO"], environ["QUERY_STRING"], body)
            return self.own(operation, asked, environ)(environ, start_response)
        return self.moto(environ, start_response)

    def own(self, operation, asked, environ):
        """What moto says. It takes longer than most of what a test does."""
        if not operation.startswith(READS):
            self.remembered.clear()
        elif asked in self.remembered:
            return self.remembered[asked]
        response = self.remembered[asked] = Response.from_app(self.moto, environ, buffered=True)
        return response

    def respond(self, prefix, operation, answer):
        service = get_service_model(SERVICES.get(prefix, prefix))
        operation = service.operation_model(operation)
        if isinstance(answer, dict):
            report = ParamValidator().validate(answer, operation.output_shape)
            assert not report.has_errors(), f"{operation.name}: {report.generate_report()}"
        serializer = get_serializer_class(service.service_name, service.protocol)(operation)
        with warnings.catch_warnings():
            # Of errors that all services have, and that no model has.
            warnings.simplefilter("ignore")
            made = serializer.serialize(answer)
        return Response(made["body"], made["status_code"], dict(made["headers"]))


class Silent(WSGIRequestHandler):
    """Requests are no news."""

    def log(self, *_):
        pass


def operation_of(environ, body):
    if "HTTP_X_AMZ_TARGET" in environ:
        return environ["HTTP_X_AMZ_TARGET"].rpartition(".")[2]
    path = (environ["REQUEST_METHOD"], environ["PATH_INFO"].rstrip("/"))
    return PATHS.get(path) or request_of(environ, body).get("Action", " ".join(path))


def request_of(environ, body):
    """The parameters as the protocol has them: names with dots, or the JSON of the body."""
    if "HTTP_X_AMZ_TARGET" in environ:
        return json.loads(body)
    return dict(
        urllib.parse.parse_qsl(f"{environ['QUERY_STRING']}&{body.decode(errors='replace')}")
    )


class Session:
    """A session of boto3 that makes each client once: that takes longer than its calls."""

    region_name = REGION

    def __init__(self):
        self.session = boto3.Session(region_name=REGION)
        self.clients = {}

    def client(self, service, region_name=REGION, config=None):
        key = (service, region_name)
        if key not in self.clients:
            self.clients[key] = self.session.client(service, region_name=region_name, config=config)
        return self.clients[key]


class OnLoopback(unittest.TestCase):
    """Tests in one account, which a test leaves as it was; `answers` are those of the test."""

    @classmethod
    def setUpClass(cls):
        environment = mock.patch.dict(os.environ, server().environment())
        environment.start()
        cls.addClassCleanup(environment.stop)
        cls.aws, cls.session = server(), session()

    def setUp(self):
        self.answers = self.aws.answers
        self.answers.clear()
        self.aws.calls.clear()


@cache
def server():
    """One for all tests of the process: it goes with it."""
    return Aws()


@cache
def session():
    return Session()
