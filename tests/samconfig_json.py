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
    parts = TomlFileManager.read(path).items()
    options = {}
    for environment in [name for name, body in parts if isinstance(body, dict)]:
        # Merging changes the document, so that each environment gets its own.
        deploy = SamConfig(directory).get_all(["deploy"], "parameters", environment)
        overrides = deploy.get("parameter_overrides", [])
        deploy["parameter_overrides"] = CfnParameterOverridesType().convert(overrides, None, None)
        options[environment] = deploy
    json.dump(options, sys.stdout, indent=1)


if __name__ == "__main__":
    main(sys.argv[1])
