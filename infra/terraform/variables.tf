# Made from infra/function.yaml by tests/terraform.py.

variable "target_group_arn" {
  type        = string
  description = "Target group of type ip and protocol TCP that the function keeps on the writer. Stop whatever else registers targets in it before this one acts."
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws(-cn|-eusc|-iso|-iso-b|-iso-e|-iso-f|-us-gov)?:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-z]+)$", var.target_group_arn))
    error_message = "target_group_arn must be the ARN of a target group."
  }
}

variable "reader_target_group_arn" {
  type        = string
  description = "Target group for the readers of the same cluster, only for kind cluster and with reader_endpoint. Empty = the writer only."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws(-cn|-eusc|-iso|-iso-b|-iso-e|-iso-f|-us-gov)?:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-z]+)?$", var.reader_target_group_arn))
    error_message = "reader_target_group_arn must be the ARN of a target group, or empty."
  }
}

variable "target_ip_address_type" {
  type        = string
  description = "IP address type of the target groups. ipv6 needs a database with IPv6 addresses (RDS network type DUAL), and their ranges in allowed_cidrs."
  default     = "ipv4"
  nullable    = false

  validation {
    condition     = contains(["ipv4", "ipv6"], var.target_ip_address_type)
    error_message = "target_ip_address_type must be one of ipv4, ipv6."
  }
}

variable "deregistration_delay_seconds" {
  type        = number
  description = "What the target groups have as deregistration_delay.timeout_seconds, 0 to 3600. Below 120 the function can be misled by DNS answers that flap after a failover, and below 90 by an event of the one before."
  default     = 120
  nullable    = false

  validation {
    condition     = var.deregistration_delay_seconds >= 0 && var.deregistration_delay_seconds <= 3600
    error_message = "deregistration_delay_seconds must be from 0 to 3600."
  }
}

variable "load_balancer_arn" {
  type        = string
  description = "Network Load Balancer that leads to the target group, for the alarms and the dashboard."
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws(-cn|-eusc|-iso|-iso-b|-iso-e|-iso-f|-us-gov)?:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:loadbalancer/net/[A-Za-z0-9-]{1,32}/[0-9a-z]+)$", var.load_balancer_arn))
    error_message = "load_balancer_arn must be the ARN of a Network Load Balancer."
  }
}

variable "database_endpoint" {
  type        = string
  description = "Name that clients use today, for a cluster the writer (cluster) endpoint, such as app.cluster-abc123.eu-west-1.rds.amazonaws.com. For kind 'address', the address."
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+|[0-9a-f:]*:[0-9a-f:]+)$", var.database_endpoint)) && length(var.database_endpoint) <= 253
    error_message = "database_endpoint must be a lower-case DNS name or an IP address, without protocol, port or trailing dot."
  }
}

variable "database_port" {
  type        = number
  description = "Port of the database (PostgreSQL 5432, MySQL and MariaDB 3306), with which its addresses are registered."
  nullable    = false

  validation {
    condition     = var.database_port >= 1 && var.database_port <= 65535
    error_message = "database_port must be from 1 to 65535."
  }
}

variable "database_engine" {
  type        = string
  description = "Database engine. It decides how the database is asked, with probe_user or probe_secret_arn."
  nullable    = false

  validation {
    condition     = contains(["postgres", "mysql", "mariadb", "sqlserver", "oracle", "other"], var.database_engine)
    error_message = "database_engine must be one of postgres, mysql, mariadb, sqlserver, oracle, other."
  }
}

variable "database_kind" {
  type        = string
  description = "What the endpoint is. cluster = writer of an Aurora or Multi-AZ DB cluster, readers = its reader endpoint, instance = one RDS instance (Multi-AZ or not), proxy = RDS Proxy, custom = a custom endpoint of an Aurora cluster, hostname = any other name, address = a fixed IP."
  nullable    = false

  validation {
    condition     = contains(["cluster", "readers", "instance", "proxy", "custom", "hostname", "address"], var.database_kind)
    error_message = "database_kind must be one of cluster, readers, instance, proxy, custom, hostname, address."
  }
}

variable "database_identifier" {
  type        = string
  description = "RDS identifier of the cluster or instance. Empty = first label of the endpoint, which is right for cluster, reader and instance endpoints. Give it for CNAMEs, and for a custom endpoint as kind readers, which registers all readers of the cluster. Only for the kinds cluster, readers and instance."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([a-z](-?[a-z0-9])*)?$", var.database_identifier)) && length(var.database_identifier) <= 63
    error_message = "database_identifier must be an RDS identifier - lower-case letters, digits and single hyphens, first a letter."
  }
}

