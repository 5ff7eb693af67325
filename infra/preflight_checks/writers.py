"""Who else registers and deregisters targets of a group: two writers undo each other's work."""

import json

from preflight_checks.facts import NOTE, OK, UNSEEN, WARN
from read_only import Unseen

ACTIONS = {
    "cloudformation:GetTemplate",
    "codedeploy:BatchGetDeploymentGroups",
    "codedeploy:ListApplications",
    "codedeploy:ListDeploymentGroups",
    "ecs:DescribeServices",
    "ecs:ListClusters",
    "ecs:ListServices",
    "elasticloadbalancing:DescribeTags",
    "lambda:ListFunctions",
}
# Variables in which public functions keep the group, and where these are from.
VARIABLES = {
    "BINDINGS": "failover-sync",
    "ELB_TG_ARN": "camptocamp/terraform-aws-rds-nlb",
    "NLB_TG_ARN": "aws-samples/amazon-rds-crossaccount-access or redis/rdi-cloud-automation",
    "RDS_DETAILS": "MaterializeInc/terraform-aws-rds-privatelink",
    "TARGET_GROUP_ARN": "shipmonk-rnd/terraform-aws-adjust-target-group",
}
# Of controllers in Kubernetes that own what they made.
CONTROLLERS = ("elbv2.k8s.aws/cluster", "service.k8s.aws/stack", "eks:eks-cluster-name")


def stack(facts):
    """What a template lists as targets is registered again by an update."""
    name = facts.tags.get("aws:cloudformation:stack-name")
    if not name:
        yield OK, "the group is of no stack of CloudFormation"
        return
    logical = facts.tags.get("aws:cloudformation:logical-id")
    whose = f"{logical} of the stack {name}"
    pages = facts.aws.pages(
        "cloudformation", "GetTemplate", StackName=name, TemplateStage="Processed"
    )
    body = next(iter(pages))["TemplateBody"]
    resource = template(body).get("Resources", {}).get(logical, {})
    if "Targets" in resource.get("Properties", {}):
        yield (
            WARN,
            f"{whose} lists Targets: an update of the stack registers them again. Take them out of "
            "the template, and deploy it before the function acts",
            facts.command("cloudformation", "get-template", "--stack-name", name),
        )
    else:
        yield NOTE, f"{whose}, which lists no Targets. Never delete that stack"


