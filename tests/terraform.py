"""Makes and checks infra/terraform, the module around function-standalone.yaml.

Usage: python tests/terraform.py          makes variables.tf and parameters.tf from the template
       python tests/terraform.py --check  changes nothing, and fails if they differ, if a file is no
                                          HCL or indented otherwise, or if an argument is unknown

What the provider takes was read from @cdktf/provider-aws 21.22.1 (npm), which was made from version
6.25.0 of 2025-12; --check reads it from ARGUMENTS, since the provider's own plugin can only be had
from its registry. Neither `terraform validate` nor `plan` is run here.
"""

import functools
import json
import re
import sys
from pathlib import Path

import yaml
from template_json import Loader

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "infra"))
from standalone import standalone  # noqa: E402

MODULE = ROOT / "infra/terraform"
HEAD = "# Made from infra/function.yaml by tests/terraform.py.\n\n"
# Where the module has put the zip.
OWN = {"CodeS3Bucket", "CodeS3Key", "CodeS3ObjectVersion"}
# The zip of a release is found by it, so there is one that most have.
DEFAULTS = {"Architecture": "arm64"}

META = set("count depends_on for_each lifecycle provider".split())
ARGUMENTS = {
    "aws_cloudformation_stack": "capabilities disable_rollback iam_role_arn name notification_arns "
    "on_failure parameters policy_body policy_url region tags template_body template_url "
    "timeout_in_minutes timeouts",
    "aws_s3_object": "bucket bucket_key_enabled content content_type etag force_destroy key "
    "kms_key_id region server_side_encryption source source_hash tags",
    "aws_sns_topic": "delivery_policy display_name kms_master_key_id name name_prefix policy "
    "region tags",
    "aws_lb": "access_logs customer_owned_ipv4_pool dns_record_client_routing_policy "
    "enable_cross_zone_load_balancing enable_deletion_protection "
    "enforce_security_group_inbound_rules_on_private_link_traffic internal ip_address_type "
    "load_balancer_type name name_prefix region security_groups subnet_mapping subnets tags",
    "aws_lb_listener": "default_action load_balancer_arn port protocol region tags "
    "tcp_idle_timeout_seconds",
    "aws_lb_target_group": "connection_termination deregistration_delay health_check "
    "ip_address_type load_balancing_cross_zone_enabled name name_prefix port preserve_client_ip "
    "protocol proxy_protocol_v2 region stickiness tags target_health_state target_type vpc_id",
    "data.aws_lb": "arn name region tags",
    "data.aws_lb_target_group": "arn name region tags",
    "data.aws_s3_bucket": "bucket region",
}


@functools.cache
def all_parameters():
    return yaml.load(standalone(), Loader=Loader)["Parameters"]


def made():
    """The files that follow from the template."""
    parameters = {
        name: definition | ({"Default": DEFAULTS[name]} if name in DEFAULTS else {})
        for name, definition in all_parameters().items()
        if name not in OWN
    }
    width = max(map(len, parameters))
    passed = [f"    {name:<{width}} = var.{snake(name)}\n" for name in parameters]
    return {
        "variables.tf": HEAD + "\n".join(variable(*one) for one in parameters.items()),
        "parameters.tf": f"{HEAD}locals {{\n  parameters = {{\n{''.join(passed)}  }}\n}}\n",
    }


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def variable(name, definition):
    is_number = definition["Type"] == "Number"
    lines = [
        f'variable "{snake(name)}" {{',
        f"  type        = {'number' if is_number else 'string'}",
        f"  description = {text(named(definition['Description']))}",
    ]
    if "Default" in definition:
        default = definition["Default"]
        lines.append(f"  default     = {default if is_number else text(str(default))}")
    lines.append("  nullable    = false")
    if conditions := list(conditions_of(f"var.{snake(name)}", definition, is_number)):
        constraint = definition.get("ConstraintDescription") or "must be " + allowed(definition)
        lines += [
            "",
            "  validation {",
            f"    condition     = {' && '.join(conditions)}",
            f"    error_message = {text(f'{snake(name)} {named(constraint)}')}",
            "  }",
        ]
    return "\n".join([*lines, "}\n"])


