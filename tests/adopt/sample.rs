//! A stand-in for AWS's sample: a function that is run at events of RDS alone (`sample.py`).

use anyhow::Result;
use lab::cli::Shell;
use lab::workspace::root;
use serde_json::{Value, json};

/// The function, its role and its topic.
pub(crate) const NAME: &str = "nlb-auto-update";

const CODE: &str = "tests/adopt/sample.py";

/// Makes it by calls to the API, and returns the topic's ARN.
pub(crate) async fn deploy(
    shell: &Shell<'_>,
    group: &str,
    endpoint: &str,
    dns: &str,
) -> Result<String> {
    let trust = policy(json!({
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }));
    let targets = ["DescribeTargetHealth", "RegisterTargets", "DeregisterTargets"];
    let targets = targets.map(|action| format!("elasticloadbalancing:{action}"));
    let targets = policy(json!({"Effect": "Allow", "Action": targets, "Resource": "*"}));
    let role = shell
        .line(&format!(
            "aws iam create-role --role-name {NAME} --assume-role-policy-document '{trust}' \
             --query Role.Arn --output text"
        ))
        .await?;
    shell
        .line(&format!(
            "aws iam put-role-policy --role-name {NAME} --policy-name targets \
             --policy-document '{targets}'"
        ))
        .await?;
    let code = root().join(CODE);
    shell.line(&format!("python -m zipfile -c {NAME}.zip {}", code.display())).await?;
    let variables = json!({"NLB_TG_ARN": group, "Cluster_EndPoint": endpoint, "DNS_SERVER": dns});
    let function = shell
        .line(&format!(
            "aws lambda create-function --function-name {NAME} --runtime python3.13 --handler \
             sample.handler --role {role} --zip-file fileb://{NAME}.zip --timeout 30 \
             --environment '{}' --query FunctionArn --output text",
            json!({"Variables": variables})
        ))
        .await?;
    let create = format!("aws sns create-topic --name {NAME} --query TopicArn --output text");
    let topic = shell.line(&create).await?;
    shell
        .line(&format!(
            "aws lambda add-permission --function-name {NAME} --statement-id topic --action \
             lambda:InvokeFunction --principal sns.amazonaws.com --source-arn {topic}"
        ))
        .await?;
    shell
        .line(&format!(
            "aws sns subscribe --topic-arn {topic} --protocol lambda --notification-endpoint \
             {function}"
        ))
        .await?;
    Ok(topic)
}

/// Takes away what [`deploy`] made.
pub(crate) async fn remove(shell: &Shell<'_>, topic: &str) -> Result<()> {
    for command in [
        format!("aws sns delete-topic --topic-arn {topic}"),
        format!("aws lambda delete-function --function-name {NAME}"),
        format!("aws iam delete-role-policy --role-name {NAME} --policy-name targets"),
        format!("aws iam delete-role --role-name {NAME}"),
    ] {
        shell.line(&command).await?;
    }
    Ok(())
}

fn policy(statement: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [statement]})
}
