"""Prints a CloudFormation template as JSON, with every intrinsic in its long form.

Usage: python template_json.py < template.yaml
"""

import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: short tags become functions, a repeated key is an error."""

    def construct_mapping(self, node, deep=False):
        mapping = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in mapping:
                message = f"repeated key {key!r}"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping


def intrinsic(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


def as_is(loader, node):
    return loader.construct_scalar(node)


Loader.add_multi_constructor("!", intrinsic)
# A date such as the template's format version stays the text it is.
Loader.add_constructor("tag:yaml.org,2002:timestamp", as_is)

if __name__ == "__main__":
    json.dump(yaml.load(sys.stdin.buffer, Loader=Loader), sys.stdout, indent=1)
