"""What is said of each fault of a target group, of its listener and of its load balancer."""

from preflight_checks import group
from world import ATTRIBUTES, WRITER, World

OTHER = "10.0.2.9"


class Attributes(World):
    FAULTS = [
        ("cross-zone", group.CROSS_ZONE, "false", "warn", "true"),
        ("cut", group.CUT, "false", "warn", "true"),
        ("delay", group.DELAY, "119", "warn", "120"),
        ("client address", group.CLIENT, "true", "warn", "false"),
        ("proxy protocol", group.PROXY_PROTOCOL, "true", "refuse", "false"),
        ("unhealthy", group.UNHEALTHY, "false", "note", "true"),
    ]

    def test_each_is_told_with_the_command_that_mends_it(self):
        for name, key, value, verdict, mended in self.FAULTS:
            with self.subTest(name):
                self.assert_found(name, "ok")
                self.attributes(self.arn, {key: value})
                self.addCleanup(self.attributes, self.arn, ATTRIBUTES)
                self.assert_found(
                    name,
                    verdict,
                    "aws elbv2 modify-target-group-attributes --target-group-arn "
                    f"{self.arn} --attributes Key={key},Value={mended}",
                )

    def test_a_group_that_follows_its_load_balancer_has_the_cross_zone_setting_of_that(self):
        self.attributes(self.arn, {group.CROSS_ZONE: "use_load_balancer_configuration"})
        self.addCleanup(self.attributes, self.arn, ATTRIBUTES)
        self.assert_found("cross-zone", "warn", "off, the load balancer's setting")
        self.answers["elasticloadbalancing:DescribeLoadBalancerAttributes"] = {
            "Attributes": [{"Key": group.CROSS_ZONE, "Value": "true"}]
        }
        self.assert_found("cross-zone", "ok", "on, the load balancer's setting")

    def test_an_attribute_that_is_not_told_has_the_default_of_aws(self):
        self.answers["elasticloadbalancing:DescribeTargetGroupAttributes"] = {"Attributes": []}
        for name, verdict in [("cut", "warn"), ("delay", "ok"), ("unhealthy", "ok")]:
            self.assert_found(name, verdict)


class Kind(World):
    def test_a_group_of_another_kind_is_refused_with_the_way_to_another_group(self):
        self.assert_found("kind", "ok", "target type ip, protocol TCP")
        for name, changed in {
            "instances": {"TargetType": "instance"},
            "encrypted": {"Protocol": "TLS"},
            "datagrams": {"Protocol": "UDP"},
        }.items():
            with self.subTest(name):
                arn = self.target_group(name, **changed)
                listener = self.listen(arn, 1000 + len(name))
                self.assert_found(
                    "kind",
                    "refuse",
                    f"aws elbv2 create-target-group --name {name}-ip --target-type ip --protocol "
                    f"TCP --port 5432 --vpc-id {self.vpc} --ip-address-type ipv4",
                    f"aws elbv2 modify-listener --listener-arn {listener}",
                    arn=arn,
                )

    def test_another_load_balancer_than_a_network_one_is_refused(self):
        self.assert_found("load balancer", "ok")
        self.answers["elasticloadbalancing:DescribeLoadBalancers"] = self.described(
            "elbv2", "describe_load_balancers", "LoadBalancers", Type="application"
        )
        self.assert_found(
            "load balancer",
            "refuse",
            "of type application",
            "aws elbv2 create-load-balancer --type network",
            *self.subnets,
        )


class InUse(World):
    def test_a_group_without_a_load_balancer_is_in_no_use(self):
        arn = self.target_group("lonely")
        self.assert_found("in use", "warn", "no load balancer", "create-listener", arn, arn=arn)
        for name in ("load balancer", "zones", "security"):
            self.assert_found(name, "note", "no load balancer", arn=arn)

    def test_a_group_without_a_listener_is_in_no_use(self):
        self.answers["elasticloadbalancing:DescribeListeners"] = {"Listeners": []}
        self.assert_found("in use", "warn", "no listener", "create-listener", self.balancer)

    def test_a_listener_that_gives_it_no_weight_or_shares_is_told(self):
        other = self.arn.replace("/orders/", "/others/")
        for own, others, text in [(0, 1, "the weight 0"), (1, 1, f"other groups as well: {other}")]:
            self.forwards({self.arn: own, other: others})
            self.assert_found("in use", "warn", text, "modify-listener", self.listener)
        self.forwards({self.arn: 1, other: 0})
        self.assert_found("in use", "ok")

    def forwards(self, weights):
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
        self.answers["elasticloadbalancing:DescribeListeners"] = {
            "Listeners": [
                {
                    "ListenerArn": self.listener,
                    "Protocol": "TCP",
                    "Port": 5432,
                    "DefaultActions": [action],
                }
            ]
        }

    def test_a_target_that_gets_no_traffic_is_named(self):
        self.targets((WRITER, 5432, "healthy"), (OTHER, 5432, "unused", "Target.NotInUse"))
        self.assert_found("in use", "warn", f"{OTHER}:5432 gets no traffic")
