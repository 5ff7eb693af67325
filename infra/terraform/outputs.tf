output "stack_id" {
  description = "ARN of the stack."
  value       = aws_cloudformation_stack.function.id
}

output "function_name" {
  description = "Function, for manual invocations."
  value       = aws_cloudformation_stack.function.outputs["FunctionName"]
}

output "dashboard_name" {
  description = "CloudWatch dashboard with the state of the database."
  value       = aws_cloudformation_stack.function.outputs["DashboardName"]
}

output "topic_arn" {
  description = "Topic to which RDS sends its events."
  value       = aws_cloudformation_stack.function.outputs["TopicArn"]
}

output "failure_queue_url" {
  description = "Queue with the events that could not be handled."
  value       = aws_cloudformation_stack.function.outputs["FailureQueueUrl"]
}

output "event_queue_url" {
  description = "Queue with the events that the rule could not deliver; null for a database that RDS does not know."
  value       = lookup(aws_cloudformation_stack.function.outputs, "EventQueueUrl", null)
}
