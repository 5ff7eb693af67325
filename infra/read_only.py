"""AWS for programs that only look: each operation is named beforehand, and none of them writes."""

import os
import textwrap
from functools import cache

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
from botocore.parsers import ResponseParserError

DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
# Nothing is answered to who says so.
STRANGER = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
READS = ("BatchGet", "Describe", "Get", "List", "Lookup")
# Where IAM's name of a service is another one than boto's.
PREFIXES = {"elbv2": "elasticloadbalancing"}


class Unseen(Exception):
    """What was not answered: IAM's action, the reason, and the code of the API's error."""

    def __init__(self, action, reason, code=None):
        super().__init__(reason)
        self.action = action
        self.reason = reason
        self.code = code

    @property
    def is_denied(self):
        """IAM, or a policy of the organisation, does not allow it."""
        return self.code in DENIED


class ReadOnly:
    """The operations of `actions`, by IAM's names of them, and none else."""

    def __init__(self, session, actions, region=None):
        self.session = session
        self.region = region or session.region_name
        self.actions = frozenset(actions)
        self.client = cache(self._client)
        writing = [one for one in self.actions if not one.partition(":")[2].startswith(READS)]
        if writing:
            raise ValueError(f"not only read: {', '.join(sorted(writing))}")

    def in_region(self, region):
        if region in (None, self.region):
            return self
        return ReadOnly(self.session, self.actions, region)

    def pages(self, service, operation, **parameters):
        """The answers to a call, page by page; `operation` as the API has it: DescribeTags."""
        action = f"{PREFIXES.get(service, service)}:{operation}"
        if action not in self.actions:
            raise ValueError(f"{action} is not in the list of what is called")
        try:
            client = self.client(service)
            [method] = [
                name for name, api in client.meta.method_to_api_mapping.items() if api == operation
            ]
            if client.can_paginate(method):
                yield from client.get_paginator(method).paginate(**parameters)
            else:
                yield getattr(client, method)(**parameters)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in STRANGER:
                raise
            if code in DENIED:
                raise Unseen(action, f"not allowed to look: {action}", code) from error
            raise Unseen(action, unanswered(action, error), code) from error
        except (NoCredentialsError, NoRegionError):
            raise
        # The second is what a proxy's page comes to.
        except (BotoCoreError, ResponseParserError) as error:
            raise Unseen(action, unanswered(action, error)) from error

    def all(self, service, operation, key, **parameters):
        """The members of the list `key` in all answers."""
        return [
            item
            for page in self.pages(service, operation, **parameters)
            for item in page.get(key, [])
        ]

    def _client(self, service):
        # Two more than are usual in the mode, which a busy account outlasts.
        attempts = {} if "AWS_MAX_ATTEMPTS" in os.environ else {"total_max_attempts": 5}
        config = Config(
            retries={"mode": "standard", **attempts}, connect_timeout=5, read_timeout=30
        )
        return self.session.client(service, region_name=self.region, config=config)


def unanswered(action, error):
    # Some of botocore's messages end in a full stop; a proxy's page is all in its own.
    return f"{action} was not answered: {textwrap.shorten(str(error).rstrip('.'), 200)}"
