"""Which database a name leads to."""

import rds_endpoint
from aws_on_loopback import DENIED
from read_only import ReadOnly
from world import World


class Finding(World):
    def find(self, name):
        return rds_endpoint.find(ReadOnly(self.session, rds_endpoint.ACTIONS), name, self.aliases)


class Names(Finding):
    def test_the_region_is_in_a_name_of_rds_in_every_partition(self):
        for name, region in {
            "a.cluster-c1.eu-west-1.rds.amazonaws.com": "eu-west-1",
            "a.c1.us-gov-west-1.rds-fips.amazonaws.com": "us-gov-west-1",
            "a.c1.rds.cn-north-1.amazonaws.com.cn": "cn-north-1",
            "a.c1.cn-north-1.rds.amazonaws.com.cn": "cn-north-1",
            "a.c1.eusc-de-east-1.rds.amazonaws.eu": "eusc-de-east-1",
            "a.c1.us-iso-east-1.rds.c2s.ic.gov": "us-iso-east-1",
            "a.c1.us-isob-east-1.rds.sc2s.sgov.gov": "us-isob-east-1",
            "a.c1.eu-isoe-west-1.rds.cloud.adc-e.uk": "eu-isoe-west-1",
            "a.c1.us-isof-south-1.rds.csp.hci.ic.gov": "us-isof-south-1",
            "a.global-c1.global.rds.amazonaws.com": None,
            "eu-west-1.rds.amazonaws.com": None,
            "a.eu-west-1.rds.example.com": None,
            "db.example.com": None,
        }.items():
            self.assertEqual(rds_endpoint.region_of(name), region, name)

    def test_a_name_is_compared_in_lower_case_and_without_its_last_full_stop(self):
        self.assertEqual(self.find(f" {self.endpoint.upper()}. ").identifier, "orders")


class Kinds(Finding):
    def test_the_endpoints_of_a_cluster(self):
        custom = "some.cluster-custom-c1.eu-west-1.rds.amazonaws.com"
        later = "other.cluster-custom-c1.eu-west-1.rds.amazonaws.com"
        self.answers["rds:DescribeDBClusters"] = self.described(
            "rds", "describe_db_clusters", "DBClusters", CustomEndpoints=[custom]
        )
        self.answers["rds:DescribeDBClusterEndpoints"] = {
            "DBClusterEndpoints": [
                {"Endpoint": later, "DBClusterIdentifier": "orders", "EndpointType": "CUSTOM"}
            ]
        }
        [cluster] = self.rds.describe_db_clusters()["DBClusters"]
        for name, kind in {
            cluster["Endpoint"]: "cluster",
            cluster["ReaderEndpoint"]: "readers",
            custom: "custom",
            later: "custom",
        }.items():
            with self.subTest(kind):
                found = self.find(name)
                self.assertEqual((found.kind, found.identifier), (kind, "orders"))
                self.assertEqual((found.port, found.vpc), (5432, self.vpc))
                self.assertEqual(list(found.subnets), ["eu-west-1a", "eu-west-1b"])
                self.assertEqual(found.security_groups, [self.database_group])
                self.assertEqual(found.writer_endpoint, self.endpoint)

    def test_an_instance_and_its_listener(self):
        listener = "listener.c1.eu-west-1.rds.amazonaws.com"
        instance = {
            "DBInstanceIdentifier": "one",
            "Engine": "sqlserver-se",
            "Endpoint": {"Address": "one.c1.eu-west-1.rds.amazonaws.com", "Port": 1433},
            "ListenerEndpoint": {"Address": listener, "Port": 1433},
            "DbiResourceId": "db-ONE",
            "TagList": [{"Key": "owner", "Value": "us"}],
        }
        self.answers["rds:DescribeDBInstances"] = {"DBInstances": [instance]}
        for name in (instance["Endpoint"]["Address"], listener):
            found = self.find(name)
            self.assertEqual((found.kind, found.identifier, found.port), ("instance", "one", 1433))
            self.assertEqual((found.resource_ids, found.tags), (["db-ONE"], {"owner": "us"}))
            self.assertFalse(found.is_member)

    def test_the_endpoints_of_a_proxy(self):
        self.answers["rds:DescribeDBProxies"] = {
            "DBProxies": [
                self.network(
                    DBProxyName="px",
                    EngineFamily="MYSQL",
                    Endpoint="px.proxy-c1.eu-west-1.rds.amazonaws.com",
                )
            ]
        }
        reading = "ro.endpoint.proxy-c1.eu-west-1.rds.amazonaws.com"
        self.answers["rds:DescribeDBProxyEndpoints"] = {
            "DBProxyEndpoints": [self.network(DBProxyName="px", Endpoint=reading)]
        }
        for name in ("px.proxy-c1.eu-west-1.rds.amazonaws.com", reading):
            found = self.find(name)
            self.assertEqual((found.kind, found.identifier, found.port), ("proxy", "px", 3306))
            self.assertEqual(list(found.subnets), ["eu-west-1a", "eu-west-1b"])
            self.assertEqual(found.engine, "mysql")

    def network(self, **fields):
        return {"VpcId": self.vpc, "VpcSubnetIds": self.subnets, "Status": "available"} | fields

    def test_into_aurora_one_logs_in_by_the_cluster_and_into_a_multi_az_cluster_by_both(self):
        self.answers["rds:DescribeDBInstances"] = {
            "DBInstances": [{"DBInstanceIdentifier": "orders-1", "DbiResourceId": "db-ONE"}]
        }
        for engine, ids in [("aurora-mysql", ["cluster-A"]), ("mysql", ["cluster-A", "db-ONE"])]:
            self.answers["rds:DescribeDBClusters"] = self.described(
                "rds",
                "describe_db_clusters",
                "DBClusters",
                Engine=engine,
                DbClusterResourceId="cluster-A",
            )
            self.assertEqual(self.find(self.endpoint).resource_ids, ids)


