# A load balancer and a target group of this configuration. The group has no
# aws_lb_target_group_attachment: whatever an attachment registers, the next apply registers again.

variable "vpc_id" {
  type        = string
  description = "VPC from which the database can be reached."
}

variable "subnet_ids" {
  type        = list(string)
  description = "A subnet in every zone that the database can move to."
}

variable "security_group_id" {
  type        = string
  description = "Security group of the load balancer. It cannot be added later."
}

variable "vpc_cidr" {
  type        = string
  description = "Range of the VPC, in which a target may be."
}

resource "aws_lb" "orders" {
  #checkov:skip=CKV_AWS_91:a Network Load Balancer logs only connections with TLS
  #checkov:skip=CKV_AWS_150:an example should go as easily as it came
  name                             = "orders"
  load_balancer_type               = "network"
  internal                         = true
  subnets                          = var.subnet_ids
  security_groups                  = [var.security_group_id]
  enable_cross_zone_load_balancing = true
}

resource "aws_lb_target_group" "orders" {
  name                   = "orders"
  target_type            = "ip"
  protocol               = "TCP"
  port                   = 5432
  vpc_id                 = var.vpc_id
  deregistration_delay   = 120
  connection_termination = true

  health_check {
    protocol = "TCP"
    interval = 10
  }
}

resource "aws_lb_listener" "orders" {
  load_balancer_arn = aws_lb.orders.arn
  protocol          = "TCP"
  port              = 5432

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.orders.arn
  }
}

resource "aws_sns_topic" "operations" {
  #checkov:skip=CKV_AWS_26:CloudWatch may not use the key of AWS, and drops its messages without a word
  name = "orders-operations"
}

module "failover_sync" {
  source = "../.."

  name   = "orders-failover"
  bucket = "example-artifacts"

  target_group_arn             = aws_lb_target_group.orders.arn
  load_balancer_arn            = aws_lb.orders.arn
  deregistration_delay_seconds = 120
  operations_topic_arn         = aws_sns_topic.operations.arn

  database_endpoint = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com"
  database_port     = 5432
  database_engine   = "postgres"
  database_kind     = "cluster"
  allowed_cidrs     = var.vpc_cidr

  # The group is new and empty: there is nobody to watch.
  mode = "act"
}

output "load_balancer_arn" {
  description = "For an endpoint service, or for clients."
  value       = aws_lb.orders.arn
}
