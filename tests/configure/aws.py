"""AWS on loopback: moto, and before it what moto lacks: answers from the API's model, denials, throttling."""

import logging
import re
import threading
from io import BytesIO
from urllib.parse import parse_qs

from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

# IAM's names are those of the services' signatures.
SERVICES = {"elasticloadbalancing": "elbv2"}
DENIED = "User: arn:aws:iam::123456789012:user/jane is not authorized to perform this operation"


class Aws:
    """A server; what it is told to deny, throttle or answer itself never reaches moto."""

    def __init__(self):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.answers, self.denied, self.throttled, self.calls = {}, set(), {}, []
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def reset(self):
        self.denied, self.throttled, self.calls = set(), {}, []

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        signature = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        region, service = signature.groups() if signature else ("", "")
        operation = parse_qs(body.decode()).get("Action", [""])[0]
        action = f"{service}:{operation}"
        self.calls.append(action)
        if action in self.denied:
            code = "UnauthorizedOperation" if service == "ec2" else "AccessDenied"
            return answered(start_response, *error(service, code, DENIED), "403 Forbidden")
        if self.throttled.get(action):
            self.throttled[action] -= 1
            return answered(start_response, *error(service, "Throttling", "Rate exceeded"), "400 Bad Request")
        if action in self.answers:
            answer = self.answers[action].get(region, {})
            return answered(start_response, *serialized(service, operation, answer), "200 OK")
        return self.moto(environ, start_response)


def error(service, code, message):
    inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    whole = f"<Response><Errors>{inner}</Errors></Response>" if service == "ec2" else f"<ErrorResponse>{inner}</ErrorResponse>"
    return whole.encode(), {}


def serialized(service, operation, answer):
    """An answer in the shape that the API's model gives it."""
    model = get_service_model(SERVICES.get(service, service))
    serializer = get_serializer_class(model.service_name, model.protocol)(model.operation_model(operation))
    done = serializer.serialize(answer)
    body = done["body"]
    return body if isinstance(body, bytes) else body.encode(), done["headers"]


def answered(start_response, body, headers, status):
    start_response(status, [("Content-Type", "text/xml"), *headers.items()] if "Content-Type" not in headers
                   else list(headers.items()))
    return [body]
