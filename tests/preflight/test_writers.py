"""Whoever else registers targets is found, wherever AWS knows of it."""

import io
import json
import zipfile

from aws_on_loopback import Fault
from world import World

TEMPLATE = """\
Conditions:
  Always: !Equals [!Ref AWS::Region, !Ref AWS::Region]
Resources:
  Group:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      VpcId: !GetAtt Vpc.VpcId
      Targets: !If [Always, [{Id: 10.0.1.5}], []]
"""


class Tags(World):
    def tagged(self, **tags):
        self.answers["elasticloadbalancing:DescribeTags"] = {
            "TagDescriptions": [
                {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ]
        }

    def test_a_template_that_lists_targets_is_told(self):
        self.assert_found("stack", "ok")
        self.tagged(
            **{"aws:cloudformation:stack-name": "link", "aws:cloudformation:logical-id": "Group"}
        )
        plain = TEMPLATE.replace("Targets", "Tags")
        as_json = json.dumps({"Resources": {"Group": {"Properties": {"Targets": []}}}})
        for body, verdict in [(TEMPLATE, "warn"), (plain, "note"), (as_json, "warn")]:
            with self.subTest(body):
                self.answers["cloudformation:GetTemplate"] = {"TemplateBody": body}
                self.assert_found("stack", verdict, "Group of the stack link")

    def test_a_template_that_cannot_be_read_is_not_looked_at(self):
        self.tagged(**{"aws:cloudformation:stack-name": "link"})
        for answer in ({"TemplateBody": "a: [b"}, Fault("ValidationError", "there is no stack")):
            self.answers["cloudformation:GetTemplate"] = answer
            self.assert_found("stack", "unseen")

    def test_a_controller_of_kubernetes_is_told(self):
        self.assert_found("Kubernetes", "ok")
        for key in ("elbv2.k8s.aws/cluster", "kubernetes.io/cluster/prod"):
            self.tagged(**{key: "prod"})
            self.assert_found("Kubernetes", "warn", key, "kubectl get targetgroupbindings")

    def test_a_tag_of_the_database_that_names_the_group_is_told(self):
        self.assert_found("RDS tags", "ok")
        tag = {"Key": "place_into_target_group", "Value": self.arn}
        self.answers["rds:DescribeDBClusters"] = self.described(
            "rds", "describe_db_clusters", "DBClusters", TagList=[tag]
        )
        self.assert_found(
            "RDS tags", "warn", "remove-tags-from-resource", "--tag-keys place_into_target_group"
        )


class Lambda(World):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.arn = cls.target_group("watched")
        role = cls.session.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")[
            "Role"
        ]["Arn"]
        for name, variables in {
            "idle": {"NLB_TG_ARN": World.arn},
            "sample": {"NLB_TG_ARN": cls.arn, "Cluster_EndPoint": "a"},
            "materialize": {"RDS_DETAILS": json.dumps({"a": {"target_group_arn": cls.arn}})},
            "adjust": {"TARGET_GROUP_ARN": cls.arn},
            "camptocamp": {"ELB_TG_ARN": cls.arn},
            "own": {"BINDINGS": json.dumps([{"targetGroupArn": cls.arn}])},
            "watching": {"BINDINGS": json.dumps([{"targetGroupArn": cls.arn}]), "MODE": "observe"},
            "home-made": {"GROUP": cls.arn.rpartition(":")[2]},
        }.items():
            cls.session.client("lambda").create_function(
                FunctionName=name,
                Runtime="python3.12",
                Role=role,
                Handler="a.b",
                Code={"ZipFile": archive()},
                Environment={"Variables": variables},
            )

    def test_a_function_with_the_group_in_a_variable_is_told_with_where_it_is_from(self):
        for name, variable, origin in [
            ("sample", "NLB_TG_ARN", "aws-samples/amazon-rds-crossaccount-access"),
            ("materialize", "RDS_DETAILS", "MaterializeInc/"),
            ("adjust", "TARGET_GROUP_ARN", "shipmonk-rnd/"),
            ("camptocamp", "ELB_TG_ARN", "camptocamp/"),
            ("own", "BINDINGS", "failover-sync"),
            ("home-made", "GROUP", ""),
        ]:
            self.assert_found(
                "Lambda", "warn", f"{name} has it in {variable}", origin, f"function:{name}"
            )
        self.assert_found("Lambda", "note", "watching has it in BINDINGS", "observes")
        self.assertNotIn("idle", str(self.found("Lambda")))

    def test_variables_that_cannot_be_decrypted_are_not_looked_at(self):
        error = {"ErrorCode": "AccessDeniedException", "Message": "no kms:Decrypt"}
        function = {"FunctionName": "secret", "Environment": {"Error": error}}
        self.answers["lambda:ListFunctions"] = {"Functions": [function]}
        [check] = self.found("Lambda")
        self.assertEqual(check.verdict, "unseen")
        self.assertIn("kms:Decrypt for the variables of secret", check.found)

    def test_without_such_a_function_there_is_none(self):
        arn = self.target_group("fresh")
        self.assertEqual([check.verdict for check in self.found("Lambda", arn=arn)], ["ok"])


def archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a.py", "")
    return content.getvalue()


class Deployments(World):
    def test_a_service_of_ecs_is_told(self):
        self.assert_found("ECS", "ok")
        self.arn = self.target_group("pooled")
        ecs = self.session.client("ecs")
        cluster = ecs.create_cluster(clusterName="prod")["cluster"]["clusterArn"]
        container = {"name": "app", "image": "app", "memory": 128}
        ecs.register_task_definition(family="app", containerDefinitions=[container])
        # More of them than one call describes.
        for number in range(12):
            arn = self.arn if number == 11 else World.arn.replace("/orders/", "/others/")
            balancer = {"targetGroupArn": arn, "containerName": "app", "containerPort": 5432}
            ecs.create_service(
                cluster="prod",
                serviceName=f"pooler-{number:02}",
                taskDefinition="app",
                loadBalancers=[balancer],
            )
        self.assert_found(
            "ECS", "warn", "pooler-11", f"update-service --cluster {cluster} --service pooler-11"
        )
        self.assertEqual(len(self.found("ECS")), 1)

    def test_a_service_that_shifts_traffic_to_the_group_is_told(self):
        balancer = {
            "targetGroupArn": "arn:other",
            "advancedConfiguration": {"alternateTargetGroupArn": self.arn},
        }
        self.answers |= {
            "ecs:ListClusters": {"clusterArns": ["arn:cluster"]},
            "ecs:ListServices": {"serviceArns": ["arn:service"]},
            "ecs:DescribeServices": {
                "services": [{"serviceName": "blue-green", "loadBalancers": [balancer]}]
            },
        }
        self.assert_found("ECS", "warn", "blue-green")

    def test_a_deployment_group_of_codedeploy_is_told(self):
        self.assert_found("CodeDeploy", "ok")
        self.answers |= {
            "codedeploy:ListApplications": {"applications": ["shop"]},
            "codedeploy:ListDeploymentGroups": {"deploymentGroups": ["prod"]},
        }
        one, pair = {"targetGroupInfoList": [{"name": "orders"}]}, [{"name": "orders"}]
        for balancers in (one, {"targetGroupPairInfoList": [{"targetGroups": pair}]}):
            group = {"deploymentGroupName": "prod", "loadBalancerInfo": balancers}
            self.answers["codedeploy:BatchGetDeploymentGroups"] = {"deploymentGroupsInfo": [group]}
            self.assert_found("CodeDeploy", "warn", "prod of shop", "get-deployment-group")
        group["loadBalancerInfo"] = {"targetGroupInfoList": [{"name": "orders-2"}]}
        self.assert_found("CodeDeploy", "ok")

    def test_how_to_look_into_the_state_of_terraform_is_told(self):
        self.assert_found("Terraform", "note", "grep aws_lb_target_group_attachment")
