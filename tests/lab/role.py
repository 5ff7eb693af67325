"""Reads, changes and questions a role at AWS_ENDPOINT_URL, and prints the answer as JSON.

usage: role.py policies ROLE
       role.py put ROLE POLICY DOCUMENT
       role.py may ROLE ACTION RESOURCE

`policies` prints {policy: document} of the inline policies; `put` replaces one of them, and removes
it when the document has no statement; `may` prints what SimulatePrincipalPolicy decides: allowed,
implicitDeny or explicitDeny.
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
    if not sys.argv[1:] or sys.argv[1] not in commands:
        sys.exit(__doc__)
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