def template(body):
    """A template as a dictionary; JSON comes as one."""
    if not isinstance(body, str):
        return body
    try:
        import yaml
    except ImportError as error:
        reason = "the template is YAML, and Python has no yaml: pip install pyyaml"
        raise Unseen("cloudformation:GetTemplate", reason) from error

    class Loader(yaml.SafeLoader):
        """With the short forms of functions, of which nothing is needed."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: suffix)
    try:
        return yaml.load(body, Loader) or {}
    except yaml.YAMLError as error:
        reason = f"the template is no YAML: {str(error).splitlines()[0]}"
        raise Unseen("cloudformation:GetTemplate", reason) from error


def controller(facts):
    found = [f"{key}={facts.tags[key]}" for key in CONTROLLERS if key in facts.tags]
    found += sorted(key for key in facts.tags if key.startswith("kubernetes.io/cluster/"))
    if found:
        yield (
            WARN,
            f"tagged {', '.join(found)}: a controller of that cluster registers its pods, and "
            "deregisters what it does not know. Find the binding, or take another group",
            "kubectl get targetgroupbindings --all-namespaces",
        )
    else:
        yield OK, "no tag of a controller"


def database_tags(facts):
    """One public function finds its groups in tags of the databases."""
    tags = [key for key, value in facts.database.tags.items() if facts.arn in value]
    if tags:
        yield (
            WARN,
            f"the database's tag {', '.join(tags)} holds the group's ARN, from which a function "
            f"takes it ({VARIABLES['TARGET_GROUP_ARN']} does)",
            facts.command(
                *("rds", "remove-tags-from-resource", "--resource-name", facts.database.arn),
                *("--tag-keys", *tags),
                region=facts.database.region,
            ),
        )
    elif facts.database.unseen and not facts.database.is_of_rds:
        raise facts.database.unseen[0]
    else:
        yield OK, "none holds the group's ARN"


def functions(facts):
    hidden = []
    found = False
    for function in facts.aws.all("lambda", "ListFunctions", "Functions"):
        environment = function.get("Environment", {})
        if "Error" in environment:
            hidden.append(function["FunctionName"])
        for name, value in environment.get("Variables", {}).items():
            if facts.arn.partition(":targetgroup/")[2] in value:
                found = True
                yield writing_function(facts, function, name)
    if hidden:
        some = ", ".join(hidden[:5]) + (f" and {len(hidden) - 5} more" if len(hidden) > 5 else "")
        yield (
            UNSEEN,
            f"not allowed to look: kms:Decrypt for the variables of {some}",
            "have kms:Decrypt allowed for the key of these functions, or ask who may",
        )
    if not found and not hidden:
        yield OK, "no variable of a function here holds the group's ARN"


def writing_function(facts, function, variable):
    name, arn = function["FunctionName"], function["FunctionArn"]
    origin = f" (as in {VARIABLES[variable]})" if variable in VARIABLES else ""
    if function["Environment"]["Variables"].get("MODE") == "observe":
        return NOTE, f"{name} has it in {variable}{origin} and observes: it writes nothing"
    return (
        WARN,
        f"{name} has it in {variable}{origin}. Disable what triggers it (a rule, an event "
        "subscription), and wait for one timeout. Concurrency 0 is no stop: what waits runs when "
        "it is lifted",
        facts.command("lambda", "get-policy", "--function-name", name),
        facts.command("events", "list-rule-names-by-target", "--target-arn", arn),
        facts.command("events", "disable-rule", "--name", "RULE"),
        facts.command("rds", "describe-event-subscriptions"),
        facts.command(
            *("rds", "modify-event-subscription", "--subscription-name", "SUBSCRIPTION"),
            "--no-enabled",
        ),
    )


def services(facts):
    """Of ECS, whose services register their tasks."""
    found = False
    for cluster in facts.aws.all("ecs", "ListClusters", "clusterArns"):
        arns = facts.aws.all("ecs", "ListServices", "serviceArns", cluster=cluster)
        for ten in chunks(arns, 10):
            for service in facts.aws.all(
                "ecs", "DescribeServices", "services", cluster=cluster, services=ten
            ):
                if facts.arn in json.dumps(balancers(service)):
                    found = True
                    name = service["serviceName"]
                    yield (
                        WARN,
                        f"the service {name} of {cluster} registers its tasks in the group. Take "
                        "the group out of the service, or take another group",
                        facts.command(
                            *("ecs", "update-service", "--cluster", cluster, "--service", name),
                            *("--load-balancers", "[]"),
                        ),
                    )
    if not found:
        yield OK, "no service of ECS has the group"


def balancers(service):
    """Where a service, or a part of it that is being deployed, names target groups."""
    parts = [service, *service.get("taskSets", []), *service.get("deployments", [])]
    return [part.get("loadBalancers", []) for part in parts]


def deployment_groups(facts):
    """Of CodeDeploy, which knows target groups by name."""
    found = False
    for application in facts.aws.all("codedeploy", "ListApplications", "applications"):
        names = facts.aws.all(
            "codedeploy", "ListDeploymentGroups", "deploymentGroups", applicationName=application
        )
        for hundred in chunks(names, 100):
            for group in facts.aws.all(
                "codedeploy",
                "BatchGetDeploymentGroups",
                "deploymentGroupsInfo",
                applicationName=application,
                deploymentGroupNames=hundred,
            ):
                if facts.name in deployed_to(group.get("loadBalancerInfo", {})):
                    found = True
                    yield (
                        WARN,
                        f"{group['deploymentGroupName']} of {application} deploys to a group of "
                        "this name, and moves its traffic and targets",
                        facts.command(
                            *("deploy", "get-deployment-group", "--application-name", application),
                            *("--deployment-group-name", group["deploymentGroupName"]),
                        ),
                    )
    if not found:
        yield OK, "no deployment group of CodeDeploy has the group"


def deployed_to(balancers):
    groups = list(balancers.get("targetGroupInfoList", []))
    for pair in balancers.get("targetGroupPairInfoList", []):
        groups += pair.get("targetGroups", [])
    return {group.get("name") for group in groups}


def chunks(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def terraform(facts):
    yield (
        NOTE,
        "its state is not AWS's to tell. An aws_lb_target_group_attachment registers its target "
        "again at an apply; take it out without destroying it",
        "terraform state list | grep aws_lb_target_group_attachment",
        "terraform state rm ADDRESS",
    )


CHECKS = {
    "stack": stack,
    "Kubernetes": controller,
    "RDS tags": database_tags,
    "Lambda": functions,
    "ECS": services,
    "CodeDeploy": deployment_groups,
    "Terraform": terraform,
}
