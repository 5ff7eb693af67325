"""What was found and said, for a person as a table and for a program as JSON."""

import json
import re
import shlex
import shutil
import textwrap

from configuration.settings import DEFAULT

VALUE = 34


def table(settings):
    """Parameter, value, where it comes from; then what will matter later."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    known = settings.ordered()
    first = max(map(len, known), default=0)
    lines = rows("PARAMETER", "VALUE", "FROM", first, width)
    for name, setting in known.items():
        lines += rows(name, setting.value, setting.source, first, width)
    left = [name for name in settings.template.parameters if name not in settings.rows]
    notes = [f"Defaults: {', '.join(left)}."] if left else []
    notes += [f"! {note}." for note in settings.unseen.values()]
    notes += [f"! {note}" for note in settings.warnings]
    notes += [f"- {note}" for note in settings.hints]
    for note in notes:
        # Below it stands a command, which can be copied.
        head, *commands = note.split("\n")
        lines += textwrap.wrap(
            head, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
        )
        lines += [f"  {command}" for command in commands]
    return "\n".join(lines)


def rows(name, value, source, first, width):
    """The lines of a parameter. A name is not cut: what comes after it goes on below."""
    values, lines = lines_of(value), []
    for number, part in enumerate(values):
        line = f"{'' if number else name:<{first}}  {part:<{VALUE}}"
        if number == 0 and len(line) + 2 + len(source) <= width:
            line, source = f"{line}  {source}", ""
        lines.append(line.rstrip())
    indent = " " * (first + 2)
    return lines + textwrap.wrap(source, width, initial_indent=indent, subsequent_indent=indent)


def lines_of(value):
    """The parts of a list, as many in a line as fit."""
    lines = [""]
    for part in re.findall(r"[^,]+,?", value or "(empty)"):
        if lines[-1] and len(lines[-1]) + len(part) > VALUE:
            lines.append("")
        lines[-1] += part
    return lines


def as_json(settings, target, database, commands):
    found = {
        "endpoint": database.name,
        "region": database.region,
        "stack": target.stack,
        "written": str(target.file),
        "parameters": {
            name: {"value": settings.rows[name].value, "from": settings.rows[name].source}
            if name in settings.rows
            else {"value": settings.value(name), "from": DEFAULT}
            for name in settings.template.parameters
        },
        "warnings": settings.warnings,
        "unseen": settings.unseen,
        "commands": [shlex.join(command) for command in commands],
    }
    return json.dumps(found, indent=2)


def parameters_json(rows):
    """As `aws cloudformation` reads parameters from a file."""
    pairs = [{"ParameterKey": name, "ParameterValue": row.value} for name, row in rows.items()]
    return json.dumps(pairs, indent=2) + "\n"


def tfvars(rows):
    """As Terraform's module in infra/terraform has them: its variables are the parameters."""
    lines = [f"{variable(name)} = {hcl(row.value)} # {row.source}\n" for name, row in rows.items()]
    return "".join(lines)


def variable(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def hcl(text):
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")
