"""Reads, changes and questions roles at AWS_ENDPOINT_URL.

Each line of the standard input is a JSON array, and each is answered with a line of JSON:

    ["policies", ROLE]
    ["put", ROLE, POLICY, DOCUMENT]
    ["may", ROLE, ACTION, RESOURCE]

`policies` answers {policy: document} of the inline policies; `put` replaces one of them, and
removes it when the document has no statement; `may` says what SimulatePrincipalPolicy decides:
allowed, implicitDeny or explicitDeny.
"""

import json
import sys

import boto3

IAM = boto3.client("iam")


def policies(role):
    names = IAM.list_role_policies(RoleName=role)["PolicyNames"]
    answers = {name: IAM.get_role_policy(RoleName=role, PolicyName=name) for name in names}
    return {name: answer["PolicyDocument"] for name, answer in answers.items()}


def put(role, policy, document):
    if json.loads(document)["Statement"]:
        IAM.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
    else:
        IAM.delete_role_policy(RoleName=role, PolicyName=policy)


def may(role, action, resource):
    arn = IAM.get_role(RoleName=role)["Role"]["Arn"]
    answer = IAM.simulate_principal_policy(
        PolicySourceArn=arn, ActionNames=[action], ResourceArns=[resource]
    )
    return answer["EvaluationResults"][0]["EvalDecision"]


if __name__ == "__main__":
    commands = {"policies": policies, "put": put, "may": may}
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        print(json.dumps(commands[command](*arguments)), flush=True)
