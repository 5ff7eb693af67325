variable "name" {
  type        = string
  description = "Name of the stack, and of the function if function_name is empty. Another name replaces the stack."
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,63}$", var.name))
    error_message = "The name must have at most 64 letters, digits and hyphens, first a letter."
  }
}

variable "bucket" {
  type        = string
  description = "Bucket in the function's Region for its zip and its template. The module makes none."
  nullable    = false
}

variable "key_prefix" {
  type        = string
  description = "What the keys of both begin with."
  default     = "failover-sync/"
  nullable    = false
}

variable "zip" {
  type        = string
  description = "Path of the function's zip. Null = the one of the release that this module is in."
  default     = null
}

variable "template" {
  type        = string
  description = "Path of function-standalone.yaml. Null = the one of the release that this module is in."
  default     = null
}

variable "deployment_role_arn" {
  type        = string
  description = "Role with which CloudFormation makes the stack. Null = your own permissions."
  default     = null
}

variable "notification_arns" {
  type        = list(string)
  description = "SNS topics that CloudFormation tells about the stack."
  default     = []
  nullable    = false
}

variable "tags" {
  type        = map(string)
  description = "Tags of the stack, which CloudFormation puts on what it makes."
  default     = {}
  nullable    = false
}
