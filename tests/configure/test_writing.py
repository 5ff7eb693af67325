"""What is written, and where nothing is."""

import difflib
import json
import unittest
from unittest import mock

import tomlkit

from account import WHO, Case, configure, world
from aws_on_loopback import Fault
from configuration import report, samconfig


class Writing(Case):
    def test_comments_and_other_environments_stay(self):
        self.assertEqual(
            self.configure("orders", "--yes", *WHO, "--environment", "orders"), 0, self.err
        )
        after = self.config.read_text(encoding="utf-8")
        self.assertTrue(after.startswith(self.before.rstrip()))
        self.assertIn("[orders.deploy.parameters]", after)
        self.assertEqual(self.answers("orders")["DatabaseIdentifier"], "orders")

    def test_in_an_environment_that_is_there_only_lines_are_added(self):
        self.configure("orders", "--yes", *WHO)
        before, after = (
            text.splitlines() for text in (self.before, self.config.read_text(encoding="utf-8"))
        )
        changes = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
        self.assertEqual([line for line in changes if line[0] == "-"], [])
        self.assertEqual(len(changes), len(self.answers()) + 3)

    def test_the_same_again_changes_nothing(self):
        self.configure("orders", "--yes", *WHO)
        first = self.answers()
        self.assertEqual(self.configure("orders", "--yes"), 0, self.err)
        self.assertEqual(self.answers(), first)

    def test_answers_that_are_there_stay(self):
        self.configure(
            "orders",
            "--yes",
            *WHO,
            "--set",
            "SubnetIds=subnet-01234567,subnet-89abcdef",
            "--email",
            "a@example.com",
        )
        self.assertEqual(
            self.configure("orders", "--yes", "--set", "ScheduleExpression=rate(2 minutes)"),
            0,
            self.err,
        )
        answers = self.answers()
        self.assertEqual(answers["SubnetIds"], "subnet-01234567,subnet-89abcdef")
        self.assertEqual(answers["OperationsEmail"], "a@example.com")
        self.assertEqual(answers["ScheduleExpression"], "rate(2 minutes)")

    def test_what_is_no_name_is_refused_by_what_it_is_and_nobody_is_asked(self):
        name = world().names["orders"]
        for pasted, word in [
            (f"https://{name}/", "is a URL"),
            (f"postgres://someone@{name}:5432/orders", "is a URL"),
            (f"{name}:5432", f"give {name}, and --set DatabasePort=5432"),
            ("", "is no endpoint"),
            (" ", "is no endpoint"),
            ("orders database", "is no endpoint"),
            (f"{name},", "is no endpoint"),
        ]:
            with self.subTest(pasted):
                self.assertEqual(self.configure(pasted, "--yes", *WHO), 2)
                self.assertIn(word, self.err)
        self.assertEqual(self.configure(f"{name.upper()}.", "--yes", *WHO), 0, self.err)

    def test_other_answers_are_not_overwritten_but_with_replace(self):
        self.configure("orders", "--yes", *WHO)
        self.before = self.config.read_text(encoding="utf-8")
        for arguments in (
            ("billing", *WHO),
            ("orders", "--email", "", "--principals", "111122223333"),
        ):
            with self.subTest(arguments):
                self.config.write_text(self.before, encoding="utf-8")
                self.assertEqual(self.configure(arguments[0], "--yes", *arguments[1:]), 1)
                self.assertIn("has other answers", self.err)
                self.assert_untouched()
                self.assertEqual(
                    self.configure(arguments[0], "--yes", "--replace", *arguments[1:]), 0, self.err
                )
                self.assertNotEqual(self.config.read_text(encoding="utf-8"), self.before)

    def test_replace_keeps_what_only_people_know_and_renews_the_rest(self):
        self.configure("orders", "--yes", *WHO, "--set", "AllowedCidrs=10.0.20.0/24")
        self.assertEqual(self.configure("orders", "--yes", "--replace"), 0, self.err)
        self.assertEqual(self.answers()["AllowedPrincipals"], "arn:aws:iam::444455556666:root")
        self.assertEqual(self.answers()["AllowedCidrs"], "10.0.0.0/16")

    def test_a_load_balancer_keeps_its_subnets(self):
        kept = world().names["public-b"]
        self.configure(
            "orders", "--yes", *WHO, "--set", f"SubnetIds={world().names['private-a']},{kept}"
        )
        self.configure("orders", "--yes", "--replace")
        self.assertIn(kept, self.answers()["SubnetIds"])
        self.assertEqual(len(self.answers()["SubnetIds"].split(",")), 3)

    def test_a_preset_can_go_to_an_environment_of_its_own(self):
        self.assertEqual(
            self.configure(
                "orders-archive", "--yes", "--preset", "starburst", "--environment", "archive"
            ),
            0,
            self.err,
        )
        self.assertEqual(self.answers("archive")["ConsumerCidrs"], "172.16.0.0/16")
        self.assertTrue(self.config.read_text(encoding="utf-8").startswith(self.before.rstrip()))
        self.assertIn("sam deploy --config-env archive", self.out)

    def test_what_a_preset_says_goes_before_what_aws_says_and_is_refused_where_it_cannot_be(self):
        self.assertEqual(
            self.configure(
                "orders", "--yes", "--preset", "planetscale", *WHO, "--environment", "x"
            ),
            0,
            self.err,
        )
        self.assertEqual(self.answers("x")["DatabaseEngine"], "mysql")

    def test_a_string_as_sam_saves_it_is_read(self):
        document = tomlkit.parse(self.before)
        document["default"]["deploy"]["parameters"]["parameter_overrides"] = (
            'AllowedPrincipals="arn:aws:iam::111122223333:root" '
            'ScheduleExpression="rate(5 minutes)"'
        )
        self.config.write_text(tomlkit.dumps(document), encoding="utf-8")
        self.assertEqual(self.configure("orders", "--yes"), 0, self.err)
        self.assertEqual(self.answers()["AllowedPrincipals"], "arn:aws:iam::111122223333:root")
        self.assertEqual(self.answers()["ScheduleExpression"], "rate(5 minutes)")

    def test_without_a_file_one_is_made(self):
        self.config.unlink()
        self.assertEqual(self.configure("orders", "--yes", *WHO), 0, self.err)
        self.assertEqual(tomlkit.parse(self.config.read_text(encoding="utf-8"))["version"], 0.1)
        self.assertEqual(self.answers()["DatabaseKind"], "cluster")

    def test_what_is_no_toml_is_left_alone(self):
        self.config.write_text("[default", encoding="utf-8")
        self.assertEqual(self.configure("orders", "--yes", *WHO), 1)
        self.assertIn("is no TOML", self.err)
        self.assertEqual(self.config.read_text(encoding="utf-8"), "[default")

    def test_a_disk_that_is_full_leaves_the_file_as_it_was(self):
        with mock.patch("os.replace", side_effect=OSError("No space left on device")):
            self.assertEqual(self.configure("orders", "--yes", *WHO), 1)
        self.assertIn("No space left on device", self.err)
        self.assert_untouched()
        self.assertEqual([path.name for path in self.folder.iterdir()], ["samconfig.toml"])

    def test_parameters_for_the_aws_cli(self):
        self.assertEqual(
            self.configure("orders", "--yes", *WHO, "--parameters", "parameters.json"), 0, self.err
        )
        pairs = json.loads((self.folder / "parameters.json").read_text(encoding="utf-8"))
        self.assertIn({"ParameterKey": "DatabaseKind", "ParameterValue": "cluster"}, pairs)
        self.assertIn("aws cloudformation create-stack --stack-name failover-sync", self.out)
        self.assert_untouched()
        self.assertEqual(
            self.configure("orders", "--yes", *WHO, "--parameters", "parameters.json"), 1
        )

    def test_variables_for_terraform_are_those_of_its_module(self):
        group = ("--target-group", world().names["target-group"])
        topic = "OperationsTopicArn=arn:aws:sns:eu-west-1:123456789012:operations"
        words = ("orders", "--yes", "--set", topic, "--tfvars", "orders.tfvars")
        self.assertEqual(self.configure(*words), 2)
        self.assertEqual(self.configure(*words, *group), 0, self.err)
        lines = (self.folder / "orders.tfvars").read_text(encoding="utf-8").splitlines()
        self.assertIn('database_kind = "cluster" # DescribeDBClusters: Endpoint', lines)
        self.assertIn("terraform apply -var-file=orders.tfvars", self.out)
        self.assert_untouched()
        for name, expected in (
            ("CodeS3Bucket", "code_s3_bucket"),
            ("TargetIpAddressType", "target_ip_address_type"),
            ("DnsServers", "dns_servers"),
        ):
            self.assertEqual(report.variable(name), expected)
        self.assertEqual(report.hcl('a "${b}" %{c}'), r'"a \"$${b}\" %%{c}"')

    def test_parameters_of_the_function_alone_are_for_its_standalone_form(self):
        group = ("--target-group", world().names["target-group"])
        topic = "OperationsTopicArn=arn:aws:sns:eu-west-1:123456789012:operations"
        words = ("orders", "--yes", "--set", topic, "--parameters", "orders.json")
        self.assertEqual(self.configure(*words, *group), 0, self.err)
        self.assertIn("create a stack of function-standalone.yaml with them", self.out)

    def test_json_has_every_parameter_and_nothing_else_is_on_standard_output(self):
        self.assertEqual(self.configure("orders", "--yes", *WHO, "--json"), 0, self.err)
        told = json.loads(self.out)
        self.assertEqual(
            told["parameters"]["DatabasePort"],
            {"value": "5432", "from": "DescribeDBClusters: Port"},
        )
        self.assertEqual(
            told["parameters"]["DeregistrationDelaySeconds"], {"value": "120", "from": "default"}
        )
        self.assertEqual(
            told["commands"][-1].split()[:4], ["sam", "deploy", "--config-env", "default"]
        )

    def test_deploy_runs_the_next_commands_and_tells_of_one_that_fails(self):
        for code, expected in ((0, 0), (1, 1)):
            with (
                self.subTest(code),
                mock.patch("subprocess.run") as run,
                mock.patch("shutil.which", return_value="/bin/sam"),
            ):
                run.return_value.returncode = code
                self.assertEqual(self.configure("orders", "--yes", *WHO, "--deploy"), expected)
                self.assertEqual(run.call_args_list[0].args[0], ["make", "build"])
        with mock.patch("shutil.which", return_value=None):
            self.assertEqual(self.configure("orders", "--yes", *WHO, "--deploy"), 1)
        self.assertIn("is not on the PATH", self.err)

    def test_values_in_quotation_marks_are_read_back(self):
        for value in ("", "rate(1 minute)", 'a "b"', "plain"):
            document = tomlkit.parse(self.before)
            document["default"]["deploy"]["parameters"]["parameter_overrides"] = [
                f"Name={samconfig.quoted(value)}"
            ]
            self.config.write_text(tomlkit.dumps(document), encoding="utf-8")
            self.assertEqual(self.answers(), {"Name": value})


