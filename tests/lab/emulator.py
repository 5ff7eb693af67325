"""Starts MiniStack, mended in one thing: its update of a nested stack forgets the attributes of the resources that stay as
they are, and then does not know the ARN that another one asks for. That of a stack that is not nested keeps them.
"""

import sys

from ministack.app import main
from ministack.services.cloudformation import _stacks, provisioners

update = provisioners._update_resource


def update_and_remember(type_name, physical_id, old, new, stack, logical_id=None, attributes=None):
    if attributes is None:
        resource = _stacks[stack]["_resources"].get(logical_id, {})
        attributes = resource.get("Attributes", {})
    physical_id, changed = update(type_name, physical_id, old, new, stack, logical_id, attributes)
    return physical_id, {**attributes, **changed}


provisioners._update_resource = update_and_remember

if __name__ == "__main__":
    sys.exit(main())