variable "reader_endpoint" {
  type        = string
  description = "Reader endpoint of the cluster, with reader_target_group_arn. Empty = the writer only."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9][a-z0-9-]{0,62})+)?$", var.reader_endpoint)) && length(var.reader_endpoint) <= 253
    error_message = "reader_endpoint must be a lower-case DNS name, without protocol, port or trailing dot, or empty."
  }
}

variable "mode" {
  type        = string
  description = "act = the function registers and deregisters targets. observe = it does all but that, and says what it would have done; its role cannot change a target group."
  default     = "observe"
  nullable    = false

  validation {
    condition     = contains(["act", "observe"], var.mode)
    error_message = "mode must be one of act, observe."
  }
}

variable "function_name" {
  type        = string
  description = "Name of the function and of its log group. Empty = the stack's name, which must then have 64 characters at most."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{0,64}$", var.function_name))
    error_message = "function_name must be at most 64 letters, digits, hyphens and underscores."
  }
}

variable "schedule_expression" {
  type        = string
  description = "How often the target group is checked when no event arrives, from rate(1 minute) to rate(5 minutes)."
  default     = "rate(1 minute)"
  nullable    = false

  validation {
    condition     = can(regex("^rate\\((1 minute|[2-5] minutes)\\)$", var.schedule_expression))
    error_message = "schedule_expression must be rate(1 minute) or rate(2 minutes) to rate(5 minutes)."
  }
}

variable "watch_seconds" {
  type        = number
  description = "How long a failover event is watched, in seconds, 0 to 180. The watch ends earlier once everything has agreed for a while."
  default     = 180
  nullable    = false

  validation {
    condition     = var.watch_seconds >= 0 && var.watch_seconds <= 180
    error_message = "watch_seconds must be from 0 to 180."
  }
}

variable "allowed_cidrs" {
  type        = string
  description = "Ranges in which a target may be, separated by commas. A DNS answer outside of them is refused and reported. Give the VPC's own ranges, and those of its peers that hold databases - whoever can change a DNS answer could otherwise lead the consumers to any private address. For ipv6 they are needed, since a VPC's IPv6 ranges are public ones."
  default     = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7"
  nullable    = false

  validation {
    condition     = can(regex("^(([0-9]{1,3}\\.){3}[0-9]{1,3}/([1-9]|[12][0-9]|3[0-2])|[0-9a-f:]+:[0-9a-f:]*/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))(,(([0-9]{1,3}\\.){3}[0-9]{1,3}/([1-9]|[12][0-9]|3[0-2])|[0-9a-f:]+:[0-9a-f:]*/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8])))*$", var.allowed_cidrs))
    error_message = "allowed_cidrs must be ranges separated by commas without spaces; /0 is refused."
  }
}

variable "dns_servers" {
  type        = string
  description = "DNS servers to ask instead of the system's, as ip or ip:port, separated by commas, at most three; the next when one gives no answer. Empty = the system's, which is right for RDS names."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(([0-9]{1,3}\\.){3}[0-9]{1,3}(:[0-9]{1,5})?(,([0-9]{1,3}\\.){3}[0-9]{1,3}(:[0-9]{1,5})?){0,2})?$", var.dns_servers))
    error_message = "dns_servers must be one to three IPv4 addresses, each with an optional port, with commas and no spaces."
  }
}

variable "function_subnet_ids" {
  type        = string
  description = "Subnets for the function, at most 16, separated by commas, only for names that resolve nowhere but inside the VPC, and for probe_user and probe_secret_arn. They need a route to the APIs of Elastic Load Balancing (elasticloadbalancing) and RDS, by NAT or interface endpoints, with probe_secret_arn also of Secrets Manager; logs need none. Empty = outside the VPC, where private RDS names resolve as well."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(subnet-[0-9a-f]{8,17}(,subnet-[0-9a-f]{8,17}){0,15})?$", var.function_subnet_ids))
    error_message = "function_subnet_ids must be at most 16 subnet IDs separated by commas without spaces, or empty."
  }
}

variable "function_security_group_ids" {
  type        = string
  description = "Security groups of the function, at most five, separated by commas, when it has subnets. They need egress to the APIs (TCP 443) and DNS (UDP and TCP 53), with probe_user or probe_secret_arn to the database's port, and with the path probe to the port of the load balancer's listener. A rule that is then added to the database's or load balancer's group names the first of them; EC2 refuses a rule that exists - if that one is let in already, put another first."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(sg-[0-9a-f]{8,17}(,sg-[0-9a-f]{8,17}){0,4})?$", var.function_security_group_ids))
    error_message = "function_security_group_ids must be at most five security group IDs separated by commas without spaces, or empty."
  }
}

