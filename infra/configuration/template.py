"""A template as CloudFormation reads it: what each parameter takes, and what its rules refuse."""

import re
from functools import cache, cached_property
from pathlib import Path

import yaml

NESTED_STACK = "AWS::CloudFormation::Stack"
# CloudFormation looks whether such a thing exists; here only its shape is known.
SHAPES = {
    "AWS::EC2::VPC::Id": (r"vpc-[0-9a-f]{8,17}", "must be a VPC ID such as vpc-0123456789abcdef0.")
}


class Template:
    """A template and those that it nests."""

    def __init__(self, path):
        self.path = Path(path)
        self.body = read(self.path.resolve())
        self.parameters = self.body["Parameters"]

    def defaults(self):
        return {
            name: text(body["Default"])
            for name, body in self.parameters.items()
            if "Default" in body
        }

    def required(self):
        return [name for name, body in self.parameters.items() if "Default" not in body]

    def complaint(self, name, value):
        """Why a parameter does not take a value, or None."""
        if name not in self.parameters:
            return f"{name} is no parameter of {self.path.name}."
        body = self.parameters[name]
        constraint = body.get("ConstraintDescription")
        allowed = [text(one) for one in body.get("AllowedValues", [])]
        if allowed and value not in allowed:
            return f"must be one of {', '.join(allowed)}."
        shape, meaning = SHAPES.get(body["Type"], (None, None))
        if shape and not re.fullmatch(shape, value):
            return meaning
        if body["Type"] == "Number" and not in_range(body, value):
            least, most = body.get("MinValue", "any"), body.get("MaxValue", "any")
            return f"must be a number from {least} to {most}."
        if "AllowedPattern" in body and not re.fullmatch(body["AllowedPattern"], value):
            return constraint or f"must match {body['AllowedPattern']}"
        if len(value) > body.get("MaxLength", len(value)):
            return f"must have at most {body['MaxLength']} characters."
        return None

    def refusals(self, given, stack=None, unknown=()):
        """What CloudFormation would say of parameters that each are right by themselves.

        Of those that are `unknown`, since resources decide them, it says nothing.
        """
        values = {**self.defaults(), **given}
        values = {name: value for name, value in values.items() if name not in unknown}
        if stack:
            values["AWS::StackName"] = stack
        found = []
        for rule in self.body.get("Rules", {}).values():
            # What is not known yet is refused by no rule.
            if is_known(rule, values) and self.holds(rule.get("RuleCondition", True), values):
                found += [
                    assertion["AssertDescription"]
                    for assertion in rule["Assertions"]
                    if not self.holds(assertion["Assert"], values)
                ]
        for template, passed, condition in self.nested:
            if not self.holds(condition, values):
                continue
            inner = {name: resolved(value, values) for name, value in passed.items()}
            known = {name: value for name, value in inner.items() if value is not None}
            # What is required here is told where it is missing.
            for name, value in known.items():
                if complaint := template.complaint(name, value):
                    found.append(f"{described(passed[name], values)} {complaint}")
            found += template.refusals(known, unknown=inner.keys() - known.keys())
        return list(dict.fromkeys(found))

    @cached_property
    def nested(self):
        """The templates that it nests, what it passes to them, and under which condition."""
        stacks = [one for one in self.body["Resources"].values() if one["Type"] == NESTED_STACK]
        return [
            (
                Template(self.path.parent / one["Properties"]["TemplateURL"]),
                one["Properties"].get("Parameters", {}),
                {"Condition": one["Condition"]} if "Condition" in one else True,
            )
            for one in stacks
        ]

    def holds(self, condition, values):
        """Whether a condition, or the assertion of a rule, is true."""
        if not isinstance(condition, dict):
            return condition is True
        [(function, argument)] = condition.items()
        if function == "Condition":
            return self.holds(self.body["Conditions"][argument], values)
        if function == "Fn::Equals":
            one, other = (resolved(side, values) for side in argument)
            return one == other
        if function == "Fn::Not":
            return not self.holds(argument[0], values)
        if function == "Fn::And":
            return all(self.holds(one, values) for one in argument)
        if function == "Fn::Or":
            return any(self.holds(one, values) for one in argument)
        if function == "Fn::Contains":
            return resolved(argument[1], values) in [resolved(one, values) for one in argument[0]]
        raise ValueError(f"{function} in a condition is not known")


@cache
def read(path):
    return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)


def text(value):
    """A value as a parameter has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def in_range(body, value):
    if not re.fullmatch(r"-?[0-9]+", value):
        return False
    return body.get("MinValue", int(value)) <= int(value) <= body.get("MaxValue", int(value))


def is_known(expression, values):
    """Whether there is a value of everything that it refers to."""
    if isinstance(expression, dict):
        named = [expression["Ref"]] if isinstance(expression.get("Ref"), str) else []
        inside = all(is_known(one, values) for one in expression.values())
        return inside and all(name in values for name in named)
    return not isinstance(expression, list) or all(is_known(one, values) for one in expression)


def resolved(expression, values):
    """The text of an expression; None if resources decide it."""
    if not isinstance(expression, dict):
        return text(expression)
    [(function, argument)] = expression.items()
    if function == "Ref":
        return values.get(argument)
    if function == "Fn::Sub" and isinstance(argument, str):
        parts = {name: values.get(name) for name in re.findall(r"\$\{([\w:]+)\}", argument)}
        if None in parts.values():
            return None
        return re.sub(r"\$\{([\w:]+)\}", lambda name: parts[name[1]], argument)
    return None


def described(expression, values):
    """What a value that was put together is called."""
    names = (
        re.findall(r"\w+", str(list(expression.values())[0]))
        if isinstance(expression, dict)
        else []
    )
    if names == ["AWS", "StackName"]:
        names = ["The stack's name"]
    return f"{' and '.join(names)} ({resolved(expression, values)})"


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML as CloudFormation reads it: short tags become functions, a repeated key is an error."""

    def construct_mapping(self, node, deep=False):
        mapping = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in mapping:
                raise yaml.constructor.ConstructorError(
                    None, None, f"repeated key {key!r}", key_node.start_mark
                )
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
