"""Prints what `sam deploy` reads from a samconfig.toml as JSON: the options by environment.

Usage: python samconfig_json.py directory-of-samconfig.toml
"""

import json
import sys

from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.file_manager import TomlFileManager
from samcli.lib.config.samconfig import SamConfig


def main(directory):
    path = SamConfig(directory).filepath
    environments = [name for name, body in TomlFileManager.read(path).items() if isinstance(body, dict)]
    # Merging changes the document, so that each environment gets its own.
    options = {name: SamConfig(directory).get_all(["deploy"], "parameters", name) for name in environments}
    for deploy in options.values():
        overrides = CfnParameterOverridesType().convert(deploy.get("parameter_overrides", []), None, None)
        deploy["parameter_overrides"] = overrides
    json.dump(options, sys.stdout, indent=1)


if __name__ == "__main__":
    main(sys.argv[1])
