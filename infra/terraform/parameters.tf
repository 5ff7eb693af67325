# Made from infra/function.yaml by tests/terraform.py.

locals {
  parameters = {
    TargetGroupArn              = var.target_group_arn
    ReaderTargetGroupArn        = var.reader_target_group_arn
    TargetIpAddressType         = var.target_ip_address_type
    DeregistrationDelaySeconds  = var.deregistration_delay_seconds
    LoadBalancerArn             = var.load_balancer_arn
    DatabaseEndpoint            = var.database_endpoint
    DatabasePort                = var.database_port
    DatabaseEngine              = var.database_engine
    DatabaseKind                = var.database_kind
    DatabaseIdentifier          = var.database_identifier
    ReaderEndpoint              = var.reader_endpoint
    Mode                        = var.mode
    FunctionName                = var.function_name
    ScheduleExpression          = var.schedule_expression
    WatchSeconds                = var.watch_seconds
    AllowedCidrs                = var.allowed_cidrs
    DnsServers                  = var.dns_servers
    FunctionSubnetIds           = var.function_subnet_ids
    FunctionSecurityGroupIds    = var.function_security_group_ids
    Architecture                = var.architecture
    ProbeUser                   = var.probe_user
    DatabaseResourceIds         = var.database_resource_ids
    ProbeSecretArn              = var.probe_secret_arn
    DatabaseSecurityGroupId     = var.database_security_group_id
    CaBundleLayerArn            = var.ca_bundle_layer_arn
    LoadBalancerDnsName         = var.load_balancer_dns_name
    ListenerPort                = var.listener_port
    LoadBalancerSecurityGroupId = var.load_balancer_security_group_id
    OperationsTopicArn          = var.operations_topic_arn
    LogRetentionDays            = var.log_retention_days
    KmsKeyArn                   = var.kms_key_arn
  }
}
