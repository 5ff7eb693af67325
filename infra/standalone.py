"""Prints infra/function.yaml as function-standalone.yaml, which whatever takes a template takes.

usage: standalone.py

It names the function's zip in S3 instead of a local path. It has no comments, little white space,
no labels, and nothing that only a stack above gives, so that it can be passed as it is
(--template-body takes 51,200 bytes). All else is the same, which tests/template/standalone.rs
holds.
"""

import re
import sys
from pathlib import Path

import yaml

SOURCE = Path(__file__).resolve().parent / "function.yaml"
HEAD = "# Made from infra/function.yaml by infra/standalone.py: read that one.\n"
TEXT = "tag:yaml.org,2002:str"
NO_SHORT_FORM = {"!Contains"}
NAME = re.compile(r"[A-Za-z][\w.:]*$")
# As deep as this one thing stands on a line; what is deeper stands beside each other.
DEPTH = 3
# Names that a stack above knows while the ARNs are placeholders. Here they are cut out of the ARNs.
NESTED_ONLY = ("LoadBalancerFullName", "ReaderTargetGroupFullName", "TargetGroupFullName")
ASKED = {f"{name}Given" for name in NESTED_ONLY}
PLACEHOLDER = r"|\{\{[^{}]+\}\}"

ADDED = """
Parameters:
  CodeS3Bucket:
    Type: String
    Description: Bucket in the function's Region that has its zip, failover-sync-ARCHITECTURE.zip.
    AllowedPattern: ^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$
    ConstraintDescription: must be the name of a bucket.
  CodeS3Key:
    Type: String
    Description: >-
      Key of the zip. Another zip needs another key or CodeS3ObjectVersion, or the function stays
      what it is.
    AllowedPattern: ^.{1,1024}$
    ConstraintDescription: must be a key of at most 1024 characters.
  CodeS3ObjectVersion:
    Type: String
    Description: >-
      Version of that object, if the bucket has versions. Empty = the newest when the key is
      another one.
    Default: ''
  Architecture:
    Type: String
    Description: Processor that the zip is for.
    AllowedValues: [x86_64, arm64]
Conditions:
  CodeS3ObjectVersionGiven: !Not [!Equals [!Ref CodeS3ObjectVersion, '']]
"""
CODE = """
S3Bucket: !Ref CodeS3Bucket
S3Key: !Ref CodeS3Key
S3ObjectVersion: !If [CodeS3ObjectVersionGiven, !Ref CodeS3ObjectVersion, !Ref AWS::NoValue]
"""


def standalone(source=SOURCE):
    template = parsed(source.read_text(encoding="utf-8"))
    metadata = member(template, "Metadata")
    metadata.value = [(key, value) for key, value in metadata.value if key.value == "cfn-lint"]
    for part, added in parsed(ADDED).value:
        for name, body in added.value:
            put(member(template, part.value), name, body)
    function = member(member(template, "Resources"), "Function")
    remove(function, "Metadata")
    code = yaml.ScalarNode(TEXT, "Code")
    put(member(function, "Properties"), code, parsed(CODE))
    for name in NESTED_ONLY:
        remove(member(template, "Parameters"), name)
        remove(member(template, "Conditions"), f"{name}Given")
    lay_out(spelled_out(without_stack_above(template)), 0)
    return HEAD + yaml.serialize(template, Dumper=Compact, width=sys.maxsize, allow_unicode=True)


def parsed(text):
    """The nodes of a document, which keep tags such as !Ref as they are."""
    return yaml.compose(text, Loader=yaml.SafeLoader)


def member(mapping, name):
    return next(value for key, value in mapping.value if key.value == name)


def remove(mapping, name):
    mapping.value = [(key, value) for key, value in mapping.value if key.value != name]


def put(mapping, name, body):
    """In the place of what has the name, or at the end."""
    names = [key.value for key, _ in mapping.value]
    at = names.index(name.value) if name.value in names else len(names)
    mapping.value[at : at + 1] = [(name, body)]


def everywhere(change):
    """Makes a change to a node and to all that it holds."""

    def changed(node):
        if isinstance(node, yaml.MappingNode):
            node.value = [(name, changed(body)) for name, body in node.value]
        elif isinstance(node, yaml.SequenceNode):
            node.value = [changed(item) for item in node.value]
        return change(node)

    return changed


@everywhere
def without_stack_above(node):
    """With what is there if nobody gives the names, and patterns that take typed values alone."""
    if isinstance(node, yaml.ScalarNode):
        node.value = node.value.replace(PLACEHOLDER, "")
    return node.value[2] if node.tag == "!If" and node.value[0].value in ASKED else node


@everywhere
def spelled_out(node):
    """With the names of functions of which AWS documents no short form. sam packages them so."""
    if node.tag not in NO_SHORT_FORM:
        return node
    name, node.tag = yaml.ScalarNode(TEXT, f"Fn::{node.tag[1:]}"), "tag:yaml.org,2002:seq"
    return yaml.MappingNode("tag:yaml.org,2002:map", [(name, node)])


def lay_out(node, depth):
    if isinstance(node, yaml.ScalarNode):
        node.style = None
        # A text over several lines; in JSON, the dashboard's, only a space between words counts.
        node.value = re.sub(r"\s*\n\s*", " ", node.value).strip()
        if '["' in node.value:
            node.value = re.sub(r'(?<=[:,\[{"\]}]) +(?=["\[{\d$])', "", node.value)
    else:
        node.flow_style = depth >= DEPTH or node.tag.startswith("!")
        for child in node.value:
            for one in child if isinstance(child, tuple) else [child]:
                lay_out(one, depth + 1)


class Compact(yaml.SafeDumper):
    """Indents by one, with no space behind a comma, and quotes the same with a tag and without."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.best_indent = 1

    def write_indicator(self, indicator, need_whitespace, whitespace=False, indention=False):
        is_followed = whitespace or indicator == ","
        super().write_indicator(indicator, need_whitespace, is_followed, indention)

    def choose_scalar_style(self):
        is_tagged = (self.event.tag or "").startswith("!")
        return "" if is_tagged and NAME.match(self.event.value) else super().choose_scalar_style()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    print(standalone(), end="")