variable "architecture" {
  type        = string
  description = "Processor that the zip is for."
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be one of x86_64, arm64."
  }
}

variable "probe_user" {
  type        = string
  description = "Database user with IAM login, as which the function asks PostgreSQL, MySQL or MariaDB whether it takes writes; upper and lower case count. infra/probe-user.sql creates it, without any privilege. The function must then be in the VPC (function_subnet_ids, function_security_group_ids). Without this and probe_secret_arn nothing changes - no database is asked."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]*$", var.probe_user)) && length(var.probe_user) <= 63
    error_message = "probe_user must be at most 63 letters, digits, underscores and hyphens, or empty."
  }
}

variable "database_resource_ids" {
  type        = string
  description = "Resource IDs into which the database user may log in by IAM, at most four, separated by commas. DbClusterResourceId of an Aurora cluster (cluster-...), DbiResourceId of an instance (db-...), both for a Multi-AZ DB cluster. Before a blue/green switchover add those of the green database."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^((cluster|db)-[A-Z0-9]{10,40}(,(cluster|db)-[A-Z0-9]{10,40}){0,3})?$", var.database_resource_ids))
    error_message = "database_resource_ids must be at most four resource IDs (cluster- or db- and capital letters and digits, not names) separated by commas."
  }
}

variable "probe_secret_arn" {
  type        = string
  description = "Secret of Secrets Manager with the members username and password, instead of probe_user. The function must then be in the VPC as well. The policy of a customer managed key must allow the function's role kms:Decrypt."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws(-cn|-eusc|-iso|-iso-b|-iso-e|-iso-f|-us-gov)?:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+)?$", var.probe_secret_arn))
    error_message = "probe_secret_arn must be the whole ARN of a secret, or empty."
  }
}

variable "database_security_group_id" {
  type        = string
  description = "Security group of the database, to which probe_user and probe_secret_arn add a rule that lets the function in. Empty = you let it in yourself."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(sg-[0-9a-f]{8,17})?$", var.database_security_group_id))
    error_message = "database_security_group_id must be a security group ID or empty."
  }
}

variable "ca_bundle_layer_arn" {
  type        = string
  description = "Version of a Lambda layer whose file ca.pem holds the certificate authorities that the function trusts when it logs in to the database, in place of those of RDS that it brings."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws(-cn|-eusc|-iso|-iso-b|-iso-e|-iso-f|-us-gov)?:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]+:[0-9]+)?$", var.ca_bundle_layer_arn))
    error_message = "ca_bundle_layer_arn must be the ARN of a layer's version, which ends in a number, or empty."
  }
}

variable "load_balancer_dns_name" {
  type        = string
  description = "DNS name of the load balancer, to ask the writer through it as consumers do, with probe_user or probe_secret_arn (path probe). Empty = no path probe."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(([A-Za-z0-9-]{1,63}\\.)+[A-Za-z][A-Za-z0-9-]{0,62})?$", var.load_balancer_dns_name)) && length(var.load_balancer_dns_name) <= 253
    error_message = "load_balancer_dns_name must be a DNS name, without protocol, port or trailing dot, or empty."
  }
}

variable "listener_port" {
  type        = string
  description = "Port of the load balancer's listener, for the path probe. Empty = database_port."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$", var.listener_port))
    error_message = "listener_port must be a port from 1 to 65535, or empty."
  }
}

variable "load_balancer_security_group_id" {
  type        = string
  description = "Security group of the load balancer, to which the path probe adds a rule that lets the function in. Empty = it has none, or lets the function in already."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(sg-[0-9a-f]{8,17})?$", var.load_balancer_security_group_id))
    error_message = "load_balancer_security_group_id must be a security group ID or empty."
  }
}

variable "operations_topic_arn" {
  type        = string
  description = "SNS topic that the alarms are sent to. Its policy must let CloudWatch publish, as that of a new topic does."
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws(-cn|-eusc|-iso|-iso-b|-iso-e|-iso-f|-us-gov)?:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256})$", var.operations_topic_arn))
    error_message = "operations_topic_arn must be the ARN of an SNS topic (not FIFO)."
  }
}

variable "log_retention_days" {
  type        = number
  description = "Days for which the function's logs are kept."
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "kms_key_arn" {
  type        = string
  description = "Customer managed KMS key that encrypts what the stack keeps - topics, queues and logs. infra/README.md has the key policy that the services need. Empty = the services' own encryption, and none of the topics."
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws(-cn|-eusc|-iso|-iso-b|-iso-e|-iso-f|-us-gov)?:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (not of an alias) or empty."
  }
}
