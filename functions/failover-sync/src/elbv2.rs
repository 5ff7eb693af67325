//! Target groups in Elastic Load Balancing v2.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::config::Builder;
use aws_sdk_elasticloadbalancingv2::types::builders::TargetDescriptionBuilder;
use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealthDescription};
use platform::response::CompleteResponse;
use reconcile::binding::TargetGroupArn;
use reconcile::target::{DescribedTarget, Target};

use crate::error::{AwsError, DEREGISTER, REGISTER, chain};
use crate::ports::TargetGroups;

/// The IAM actions called here. DescribeTargetHealth has no resource types and needs `Resource:
/// "*"`; the others take the target group's ARN (Service Authorization Reference, Elastic Load
/// Balancing V2).
pub const IAM_ACTIONS: [&str; 3] = [DESCRIBE, REGISTER, DEREGISTER];

const DESCRIBE: &str = "elasticloadbalancing:DescribeTargetHealth";

/// The port [`TargetGroups`] over the real API.
pub struct Elbv2(pub Client);

impl TargetGroups for Elbv2 {
    async fn describe(&self, group: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        // Without `Targets`: only then are draining targets listed. The answer is not paginated.
        let request = self.0.describe_target_health().target_group_arn(group.as_str());
        let response = request.customize().config_override(checked()).send().await;
        let response = response.map_err(|error| AwsError::new(DESCRIBE, group.as_str(), error))?;
        let targets = response.target_health_descriptions().iter().map(described);
        targets.collect::<Option<Vec<_>>>().ok_or_else(|| {
            AwsError::incomplete(
                DESCRIBE,
                group.as_str(),
                "a target without an Id, a port or a state",
            )
        })
    }

    async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
        match self.register_in(None, group, targets).await {
            Err(error) if is_about_zone(&error) => {
                // Outside the VPC an address needs a zone, inside it must have none: one by one.
                for target in targets.chunks(1) {
                    match self.register_in(None, group, target).await {
                        Err(error) if is_about_zone(&error) => {
                            self.register_in(Some("all"), group, target).await?
                        }
                        registered => registered?,
                    }
                }
                Ok(())
            }
            registered => registered,
        }
    }

    async fn deregister(
        &self,
        group: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> Result<(), AwsError> {
        // An `Id` without its port returns 200 and does nothing on another port than the group's.
        // Outside the VPC the zone goes back, as other controllers do it: undocumented.
        let described = |target: &DescribedTarget| {
            description(target.id.clone(), target.port)
                .set_availability_zone(target.zone.clone())
                .build()
        };
        let targets = targets.iter().map(described).collect();
        let request =
            self.0.deregister_targets().target_group_arn(group.as_str()).set_targets(Some(targets));
        let response = request.customize().config_override(checked()).send().await;
        response.map(drop).map_err(|error| AwsError::new(DEREGISTER, group.as_str(), error))
    }
}

impl Elbv2 {
    async fn register_in(
        &self,
        zone: Option<&str>,
        group: &TargetGroupArn,
        targets: &[Target],
    ) -> Result<(), AwsError> {
        let described = |target: &Target| description(target.address.to_string(), target.port);
        let targets = targets
            .iter()
            .map(|target| described(target).set_availability_zone(zone.map(str::to_owned)));
        let targets = targets.map(TargetDescriptionBuilder::build).collect();
        let request =
            self.0.register_targets().target_group_arn(group.as_str()).set_targets(Some(targets));
        let response = request.customize().config_override(checked()).send().await;
        response.map(drop).map_err(|error| AwsError::new(REGISTER, group.as_str(), error))
    }
}

/// Whether AWS misses a zone (RegisterTargets, `TargetDescription`: "If the IP address is outside
/// the VPC, this parameter is required. … the only supported value is all"), as for a peer or on
/// premises. Only the text of a general code says so, in more than one wording.
fn is_about_zone(error: &AwsError) -> bool {
    error.code.as_deref() == Some("ValidationError") && chain(error).contains("Availability Zone")
}

fn checked() -> Builder {
    Builder::default().interceptor(CompleteResponse).retry_classifier(CompleteResponse)
}

fn description(id: String, port: u16) -> TargetDescriptionBuilder {
    TargetDescription::builder().id(id).port(port.into())
}

fn described(entry: &TargetHealthDescription) -> Option<DescribedTarget> {
    let target = entry.target()?;
    let health = entry.target_health()?;
    let reason = health.reason().map(|reason| reason.as_str().to_owned());
    let (port, state) =
        (u16::try_from(target.port()?).ok()?, health.state()?.as_str().parse().ok()?);
    let zone = target.availability_zone().map(str::to_owned);
    Some(DescribedTarget::new(target.id()?.to_owned(), port, state, reason).in_zone(zone))
}
