"""An account in which nothing is wrong: an Aurora cluster behind a network load balancer."""

import io
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import preflight
from aws_on_loopback import OnLoopback
from preflight_checks import group
from preflight_checks.facts import Facts, examine
from read_only import ReadOnly

ATTRIBUTES = {
    group.CROSS_ZONE: "true",
    group.CUT: "true",
    group.DELAY: "120",
    group.CLIENT: "false",
    group.PROXY_PROTOCOL: "false",
    group.UNHEALTHY: "true",
}
WRITER = "10.0.1.5"
PORT = 5432


class World(OnLoopback):
    """What each test changes one thing of."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Once for all classes.
        if not hasattr(World, "endpoint"):
            World.session = cls.session
            World.build()

    @classmethod
    def build(cls):
        cls.elbv2, cls.ec2, cls.rds = map(cls.session.client, ("elbv2", "ec2", "rds"))
        cls.vpc = cls.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        cls.subnets = [cls.subnet(zone, number) for number, zone in enumerate("ab", start=1)]
        cls.balancer_group = cls.security_group("load-balancer")
        cls.database_group = cls.security_group("database")
        cls.balancer = cls.load_balancer()
        cls.arn = cls.target_group("orders")
        cls.listener = cls.listen(cls.arn)
        cls.endpoint = cls.cluster()

    def setUp(self):
        super().setUp()
        # The first three moto does not know, and health it does not have.
        self.answers["rds:DescribeDBClusterEndpoints"] = {"DBClusterEndpoints": []}
        self.answers["rds:DescribeDBProxyEndpoints"] = {"DBProxyEndpoints": []}
        self.answers["cloudtrail:LookupEvents"] = {"Events": []}
        self.targets((WRITER, PORT, "healthy"))
        self.aliases = lambda name: []
        self.addresses = lambda name: [WRITER]

    # --- What there is ---

    @classmethod
    def subnet(cls, zone, number):
        made = cls.ec2.create_subnet(
            VpcId=cls.vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}"
        )
        return made["Subnet"]["SubnetId"]

    @classmethod
    def security_group(cls, name):
        made = cls.ec2.create_security_group(GroupName=name, Description=name, VpcId=cls.vpc)
        return made["GroupId"]

    @classmethod
    def load_balancer(cls):
        [made] = cls.elbv2.create_load_balancer(
            Name="link",
            Type="network",
            Scheme="internal",
            Subnets=cls.subnets,
            SecurityGroups=[cls.balancer_group],
        )["LoadBalancers"]
        return made["LoadBalancerArn"]

    @classmethod
    def target_group(cls, name, **changed):
        asked = {"Protocol": "TCP", "Port": PORT, "VpcId": cls.vpc, "TargetType": "ip"} | changed
        [made] = cls.elbv2.create_target_group(Name=name, **asked)["TargetGroups"]
        cls.attributes(made["TargetGroupArn"], ATTRIBUTES)
        return made["TargetGroupArn"]

    @classmethod
    def attributes(cls, arn, changed):
        cls.elbv2.modify_target_group_attributes(
            TargetGroupArn=arn,
            Attributes=[{"Key": key, "Value": value} for key, value in changed.items()],
        )

    @classmethod
    def listen(cls, arn, port=PORT):
        [made] = cls.elbv2.create_listener(
            LoadBalancerArn=cls.balancer,
            Protocol="TCP",
            Port=port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
        )["Listeners"]
        return made["ListenerArn"]

    @classmethod
    def cluster(cls):
        """Returns its writer endpoint."""
        cls.rds.create_db_subnet_group(
            DBSubnetGroupName="orders", DBSubnetGroupDescription="all", SubnetIds=cls.subnets
        )
        made = cls.rds.create_db_cluster(
            DBClusterIdentifier="orders",
            Engine="aurora-postgresql",
            MasterUsername="me",
            MasterUserPassword="not-a-secret",
            DBSubnetGroupName="orders",
            VpcSecurityGroupIds=[cls.database_group],
        )
        return made["DBCluster"]["Endpoint"]

    def targets(self, *targets):
        self.answers["elasticloadbalancing:DescribeTargetHealth"] = {
            "TargetHealthDescriptions": [
                {
                    "Target": {"Id": address, "Port": port},
                    "TargetHealth": {"State": state} | ({"Reason": reason[0]} if reason else {}),
                }
                for address, port, state, *reason in targets
            ]
        }

    def described(self, service, method, key, **changed):
        """What moto answers, for a test to give instead with one thing changed in each item."""
        asked = {"TargetGroupArns": [self.arn]} if key == "TargetGroups" else {}
        answer = getattr(self.session.client(service), method)(**asked)
        return {key: [item | changed for item in answer[key]]}

    # --- What is said of it ---

    def found(self, name, arn=None, endpoint=None, **options):
        """The results of one check, of which AWS is asked nothing more than it needs."""
        facts = Facts(
            ReadOnly(self.session, preflight.ACTIONS),
            arn or self.arn,
            endpoint or self.endpoint,
            self.aliases,
            self.addresses,
        )
        look = options.get("look") or preflight.every(2000, lambda *_: None)[name]
        return list(examine({name: look}, facts))

    def assert_found(self, name, verdict, *parts, **options):
        """That one result of a check has the verdict, with these texts in finding and remedies."""
        found = self.found(name, **options)
        for check in found:
            text = "\n".join([check.found, *check.remedy])
            if check.verdict == verdict and all(part in text for part in parts):
                return check
        self.fail(f"{name} is not {verdict} with {parts}: {found}")

    def run_program(self, *words, session=None):
        """Exit code, output and errors of the program; `session` makes its session."""
        output, errors = io.StringIO(), io.StringIO()
        session = session or (lambda **_: self.session)
        seam = mock.patch.object(preflight.boto3, "Session", session)
        with redirect_stdout(output), redirect_stderr(errors), seam:
            try:
                code = preflight.main(list(words), aliases=self.aliases, addresses=self.addresses)
            except SystemExit as end:
                code = end.code
        return code, output.getvalue(), errors.getvalue()
