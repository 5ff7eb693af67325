"""Prints a CloudFormation template as JSON, with every intrinsic in its long form.

Usage: python template_json.py < template.yaml
"""

import json
import sys
from pathlib import Path

import yaml

sys.path.append(str(Path(__file__).resolve().parent.parent / "infra"))

from configuration.template import Loader  # noqa: E402

if __name__ == "__main__":
    json.dump(yaml.load(sys.stdin.buffer, Loader=Loader), sys.stdout, indent=1)
