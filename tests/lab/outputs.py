"""Prints the outputs of a stack at AWS_ENDPOINT_URL as a JSON object.

usage: outputs.py STACK
"""

import json
import sys

import boto3

if __name__ == "__main__":
    [_, name] = sys.argv
    [stack] = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    outputs = stack.get("Outputs", [])
    print(json.dumps({output["OutputKey"]: output["OutputValue"] for output in outputs}))
