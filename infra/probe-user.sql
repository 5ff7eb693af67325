-- The database account with which the function asks whether a database takes writes. Run ONE of the four blocks, as the
-- master user, on the writer (the account replicates to the readers): remove the "-- " before its statements first,
-- with a client such as psql or mysql, or copy them. As it stands this file does nothing.
--
--   A  PostgreSQL, login by IAM
--   B  PostgreSQL, login by password
--   C  MySQL and MariaDB, login by IAM
--   D  MySQL and MariaDB, login by password
--
-- No grant beyond the login is needed: every account may ask a server whether it takes writes. So the account can read
-- nothing of your tables, unless you granted that to everybody (PostgreSQL: to PUBLIC).
--
-- PostgreSQL: the function connects to the database "postgres", which may be empty but must exist. PostgreSQL grants
-- CONNECT on each database to PUBLIC by default. Where that was revoked, add GRANT CONNECT ON DATABASE postgres TO
-- failover_sync. Before PostgreSQL 15 PUBLIC may also create tables in the schema "public"; REVOKE CREATE ON SCHEMA
-- public FROM PUBLIC, in the database postgres, ends that. PostgreSQL has no REQUIRE SSL for one account: the parameter
-- rds.force_ssl=1 (the default from PostgreSQL 15 on) refuses logins without TLS. CONNECTION LIMIT keeps a mistake from
-- using up the server's connections. Each server counts by itself, and a failover starts about seven runs. A run has one
-- session with a server, and for up to 10 s a second one, if it gave one up that was still opening. With the path probe it
-- has a third one while a round lasts (5 s at most), and one through each address of the load balancer, one in each zone.
-- So the most is 7 x (3 + zones): 42 with three zones, 63 with six. With six zones, or several functions, give more.
--
-- MySQL and MariaDB: an account without a GRANT has USAGE, the login and nothing more. REQUIRE SSL refuses logins
-- without TLS. '%' allows every address; the database's security group decides who gets that far. To narrow it, give
-- a range of the function's subnets, such as '10.0.1.%'. With the path probe the same account, once more, for the range of
-- the load balancer's subnets: sessions through it come from its own addresses.
--
-- IAM login must be enabled on the database (EnableIAMDatabaseAuthentication). RDS for MariaDB has it from 10.6 on. The
-- name is the stack's parameter ProbeUser, in the same case. Another name than here is fine: at most 63 characters in
-- PostgreSQL, 32 in MySQL.
--
-- The accounts were tried on PostgreSQL 15 and, with a password, on MariaDB 10.11; rds_iam and AWSAuthenticationPlugin
-- are as in the RDS user guide. Nothing here was tried on RDS and Aurora.

-- A: PostgreSQL, IAM
-- CREATE ROLE failover_sync LOGIN CONNECTION LIMIT 45;
-- GRANT rds_iam TO failover_sync;

-- B: PostgreSQL, password; the secret is {"username": "failover_sync", "password": "..."}
-- CREATE ROLE failover_sync LOGIN CONNECTION LIMIT 45 PASSWORD 'REPLACE-THIS-PASSWORD';

-- C: MySQL and MariaDB, IAM
-- CREATE USER 'failover_sync'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL;

-- D: MySQL and MariaDB, password; the secret is {"username": "failover_sync", "password": "..."}
-- CREATE USER 'failover_sync'@'%' IDENTIFIED BY 'REPLACE-THIS-PASSWORD' REQUIRE SSL;

-- Afterwards, what it may do, in PostgreSQL (psql) and in MySQL and MariaDB:
-- \du failover_sync
-- SHOW GRANTS FOR 'failover_sync'@'%';
