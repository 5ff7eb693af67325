"""Writes the tables of parameters and outputs in the guides, from the templates they are about.

A comment in a guide asks for a table, and `<!-- end -->` ends it:

  <!-- parameters of infra/consumer.yaml -->
  <!-- outputs of infra/consumer.yaml -->
  <!-- parameters of infra/link.yaml infra/database.yaml, not in template.yaml -->
  <!-- parameters of template.yaml, in short: VpcId SubnetIds -->

"In short" is the first sentence of each description.

Usage: python tests/tables.py          renews every table
       python tests/tables.py --check  changes nothing, and fails if a table differs
"""

import re
import sys
from pathlib import Path

import yaml
from template_json import Loader

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (".", "functions", "infra", "tests")
GUIDES = [guide for folder in FOLDERS for guide in sorted((ROOT / folder).glob("*.md"))]
TABLE = re.compile(
    r"(<!-- (?P<part>parameters|outputs) of (?P<files>[^,>]+?)"
    r"(?:, not in (?P<outside>\S+)|, in short: (?P<names>[\w ]+?))? -->\n).*?(<!-- end -->)",
    re.DOTALL,
)


def load(path):
    return yaml.load((ROOT / path).read_text(encoding="utf-8"), Loader=Loader)


def table(asked):
    part = asked["part"].capitalize()
    templates = {path: load(path)[part] for path in asked["files"].split()}
    outside = load(asked["outside"])[part] if asked["outside"] else {}
    every = {name: entry for entries in templates.values() for name, entry in entries.items()}
    entries = {name: entry for name, entry in every.items() if name not in outside}
    names = asked["names"].split() if asked["names"] else list(entries)
    # A name of one word may be no name where it stands.
    of_several_words = [name for name in every | outside if re.search("[a-z][A-Z]", name)]
    marked = re.compile(rf"\b({'|'.join(of_several_words)})\b")

    columns = {"name": lambda name: f"`{name}`"}
    if len(templates) > 1:
        columns["layer"] = lambda name: ", ".join(
            Path(path).stem for path, body in templates.items() if name in body
        )
    if part == "Parameters":
        columns["default"] = lambda name: default(entries[name])
        is_short = bool(asked["names"])
        columns["what it is for"] = lambda name: meaning(entries[name], marked, is_short)
    else:
        columns["what it is"] = lambda name: meaning(entries[name], marked, short=False)
    rows = [list(columns), ["---"] * len(columns)]
    rows += [[cell(name) for cell in columns.values()] for name in names]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def default(parameter):
    if "Default" not in parameter:
        return "required"
    if parameter["Default"] == "":
        return "none"
    return "`" + str(parameter["Default"]).replace(",", "`, `") + "`"


def meaning(entry, marked, short):
    text = re.sub(r"\s+", " ", entry["Description"]).strip()
    if short:
        text = re.split(r"(?<=\.) (?=[A-Z'])", text)[0]
    text = text.rstrip(".") + "."
    allowed = [str(value) for value in entry.get("AllowedValues", [])]
    unnamed = not all(re.search(rf"\b{re.escape(value)}\b", text) for value in allowed)
    text = marked.sub(r"`\1`", re.sub(r"([*|<])", r"\\\1", text))
    values = ", ".join(f"`{value}`" for value in allowed)
    return text + (f" One of {values}." if unnamed else "")


def main(check):
    stale = []
    for guide in GUIDES:
        text = guide.read_text(encoding="utf-8")
        renewed = TABLE.sub(lambda asked: asked[1] + table(asked) + asked[6], text)
        if renewed != text:
            stale.append(str(guide.relative_to(ROOT)))
            if not check:
                guide.write_text(renewed, encoding="utf-8")
    what = "is not that of its template; run make tables" if check else "was renewed"
    print("\n".join(f"{name}: a table {what}" for name in stale))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(check=sys.argv[1:] == ["--check"]))
