-- The database account of the function that flushes the host cache. Run ONE of the four blocks, as the master user, on
-- the writer (the account replicates to the readers): remove the "-- " in front of its statements first, with a client
-- such as mysql, or copy them. As it stands this file does nothing.
--
--   A  MySQL 8.3 and newer (RDS for MySQL 8.4, Aurora MySQL 8.4), login by IAM
--   B  MySQL 8.3 and newer, login by password
--   C  MySQL before 8.3 (Aurora MySQL 2 and 3, RDS for MySQL 5.7 and 8.0) and MariaDB, login by IAM
--   D  MySQL before 8.3 and MariaDB, login by password
--
-- SELECT VERSION(); tells which. After an upgrade from 8.0 to 8.4 the account of C or D lacks a privilege: run the last
-- GRANT of A, and REVOKE RELOAD ON *.* FROM 'flush_hosts'@'%';
--
-- What the grants are for:
--   TRUNCATE TABLE performance_schema.host_cache needs DROP on that table; RELOAD does not help.
--   FLUSH HOSTS needs RELOAD, which exists only for the whole server. It also allows other FLUSH statements, such as
--   FLUSH TABLES, but no reading or writing of data.
--   SELECT on that table lets the function see how full the cache is and whether it blocked somebody.
-- Not granted: anything else, on any schema. REQUIRE SSL refuses logins without TLS.
--
-- IAM login must be enabled on the database (EnableIAMDatabaseAuthentication). RDS for MariaDB has it from 10.6 on.
-- The name is the stack's parameter FlushHostsUser, in the same case. '%' allows every address; the security group of
-- the database decides who gets that far. To narrow it, give a range of the function's subnets, such as '10.0.1.%'.
--
-- The grants were tried on MySQL 9.7 and MariaDB 10.11 and 11.8; AWSAuthenticationPlugin is as in the RDS user guide.
-- Nothing here was tried on RDS and Aurora.

-- A: MySQL 8.3 and newer, IAM
-- CREATE USER 'flush_hosts'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL;
-- GRANT SELECT, DROP ON performance_schema.host_cache TO 'flush_hosts'@'%';

-- B: MySQL 8.3 and newer, password; the secret is {"username": "flush_hosts", "password": "..."}
-- CREATE USER 'flush_hosts'@'%' IDENTIFIED BY 'REPLACE-THIS-PASSWORD' REQUIRE SSL;
-- GRANT SELECT, DROP ON performance_schema.host_cache TO 'flush_hosts'@'%';

-- C: MySQL before 8.3 and MariaDB, IAM
-- CREATE USER 'flush_hosts'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL;
-- GRANT RELOAD ON *.* TO 'flush_hosts'@'%';
-- GRANT SELECT ON performance_schema.host_cache TO 'flush_hosts'@'%';

-- D: MySQL before 8.3 and MariaDB, password; the secret is {"username": "flush_hosts", "password": "..."}
-- CREATE USER 'flush_hosts'@'%' IDENTIFIED BY 'REPLACE-THIS-PASSWORD' REQUIRE SSL;
-- GRANT RELOAD ON *.* TO 'flush_hosts'@'%';
-- GRANT SELECT ON performance_schema.host_cache TO 'flush_hosts'@'%';

-- Afterwards, what it may do:
-- SHOW GRANTS FOR 'flush_hosts'@'%';