class Use(Case):
    def test_wrong_use(self):
        cases = {
            ("orders", "--yes"): "AllowedPrincipals is not known: give --principals",
            ("orders",): "this is no terminal",
            ("orders", "--yes", "--principals", "*"): "must be ARNs like",
            (
                "orders",
                "--yes",
                *WHO,
                "--set",
                "DatabasePort=70000",
            ): "must be a number from 1 to 65535",
            ("orders", "--yes", *WHO, "--set", "Port=1"): "Port is no parameter of template.yaml",
            ("orders", "--yes", *WHO, "--set", "DatabasePort"): "is no NAME=VALUE",
            ("orders", "--yes", *WHO, "--email", "ops"): "must be one e-mail address or empty",
            ("orders", "--yes", *WHO, "--preset", "nobody"): "has no preset nobody",
        }
        for (name, *arguments), complaint in cases.items():
            with self.subTest(arguments):
                self.assertEqual(self.configure(name, *arguments), configure.WRONG_USE)
                self.assertIn(complaint, self.err)
                self.assert_untouched()

    def test_not_possible(self):
        cases = {
            ("orderz.cluster-abc123.eu-west-1.rds.amazonaws.com", *WHO): "no database here has it",
            ("orders", *WHO, "--set", "EnforceConsumerCidrs=true"): "would drop every connection",
            ("orders", *WHO, "--stack", "x" * 65): "at most 64 letters",
            ("orders", "--link", "nowhere", *WHO): "no parameter of database.yaml",
            (
                "db.internal.example",
                *WHO,
            ): "DatabaseEngine is not known: give --set DatabaseEngine=",
        }
        for (name, *arguments), complaint in cases.items():
            with self.subTest(arguments):
                self.assertIn(self.configure(name, "--yes", *arguments), (1, 2))
                self.assertIn(complaint, self.err)
                self.assert_untouched()

    def test_a_name_that_comes_close_is_told(self):
        close = world().names["orders"].replace("orders.", "order.")
        self.configure(close, "--yes", *WHO)
        self.assertIn(f"Did you mean {world().names['orders']}?", self.out)

    def test_a_link_that_is_none(self):
        self.aws.answers["cloudformation:DescribeStacks"] = Fault(
            "ValidationError", "Stack with id nowhere does not exist"
        )
        self.assertEqual(self.configure("billing", "--yes", "--link", "nowhere"), 1)
        self.assertIn("the stack nowhere of the link was not found in eu-west-1", self.err)
        [whole] = world().answers["cloudformation:DescribeStacks"]["Stacks"]
        bare = {"Stacks": [{**whole, "Outputs": []}]}
        self.aws.answers["cloudformation:DescribeStacks"] = bare
        self.assertEqual(self.configure("billing", "--yes", "--link", "other"), 1)
        self.assertIn("has no output LoadBalancerArn", self.err)

    def test_a_target_group_that_cannot_be_kept(self):
        arn = world().names["target-group"]
        described = world().answers["elasticloadbalancing:DescribeTargetGroups"]
        lambdas = {"TargetGroups": [{**described["TargetGroups"][0], "TargetType": "instance"}]}
        missing = Fault("TargetGroupNotFound", "One or more target groups not found")
        for answer, group, code, complaint in (
            (lambdas, arn, 1, "the preflight refuses the target group"),
            (missing, arn, 1, "there is no target group orders in eu-west-1"),
            (described, arn.replace("eu-west-1", "us-east-1"), 1, "the target group is in us-east"),
            (described, "orders", 2, "must be the ARN of a target group"),
            (described, arn, 1, "OperationsTopicArn is not known"),
        ):
            with self.subTest(complaint):
                self.aws.answers["elasticloadbalancing:DescribeTargetGroups"] = answer
                self.assertEqual(self.configure("orders", "--yes", "--target-group", group), code)
                self.assertIn(complaint, self.err)
                self.assert_untouched()

    def test_without_credentials_it_says_so(self):
        self.assertEqual(
            self.configure(
                "orders",
                "--yes",
                *WHO,
                AWS_ACCESS_KEY_ID="",
                AWS_SECRET_ACCESS_KEY="",
                AWS_SHARED_CREDENTIALS_FILE="none",
                AWS_CONFIG_FILE="none",
            ),
            1,
        )
        self.assertIn("See to credentials (AWS_PROFILE)", self.err)


if __name__ == "__main__":
    unittest.main()
