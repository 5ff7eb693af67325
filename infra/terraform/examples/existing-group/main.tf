# A load balancer and a target group that Terraform does not own here.

data "aws_lb" "orders" {
  name = "orders"
}

data "aws_lb_target_group" "orders" {
  name = "orders"
}

variable "operations_topic_arn" {
  type        = string
  description = "SNS topic that the alarms are sent to."
}

module "failover_sync" {
  source = "../.."

  name   = "orders-failover"
  bucket = "example-artifacts"

  target_group_arn     = data.aws_lb_target_group.orders.arn
  load_balancer_arn    = data.aws_lb.orders.arn
  operations_topic_arn = var.operations_topic_arn

  database_endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com"
  database_port     = 5432
  database_engine   = "postgres"
  database_kind     = "cluster"
  allowed_cidrs     = "10.50.0.0/21"

  # "act" when both have agreed over a failover, and nothing else registers targets any more.
  mode = "observe"
}

output "function_name" {
  description = "Function, for manual invocations."
  value       = module.failover_sync.function_name
}