class Aliases(Finding):
    def test_an_alias_leads_to_the_first_name_of_rds_behind_it(self):
        self.aliases = lambda name: ["db.internal", self.endpoint, "one.c1.eu-west-1.rds.example"]
        found = self.find("db.example.com")
        self.assertEqual((found.kind, found.endpoint), ("cluster", self.endpoint))
        self.assertTrue(found.is_alias)

    def test_what_a_name_of_rds_leads_to_at_the_moment_is_not_taken_for_it(self):
        """Who may not see clusters would else be told that the name is the writer's."""
        instance = "one.c1.eu-west-1.rds.amazonaws.com"
        self.answers["rds:DescribeDBClusters"] = DENIED
        self.answers["rds:DescribeDBInstances"] = {
            "DBInstances": [{"DBInstanceIdentifier": "one", "Endpoint": {"Address": instance}}]
        }
        self.aliases = lambda name: [name, self.endpoint, instance]
        for name in (self.endpoint, "db.example.com"):
            found = self.find(name)
            self.assertEqual((found.kind, found.identifier), ("hostname", None))
            [unseen] = found.unseen
            self.assertEqual(unseen.reason, "not allowed to look: rds:DescribeDBClusters")

    def test_a_global_endpoint_stays_a_host_name_that_leads_to_a_cluster(self):
        self.aliases = lambda name: [name, self.endpoint]
        found = self.find("a.global-c1.global.rds.amazonaws.com")
        self.assertEqual(
            (found.kind, found.identifier, found.vpc), ("hostname", "orders", self.vpc)
        )

    def test_a_name_of_another_region_is_looked_for_there(self):
        self.find("far.cluster-c1.eu-west-2.rds.amazonaws.com")
        self.assertIn(("rds", "eu-west-2"), self.session.clients)

    def test_other_databases_that_the_api_lists_are_host_names(self):
        self.answers["rds:DescribeDBClusters"] = self.described(
            "rds", "describe_db_clusters", "DBClusters", Engine="docdb"
        )
        self.assertEqual(self.find(self.endpoint).kind, "hostname")

    def test_the_resolver_tells_the_names_behind_a_name(self):
        self.assertIn("localhost", rds_endpoint.aliases("localhost"))
        self.assertEqual(rds_endpoint.aliases("no.such.name.invalid"), [])
