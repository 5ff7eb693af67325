"""The account of the tests: VPCs, databases of every kind, and a link that exists."""

import re
from datetime import datetime, timezone

from aws_on_loopback import REGION

CREATED = datetime(2026, 11, 29, tzinfo=timezone.utc)
ZONES = [f"{REGION}{letter}" for letter in "abc"]
NAME = f"link-0123456789abcdef.elb.{REGION}.amazonaws.com"
LOGIN = {"MasterUsername": "owner", "MasterUserPassword": "long-enough"}
# What moto draws by lot, and what stands in its place in golden files: as long, and as right.
LOTS = [
    (r"\b(vpc|subnet|sg)-[0-9a-f]{17}\b", lambda kind, number: f"{kind}-{number:017x}"),
    (r"\b(cluster)-[A-Z0-9]{26}\b", lambda kind, number: f"{kind}-{number:026}"),
    (r"(?<=\.cluster-)()[a-z0-9]{12}(?=\.)", lambda _, number: f"abc{number:09}"),
    (r"(?<=\.cluster-ro-)()[a-z0-9]{12}(?=\.)", lambda _, number: f"abc{number:09}"),
    (r"()2400:6500:[0-9a-f]{4}:[0-9a-f]{2}", lambda _, number: f"2400:6500:{number:04}:1a"),
]


