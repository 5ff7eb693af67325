//! `infra/mysql-parameters.yaml` deployed to the local AWS: as it is, and changed to the permanent remedy.

use anyhow::{Result, ensure};
use lab::aws::Aws;
use lab::cloudformation::Template;
use lab::progress::Quiet;
use lab::workspace::{Run, root};

#[tokio::test]
async fn the_parameter_group_is_created_and_changed() -> Result<()> {
    let run = Run::new()?;
    let aws = Aws::start(&run).await?;
    let directory = run.scratch("mysql-parameters")?;
    let template = Template::fit(&run, &root().join("infra/mysql-parameters.yaml"), &directory).await?;
    ensure!(template.left_out.is_empty(), "the local AWS knows less of it: {:?}", template.left_out);
    let mut groups = Vec::new();
    for remedy in [vec![], vec![("DisableHostCache", "true")]] {
        let parameters = [("Family", "aurora-mysql8.0")].into_iter().chain(remedy);
        let outputs = template.deploy(&run, &aws.environment(), "db-parameters", parameters, &Quiet).await?;
        let group = outputs.get("ParameterGroupName")?.to_owned();
        ensure!(outputs.get("AssociateCommand")?.contains(&group), "the command does not name {group}");
        groups.push(group);
    }
    ensure!(groups[0] == groups[1], "a change of the parameters made another group: {groups:?}");
    Ok(())
}