def conditions_of(name, definition, is_number):
    if "AllowedValues" in definition:
        values = definition["AllowedValues"]
        yield f"contains([{', '.join(str(v) if is_number else text(v) for v in values)}], {name})"
    if "AllowedPattern" in definition:
        yield f"can(regex({text(definition['AllowedPattern'])}, {name}))"
    if "MaxLength" in definition:
        yield f"length({name}) <= {definition['MaxLength']}"
    if "MinValue" in definition:
        yield f"{name} >= {definition['MinValue']} && {name} <= {definition['MaxValue']}"


def allowed(definition):
    if "AllowedValues" in definition:
        return f"one of {', '.join(map(str, definition['AllowedValues']))}."
    return f"from {definition['MinValue']} to {definition['MaxValue']}."


def named(words):
    """With the names of variables in place of parameters."""
    words = re.sub(r"\s+", " ", words).strip()
    names = "|".join(name for name in all_parameters() if re.search("[a-z][A-Z]", name))
    return re.sub(rf"\b({names})\b", lambda name: snake(name[0]), words)


def text(value):
    """As HCL quotes it."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def complaints():
    import hcl2  # Only the environment of the linters has it.

    for name, content in made().items():
        if (MODULE / name).read_text(encoding="utf-8") != content:
            yield f"{name} is not what the template makes: run make tables"
    declared = [hcl2.loads(path.read_text(encoding="utf-8")) for path in MODULE.glob("*.tf")]
    variables = {
        name: "default" in body
        for parsed in declared
        for entry in parsed.get("variable", [])
        for name, body in entry.items()
    }
    for path in sorted(MODULE.rglob("*.tf")):
        where, content = path.relative_to(ROOT), path.read_text(encoding="utf-8")
        yield from (f"{where}:{complaint}" for complaint in layout(content))
        try:
            parsed = hcl2.loads(content)
        except Exception as error:
            yield f"{where}: {error}"
            continue
        yield from (f"{where}: {complaint}" for complaint in unknown_arguments(parsed))
        yield from (f"{where}: {complaint}" for complaint in wrong_calls(parsed, variables))


def layout(content):
    """Two spaces for everything that is open, and no tabs."""
    depth = 0
    for number, line in enumerate(content.splitlines(), 1):
        code = re.sub(r'"(\\.|[^"\\])*"', '""', line).split("#")[0].strip()
        opened, closed = len(re.findall(r"[\[{(]", code)), len(re.findall(r"[\]})]", code))
        leading = len(re.match(r"[\]})]*", code)[0])
        indent = 2 * (depth - min(leading, 1))
        if line.strip() and (len(line) - len(line.lstrip(" ")) != indent or line != line.rstrip()):
            yield f"{number}: is not indented by {indent}, or ends in a space"
        depth += (opened > closed) - (closed > opened)


def unknown_arguments(parsed):
    for block, prefix in (("resource", ""), ("data", "data.")):
        for entry in parsed.get(block, []):
            for kind, named_body in entry.items():
                for body in named_body.values():
                    known = set(ARGUMENTS[prefix + kind].split()) | META
                    for argument in sorted(written(body) - known):
                        yield f"{prefix}{kind} has no argument {argument}"


def wrong_calls(parsed, variables):
    """What an example gives the module, which has these variables, and whether by default."""
    for entry in parsed.get("module", []):
        for body in entry.values():
            given = written(body) - {"source"}
            yield from (f"the module has no variable {name}" for name in given - variables.keys())
            required = {name for name, has_default in variables.items() if not has_default}
            yield from (f"the module wants {name}" for name in required - given)


def written(body):
    """The parser adds where a block stands."""
    return {name for name in body if not name.startswith("__")}


def main(check):
    if check:
        found = list(complaints())
        print("\n".join(found), end="\n" if found else "")
        return bool(found)
    for name, content in made().items():
        (MODULE / name).write_text(content, encoding="utf-8")
    return False


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    sys.exit(main(check=bool(sys.argv[1:])))