class World:
    """What is there, by the names that tests use; `plain` takes the lots out of a text."""

    def __init__(self, session):
        self.client = session.client
        self.ec2, self.rds = self.client("ec2"), self.client("rds")
        # What moto does not answer, or not as AWS.
        self.answers = {}
        self.names, self.lots = {}, {}
        self.main_network()
        self.databases()
        self.narrow_network()
        self.peer_network()
        self.dual_network()
        self.proxies_and_custom_endpoints()
        self.link()

    def plain(self, text):
        for pattern, stand_in in LOTS:
            for lot in re.finditer(pattern, text):
                self.lots.setdefault(lot[0], stand_in(lot[1], len(self.lots) + 1))
            text = re.sub(pattern, lambda lot: self.lots[lot[0]], text)
        return text

    # --- Networks ---

    def vpc(self, name, cidr, **more):
        vpc = self.ec2.create_vpc(CidrBlock=cidr, **more)["Vpc"]["VpcId"]
        self.names[name] = vpc
        self.plain(vpc)
        return vpc

    def subnet(self, name, vpc, zone, cidr, **more):
        subnet = self.ec2.create_subnet(VpcId=vpc, AvailabilityZone=zone, CidrBlock=cidr, **more)[
            "Subnet"
        ]["SubnetId"]
        self.ec2.create_tags(Resources=[subnet], Tags=[{"Key": "Name", "Value": name}])
        self.names[name] = subnet
        self.plain(subnet)
        return subnet

    def subnets(self, name, vpc, prefix, first, **more):
        return [
            self.subnet(f"{name}-{zone[-1]}", vpc, zone, f"{prefix}.{first + number}.0/24", **more)
            for number, zone in enumerate(ZONES)
        ]

    def group(self, name, vpc, *ports):
        group = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)[
            "GroupId"
        ]
        for port in ports:
            self.let_in(group, port, IpRanges=[{"CidrIp": "10.0.0.0/16"}])
        self.names[f"group {name}"] = group
        self.plain(group)
        return group

    def let_in(self, group, port, **source):
        self.ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}],
        )

    def subnet_group(self, name, subnets):
        self.rds.create_db_subnet_group(
            DBSubnetGroupName=name, DBSubnetGroupDescription=name, SubnetIds=subnets
        )

    def main_network(self):
        """Three zones; public subnets, private ones with NAT, and those of the databases."""
        vpc = self.vpc("main", "10.0.0.0/16")
        public = self.subnets("public", vpc, "10.0", 0)
        private = self.subnets("private", vpc, "10.0", 10)
        own = self.subnets("database", vpc, "10.0", 20)
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        nat = self.ec2.create_nat_gateway(SubnetId=public[0], AllocationId=address)["NatGateway"][
            "NatGatewayId"
        ]
        for subnets, way in ((public, {"GatewayId": gateway}), (private, {"NatGatewayId": nat})):
            table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
            self.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **way)
            for subnet in subnets:
                self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        self.subnet_group("main", own)
        self.group("orders", vpc, 5432)
        self.group("shared", vpc, 443)

    def narrow_network(self):
        """Its third zone has one subnet, which is full."""
        vpc = self.vpc("narrow", "10.1.0.0/16")
        wide = [
            self.subnet(f"narrow-{zone[-1]}", vpc, zone, f"10.1.{number}.0/24")
            for number, zone in enumerate(ZONES[:2])
        ]
        full = self.subnet("narrow-full", vpc, ZONES[2], "10.1.9.0/28")
        for _ in range(11):
            self.ec2.create_network_interface(SubnetId=full)
        self.subnet_group("narrow", [*wide, full])
        self.database("narrow", "narrow", [self.group("narrow-database", vpc, 5432)], "postgres")

    def peer_network(self):
        """The applications' VPC, which is peered with the main one; and one without a way."""
        vpc = self.vpc("apps", "10.9.0.0/16")
        self.subnets("apps", vpc, "10.9", 0)
        peering = self.ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=self.names["main"])
        self.ec2.accept_vpc_peering_connection(
            VpcPeeringConnectionId=peering["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        )
        self.subnets("island", self.vpc("island", "10.8.0.0/16"), "10.8", 0)

    def dual_network(self):
        vpc = self.vpc("dual", "10.2.0.0/16", AmazonProvidedIpv6CidrBlock=True)
        [described] = self.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
        ranges = described["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].removesuffix("0::/56")
        self.plain(ranges)
        own = [
            self.subnet(
                f"dual-{zone[-1]}",
                vpc,
                zone,
                f"10.2.{number}.0/24",
                Ipv6CidrBlock=f"{ranges}{number}::/64",
            )
            for number, zone in enumerate(ZONES)
        ]
        self.subnet_group("dual", own)
        self.cluster(
            "dual",
            "aurora-postgresql",
            "dual",
            [self.group("dual-database", vpc, 5432)],
            NetworkType="DUAL",
        )

    # --- Databases ---

    def cluster(self, name, engine, subnets, groups, **more):
        cluster = self.rds.create_db_cluster(
            DBClusterIdentifier=name,
            Engine=engine,
            DBSubnetGroupName=subnets,
            VpcSecurityGroupIds=groups,
            **LOGIN,
            **more,
        )
        for member in (1, 2) if engine.startswith("aurora") else ():
            self.rds.create_db_instance(
                DBInstanceIdentifier=f"{name}-{member}",
                DBClusterIdentifier=name,
                Engine=engine,
                DBInstanceClass="db.r6g.large",
                DBSubnetGroupName=subnets,
            )
        self.names[name] = cluster["DBCluster"]["Endpoint"]
        self.names[f"{name} readers"] = cluster["DBCluster"]["ReaderEndpoint"]
        self.plain(cluster["DBCluster"]["DbClusterResourceId"] + " " + self.names[name])

    def database(self, name, subnets, groups, engine, **more):
        self.names[name] = self.rds.create_db_instance(
            DBInstanceIdentifier=name,
            Engine=engine,
            DBInstanceClass="db.r6g.large",
            AllocatedStorage=20,
            DBSubnetGroupName=subnets,
            VpcSecurityGroupIds=groups,
            **LOGIN,
            **more,
        )["DBInstance"]["Endpoint"]["Address"]

    def databases(self):
        orders, shared = self.names["group orders"], self.names["group shared"]
        self.cluster(
            "orders", "aurora-postgresql", "main", [orders], EnableIAMDatabaseAuthentication=True
        )
        self.cluster(
            "orders-archive",
            "aurora-mysql",
            "main",
            [self.group("archive", self.names["main"], 3306)],
            Port=3306,
        )
        self.cluster(
            "triple",
            "postgres",
            "main",
            [orders],
            AllocatedStorage=100,
            Iops=1000,
            StorageType="io1",
            DBClusterInstanceClass="db.m5d.large",
        )
        self.database("billing", "main", [shared, orders], "postgres", MultiAZ=True)
        self.database("billing-green-a1b2c3", "main", [orders], "postgres", MultiAZ=True)
        crowded = self.group("crowded", self.names["main"])
        self.let_in(
            crowded, 3306, IpRanges=[{"CidrIp": f"10.0.30.{number}/32"} for number in range(60)]
        )
        self.database("shop", "main", [crowded], "mysql", MultiAZ=False, PubliclyAccessible=True)
        self.names["orders instance"] = self.rds.describe_db_instances(
            DBInstanceIdentifier="orders-1"
        )["DBInstances"][0]["Endpoint"]["Address"]
        far = self.client("rds", "us-east-1").create_db_instance(
            DBInstanceIdentifier="far",
            Engine="postgres",
            DBInstanceClass="db.r6g.large",
            AllocatedStorage=20,
            **LOGIN,
        )
        self.names["far"] = far["DBInstance"]["Endpoint"]["Address"]
        self.names["far-vpc"] = self.client("ec2", "us-east-1").describe_vpcs()["Vpcs"][0]["VpcId"]
        # A database of one's own on a virtual machine.
        self.ec2.create_network_interface(
            SubnetId=self.names["private-a"], PrivateIpAddress="10.0.10.99", Groups=[orders]
        )

    def proxies_and_custom_endpoints(self):
        """What moto has not, or under other names than AWS."""
        suffix = f"abcdefghijkl.{REGION}.rds.amazonaws.com"
        self.names |= {
            "custom": f"analysts.cluster-custom-{suffix}",
            "proxy": f"pool.proxy-{suffix}",
            "proxy endpoint": f"pool-readers.endpoint.proxy-{suffix}",
        }
        common = {
            "DBProxyName": "pool",
            "Status": "available",
            "VpcId": self.names["main"],
            "VpcSecurityGroupIds": [self.names["group orders"]],
            "VpcSubnetIds": [self.names[f"private-{letter}"] for letter in "ab"],
        }
        proxy = {**common, "EngineFamily": "POSTGRESQL", "Endpoint": self.names["proxy"]}
        endpoint = {
            **common,
            "DBProxyEndpointName": "pool-readers",
            "Endpoint": self.names["proxy endpoint"],
        }
        custom = {
            "DBClusterIdentifier": "orders",
            "EndpointType": "CUSTOM",
            "CustomEndpointType": "ANY",
            "Endpoint": self.names["custom"],
        }
        self.answers |= {
            "rds:DescribeDBProxies": {"DBProxies": [proxy]},
            "rds:DescribeDBProxyEndpoints": {"DBProxyEndpoints": [endpoint]},
            "rds:DescribeDBClusterEndpoints": {"DBClusterEndpoints": [custom]},
        }

    def link(self):
        """A link with a database on 5432, in two zones; moto knows no network load balancers."""
        group = self.group("link", self.names["main"])
        account = f"arn:aws:elasticloadbalancing:{REGION}:123456789012"
        balancer = f"{account}:loadbalancer/net/link/0123456789abcdef"
        outputs = {
            "LoadBalancerArn": balancer,
            "LoadBalancerDnsName": NAME,
            "LoadBalancerSecurityGroupId": group,
            "OperationsTopicArn": f"arn:aws:sns:{REGION}:123456789012:link-OperationsTopic",
        }
        stack = {
            "StackName": "failover-sync",
            "CreationTime": CREATED,
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
            "Parameters": [
                {"ParameterKey": "VpcId", "ParameterValue": self.names["main"]},
                {"ParameterKey": "IpAddressType", "ParameterValue": "ipv4"},
            ],
        }
        there = {
            "LoadBalancerArn": balancer,
            "DNSName": NAME,
            "Type": "network",
            "VpcId": self.names["main"],
            "SecurityGroups": [group],
            "AvailabilityZones": [
                {"ZoneName": zone, "SubnetId": self.names[f"private-{zone[-1]}"]}
                for zone in ZONES[:2]
            ],
        }
        arn = self.names["target-group"] = f"{account}:targetgroup/orders/0123456789abcdef"
        listener = {
            "ListenerArn": f"{account}:listener/net/link/0123456789abcdef/0123456789abcdef",
            "LoadBalancerArn": balancer,
            "Protocol": "TCP",
            "Port": 5432,
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": arn}],
        }
        self.target_group(arn, balancer)
        self.answers |= {
            "cloudformation:DescribeStacks": {"Stacks": [stack]},
            "elasticloadbalancing:DescribeLoadBalancers": {"LoadBalancers": [there]},
            "elasticloadbalancing:DescribeListeners": {"Listeners": [listener]},
        }
        # The first database's stack has let it in.
        self.let_in(self.names["group orders"], 5432, UserIdGroupPairs=[{"GroupId": group}])

    def target_group(self, arn, balancer):
        """That of the link's database, of which the preflight has something to say."""
        prefix = "elasticloadbalancing:Describe"
        group = {"TargetGroupArn": arn, "TargetGroupName": "orders", "VpcId": self.names["main"]}
        group |= {"TargetType": "ip", "Protocol": "TCP", "Port": 5432, "IpAddressType": "ipv4"}
        tags = [{"Key": "Name", "Value": "orders"}]
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "60"}
        target = {"Target": {"Id": "10.0.20.7", "Port": 5432}, "TargetHealth": {"State": "healthy"}}
        self.answers |= {
            f"{prefix}TargetGroups": {"TargetGroups": [{**group, "LoadBalancerArns": [balancer]}]},
            f"{prefix}TargetGroupAttributes": {"Attributes": [delay]},
            f"{prefix}TargetHealth": {"TargetHealthDescriptions": [target]},
            f"{prefix}LoadBalancerAttributes": {"Attributes": []},
            f"{prefix}Tags": {"TagDescriptions": [{"ResourceArn": arn, "Tags": tags}]},
            "cloudtrail:LookupEvents": {"Events": []},
        }
