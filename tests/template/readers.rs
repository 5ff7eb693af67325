//! The readers of a cluster beside its writer: a second binding of the same function.

use reconcile::binding::{Binding, Kind};
use reconcile::config::Config;

use super::stack::{ENDPOINTS, READER_TARGET_GROUP, Stack, TARGET_GROUP, text};
use super::{READERS, joined};

/// The bindings that the function reads, or what is wrong with them.
fn bindings(stack: &Stack) -> Vec<Binding> {
    let function = stack.existing("Function");
    let config = Config::parse(|name| function["Environment"]["Variables"].get(name).map(text));
    config.unwrap_or_else(|error| panic!("{error}")).bindings
}

#[test]
fn the_readers_are_a_second_binding_with_a_group_and_an_endpoint_of_their_own() {
    for identifier in ["", "other"] {
        for stack in
            [Stack::with, joined].map(|stack| stack(&[READERS, ("DatabaseIdentifier", identifier)]))
        {
            let bindings = bindings(&stack);
            let [writer, readers] = bindings.as_slice() else { panic!("{bindings:?}") };
            assert_eq!([&*writer.name, &*readers.name], ["writer", "readers"]);
            assert_eq!([writer.kind, readers.kind], [Kind::Cluster, Kind::Readers]);
            assert_eq!(
                [writer, readers].map(|b| b.endpoint.to_string()),
                [ENDPOINTS[0].1, ENDPOINTS[1].1]
            );
            assert_eq!(
                [writer, readers].map(|b| b.target_group.to_string()),
                [TARGET_GROUP, READER_TARGET_GROUP]
            );
            assert_eq!(
                [writer.port, readers.port],
                [5432, 5432],
                "the listener's port is not the target's"
            );
            let id = if identifier.is_empty() { "app" } else { identifier };
            assert_eq!([writer, readers].map(|b| b.id.as_deref()), [Some(id), Some(id)]);
        }
    }
    for stack in [Stack::with(&[]), joined(&[])] {
        assert_eq!(bindings(&stack).len(), 1);
    }
}

/// An endpoint in China is longer; from a CNAME no reader endpoint follows.
#[test]
fn an_endpoint_without_a_reader_endpoint_does_not_bring_the_writer_twice() {
    let readers = |endpoint: &str| {
        let stack =
            Stack::with(&[READERS, ("DatabaseEndpoint", endpoint), ("DatabaseIdentifier", "app")]);
        bindings(&stack)[1].endpoint.to_string()
    };
    let china = "rds.cn-north-1.amazonaws.com.cn";
    assert_eq!(
        readers(&format!("app.cluster-abc123.{china}")),
        format!("app.cluster-ro-abc123.{china}")
    );
    assert_eq!(
        readers("db.internal.example"),
        "db.internal.example.cluster-ro-",
        "no such name: the function says so"
    );
}

#[test]
fn the_readers_group_is_like_the_writers() {
    for parameters in
        [&[][..], &[("DatabaseEngine", "mysql")], &[("HealthCheckIntervalSeconds", "60")]]
    {
        let stack = Stack::with(&[parameters, &[READERS]].concat());
        let [mut writer, mut readers] =
            ["TargetGroup", "ReaderTargetGroup"].map(|name| stack.existing(name));
        assert_eq!(
            [&writer["Tags"][0]["Value"], &readers["Tags"][0]["Value"]],
            ["link", "link-readers"]
        );
        for group in [&mut writer, &mut readers] {
            group.as_object_mut().unwrap().remove("Tags");
        }
        assert_eq!(readers, writer);
    }
}

#[test]
fn without_a_port_for_them_there_is_nothing_for_readers() {
    for stack in [
        Stack::with(&[("ConsumerCidrs", "10.9.0.0/16")]),
        joined(&[("ConsumerCidrs", "10.9.0.0/16")]),
    ] {
        let resources = stack.resources();
        assert!(!resources.iter().any(|name| name.contains("Reader")), "{resources:?}");
        assert!(!stack.existing("Function").to_string().contains("readers"));
    }
}
