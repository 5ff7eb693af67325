locals {
  zip      = coalesce(var.zip, "${path.module}/../../failover-sync-${var.architecture}.zip")
  template = coalesce(var.template, "${path.module}/../../function-standalone.yaml")
}

data "aws_s3_bucket" "code" {
  bucket = var.bucket
}

# Each key holds the hash of its object: CloudFormation does not look at new bytes under an old key.
# The old objects go last, since the stack may have to return to them.

resource "aws_s3_object" "code" {
  #checkov:skip=CKV_AWS_186:encrypted as the bucket is, and there is no secret in it
  bucket = var.bucket
  key    = "${var.key_prefix}${filesha256(local.zip)}.zip"
  source = local.zip

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_s3_object" "template" {
  #checkov:skip=CKV_AWS_186:encrypted as the bucket is, and there is no secret in it
  bucket = var.bucket
  key    = "${var.key_prefix}${filesha256(local.template)}.yaml"
  source = local.template

  lifecycle {
    create_before_destroy = true
  }
}

# Neither on_failure, disable_rollback nor timeout_in_minutes: a later change of one would replace
# the stack.
resource "aws_cloudformation_stack" "function" {
  #checkov:skip=CKV_AWS_124:whom CloudFormation tells is the caller's to say
  name         = var.name
  template_url = "https://${data.aws_s3_bucket.code.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  parameters = merge(local.parameters, {
    CodeS3Bucket = aws_s3_object.code.bucket
    CodeS3Key    = aws_s3_object.code.key
  })
  capabilities      = ["CAPABILITY_IAM"]
  iam_role_arn      = var.deployment_role_arn
  notification_arns = var.notification_arns
  tags              = var.tags
}
