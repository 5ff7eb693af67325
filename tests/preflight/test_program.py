"""The command: what it prints, how it ends, and that it only looks."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import preflight
from boto3 import Session
from aws_on_loopback import DENIED, Fault
from package import PROGRAMS, ROOT
from preflight_checks import group
from read_only import ReadOnly
from world import ATTRIBUTES, PORT, World

CLEAN = Path(__file__).with_name("clean.txt")
# Found last of all, so that every list is looked through.
PROXY = "ro.endpoint.proxy-c1.eu-west-1.rds.amazonaws.com"


class Busy(World):
    """An account in which every action is needed."""

    def setUp(self):
        super().setUp()
        self.attributes(self.arn, {group.CROSS_ZONE: "use_load_balancer_configuration"})
        self.addCleanup(self.attributes, self.arn, ATTRIBUTES)
        tags = {"stack-name": "link", "logical-id": "Group"}
        tags = [{"Key": f"aws:cloudformation:{key}", "Value": tags[key]} for key in tags]
        ends = {"VpcId": self.vpc, "VpcSubnetIds": self.subnets, "DBProxyName": "px"}
        ends["VpcSecurityGroupIds"] = [self.database_group]
        self.answers |= {
            "elasticloadbalancing:DescribeTags": {"TagDescriptions": [{"Tags": tags}]},
            "cloudformation:GetTemplate": {"TemplateBody": "Resources: {}"},
            "rds:DescribeDBProxies": {"DBProxies": [ends | {"EngineFamily": "POSTGRESQL"}]},
            "rds:DescribeDBProxyEndpoints": {"DBProxyEndpoints": [ends | {"Endpoint": PROXY}]},
            "ec2:DescribeSecurityGroupRules": {"SecurityGroupRules": []},
            "ecs:ListClusters": {"clusterArns": ["arn:cluster"]},
            "ecs:ListServices": {"serviceArns": ["arn:service"]},
            "ecs:DescribeServices": {"services": []},
            "codedeploy:ListApplications": {"applications": ["shop"]},
            "codedeploy:ListDeploymentGroups": {"deploymentGroups": ["prod"]},
            "codedeploy:BatchGetDeploymentGroups": {"deploymentGroupsInfo": []},
            "lambda:ListFunctions": {"Functions": []},
        }
        self.targets(("10.0.1.5", PORT, "initial"))

    def look(self, endpoint=PROXY):
        return preflight.checks(
            self.session,
            self.arn,
            endpoint,
            aliases=self.aliases,
            addresses=self.addresses,
        )

    def test_it_calls_what_the_policy_lists_and_nothing_else(self):
        self.aws.calls.clear()
        verdicts = {check.verdict for check in self.look() + self.look(self.endpoint)}
        self.assertEqual(set(self.aws.calls), set(preflight.ACTIONS))
        self.assertNotIn("unseen", verdicts)

    def test_what_it_may_not_look_at_is_named_and_never_ok(self):
        for action in sorted(preflight.ACTIONS - {"elasticloadbalancing:DescribeTargetGroups"}):
            # The one that a cluster needs, and a proxy does not.
            endpoint = self.endpoint if action == "rds:DescribeDBSubnetGroups" else PROXY
            with self.subTest(action):
                self.assert_unseen(action, DENIED, f"not allowed to look: {action}", endpoint)

    def test_what_is_not_answered_is_not_looked_at_either(self):
        for action in ("elasticloadbalancing:DescribeTags", "cloudtrail:LookupEvents"):
            reason = f"{action} was not answered: An error occurred (Throttling)"
            self.assert_unseen(action, Fault("Throttling", "Rate exceeded"), reason, PROXY)

    def assert_unseen(self, action, fault, reason, endpoint):
        with mock.patch.dict(self.answers, {action: fault}):
            found = self.look(endpoint)
        unseen = [check for check in found if check.verdict == "unseen"]
        self.assertIn(reason, "\n".join(check.found for check in unseen))
        self.assertTrue(all(check.remedy for check in unseen))

    def test_each_service_denies_with_a_code_of_its_own(self):
        for action, code in {
            "cloudtrail:LookupEvents": "AccessDeniedException",
            "ec2:DescribeSecurityGroupRules": "UnauthorizedOperation",
            "elasticloadbalancing:DescribeListeners": "AccessDenied",
        }.items():
            with mock.patch.dict(self.answers, {action: Fault(code, "not authorized")}):
                found = "\n".join(check.found for check in self.look())
            self.assertIn(f"not allowed to look: {action}", found)


class Program(World):
    def setUp(self):
        super().setUp()
        width = mock.patch.dict(os.environ, {"COLUMNS": "100"})
        width.start()
        self.addCleanup(width.stop)

    def test_a_group_without_a_fault_is_shown_as_a_table_with_notes(self):
        code, output, errors = self.run_program(self.arn, self.endpoint)
        for name in ("arn", "endpoint", "balancer", "vpc", "balancer_group"):
            output = output.replace(getattr(self, name), f"<{name}>")
        self.assertEqual(output.splitlines(), CLEAN.read_text(encoding="utf-8").splitlines())
        self.assertEqual(code, 0)
        expected = [
            f"CloudTrail: 0 events {name}" for name in ("RegisterTargets", "DeregisterTargets")
        ]
        self.assertEqual(errors.splitlines(), expected)

    def test_the_exit_code_is_that_of_the_worst_verdict(self):
        for key, value, code in [(group.CUT, "false", 1), (group.PROXY_PROTOCOL, "true", 2)]:
            self.attributes(self.arn, {key: value})
            self.assertEqual(self.run_program(self.arn, self.endpoint)[0], code)
        self.attributes(self.arn, ATTRIBUTES)
        self.answers["elasticloadbalancing:DescribeTags"] = DENIED
        self.assertEqual(self.run_program(self.arn, self.endpoint)[0], 1)

    def test_the_results_are_there_as_json(self):
        code, output, _ = self.run_program(self.arn, self.endpoint, "--json", "--events", "0")
        answer = json.loads(output)
        self.assertEqual((code, answer["targetGroup"]), (0, self.arn))
        names = [check["name"] for check in answer["checks"]]
        self.assertEqual(names, list(preflight.every(0, None)))
        self.assertEqual(sum(answer["verdicts"].values()), len(names))
        self.assertEqual(set(answer["checks"][0]), {"name", "verdict", "found", "remedy"})

    def test_without_the_group_nothing_is_shown(self):
        missing = self.arn[:-16] + "0123456789abcdef"
        denied = {"elasticloadbalancing:DescribeTargetGroups": DENIED}
        expired = {"elasticloadbalancing:DescribeTargetGroups": Fault("ExpiredToken", "too old")}
        for arn, answers, text in [
            (missing, {}, "there is no target group orders in eu-west-1"),
            (self.arn, denied, "not allowed to look: elasticloadbalancing:DescribeTargetGroups"),
            (self.arn, expired, "too old"),
        ]:
            with self.subTest(text), mock.patch.dict(self.answers, answers):
                code, output, errors = self.run_program(arn, self.endpoint)
                self.assertEqual((code, output), (3, ""))
                self.assertIn(text, errors)

    def test_without_credentials_nothing_is_shown(self):
        with mock.patch.dict(os.environ):
            del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
            code, output, errors = self.run_program(self.arn, self.endpoint, session=Session)
        self.assertEqual((code, output), (3, ""))
        self.assertIn("error: Unable to locate credentials.", errors)

    def test_what_is_throttled_is_asked_again(self):
        answers = [Fault("Throttling", "Rate exceeded"), None, None]
        self.answers["elasticloadbalancing:DescribeTags"] = lambda request: answers.pop(0)
        with mock.patch.dict(os.environ):
            del os.environ["AWS_MAX_ATTEMPTS"]
            words = (self.arn, self.endpoint, "--events", "0")
            code, *_ = self.run_program(*words, session=Session)
        self.assertEqual((code, len(answers)), (0, 1))

    def test_a_command_names_the_region_if_it_is_not_that_of_the_person(self):
        self.attributes(self.arn, {group.CUT: "false"})
        self.addCleanup(self.attributes, self.arn, ATTRIBUTES)
        words = (self.arn, self.endpoint, "--events", "0")
        for region, option in [("us-east-1", " --region eu-west-1"), ("eu-west-1", "")]:
            with mock.patch.dict(os.environ, {"AWS_REGION": region}):
                code, output, _ = self.run_program(*words, session=Session)
            self.assertEqual(code, 1)
            self.assertIn(f"connection_termination.enabled,Value=true{option}\n", output)

    def test_a_target_group_has_an_arn_in_every_partition(self):
        for partition in ("aws", "aws-cn", "aws-us-gov", "aws-iso-b", "aws-eusc"):
            arn = self.arn.replace("arn:aws:", f"arn:{partition}:")
            self.assertEqual(preflight.target_group(arn), arn)

    def test_wrong_usage_says_what_is_meant(self):
        for words, text in [
            ([self.balancer, self.endpoint], "is no ARN of a target group"),
            ([self.arn, f"postgres://{self.endpoint}/db"], "is no name of a host"),
            ([self.arn, f"{self.endpoint}:5432"], "is no name of a host"),
            ([self.arn], "ENDPOINT"),
        ]:
            code, output, errors = self.run_program(*words)
            self.assertEqual((code, output), (2, ""))
            self.assertIn(text, errors)

    def test_a_release_has_all_that_it_is_made_of_and_prints_the_policy(self):
        with tempfile.TemporaryDirectory() as release:
            for source in [file for name in PROGRAMS for file in ROOT.glob(name)]:
                target = Path(release, source.relative_to(ROOT))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
            program = [sys.executable, "-B", "infra/preflight.py", "--policy"]
            ended = subprocess.run(program, cwd=release, env={}, stdout=subprocess.PIPE, check=True)
        [statement] = json.loads(ended.stdout)["Statement"]
        self.assertEqual(statement["Action"], sorted(preflight.ACTIONS))

    def test_nothing_that_writes_can_be_called(self):
        for action in ("elasticloadbalancing:DeregisterTargets", "rds:StartDBCluster"):
            with self.assertRaisesRegex(ValueError, f"not only read: {action}"):
                ReadOnly(self.session, preflight.ACTIONS | {action})
        with self.assertRaisesRegex(ValueError, "not in the list"):
            list(ReadOnly(self.session, preflight.ACTIONS).pages("rds", "DescribeEvents"))


class Remedies(World):
    def test_each_is_a_command_that_the_aws_cli_takes(self):
        """`tests/guides.py` lets the AWS CLI parse them, as it does those of the guides."""
        commands = "\n".join(sorted(self.remedies()))
        self.assertGreater(len(commands.splitlines()), 20)
        asked = {"guides": {"remedies": f"```sh\n{commands}\n```\n"}, "templates": []}
        judged = subprocess.run(
            [sys.executable, ROOT / "tests/guides.py"],
            input=json.dumps(asked),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        answer = json.loads(judged.stdout)["remedies"]
        self.assertEqual(answer["complaints"], [])
        self.assertEqual(len(answer["commands"]), len(commands.splitlines()))

    def remedies(self):
        """Of accounts in which as much is wrong as can be at a time."""
        lonely = self.target_group("alone", TargetType="instance")
        is_off = (group.CROSS_ZONE, group.CUT, group.UNHEALTHY)
        wrong = {key: "false" if key in is_off else "true" for key in ATTRIBUTES}
        self.attributes(self.arn, wrong | {group.DELAY: "0"})
        groups = self.elbv2.describe_target_groups()["TargetGroups"]
        self.answers |= {
            "elasticloadbalancing:DescribeLoadBalancers": self.described(
                "elbv2", "describe_load_balancers", "LoadBalancers", Type="application"
            ),
            "elasticloadbalancing:DescribeTargetGroups": lambda request: {
                "TargetGroups": [
                    one | {"IpAddressType": "ipv6"}
                    for one in groups
                    if one["TargetGroupArn"] == request["TargetGroupArns.member.1"]
                ]
            },
            "rds:DescribeDBClusters": self.described(
                "rds",
                "describe_db_clusters",
                "DBClusters",
                PubliclyAccessible=True,
                TagList=[{"Key": "group", "Value": self.arn}],
            ),
            "rds:DescribeDBSubnetGroups": {
                "DBSubnetGroups": [
                    {
                        "VpcId": "vpc-other",
                        "Subnets": [
                            {
                                "SubnetIdentifier": "subnet-c",
                                "SubnetAvailabilityZone": {"Name": "eu-west-1c"},
                            }
                        ],
                    }
                ]
            },
            "ec2:DescribeSecurityGroupRules": {"SecurityGroupRules": []},
            "elasticloadbalancing:DescribeTags": {
                "TagDescriptions": [
                    {"Tags": [{"Key": "aws:cloudformation:stack-name", "Value": "link"}]}
                ]
            },
            "cloudformation:GetTemplate": {"TemplateBody": '{"Resources": {}}'},
            "ecs:ListClusters": {"clusterArns": ["arn:aws:ecs:eu-west-1:1:cluster/prod"]},
            "ecs:ListServices": {"serviceArns": ["arn:service"]},
            "ecs:DescribeServices": {
                "services": [
                    {"serviceName": "app", "loadBalancers": [{"targetGroupArn": self.arn}]}
                ]
            },
            "codedeploy:ListApplications": {"applications": ["shop"]},
            "codedeploy:ListDeploymentGroups": {"deploymentGroups": ["prod"]},
            "codedeploy:BatchGetDeploymentGroups": {
                "deploymentGroupsInfo": [
                    {
                        "deploymentGroupName": "prod",
                        "loadBalancerInfo": {"targetGroupInfoList": [{"name": "orders"}]},
                    }
                ]
            },
            "lambda:ListFunctions": {
                "Functions": [
                    {
                        "FunctionName": "writer",
                        "FunctionArn": "arn:aws:lambda:eu-west-1:1:function:writer",
                        "Environment": {"Variables": {"NLB_TG_ARN": self.arn}},
                    }
                ]
            },
        }
        self.targets()
        for arn in (self.arn, lonely):
            for name in preflight.every(0, None):
                for check in self.found(name, arn=arn):
                    yield from (one for one in check.remedy if one.startswith("aws "))
