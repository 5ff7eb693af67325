"""In which order a deployment is filled: flags, then earlier answers, then AWS, then questions."""

from configuration import access, group, link, network, path, probe, questions
from configuration import database as databases
from configuration.settings import YOU

ACTIONS = network.ACTIONS | access.ACTIONS | link.ACTIONS | path.ACTIONS | probe.ACTIONS


def fill(settings, there, asker, options):
    """All parameters of what is deployed; `there` is the network as AWS tells of it."""
    database = there.database
    # With --replace they come after AWS, and only where nobody else knows.
    if not options.replace:
        settings.take_saved()
    settings.put("DatabaseEndpoint", database.name, YOU)
    if options.link:
        link.fill_from_stack(there, options.link)
    databases.fill(settings, database)
    questions.ask_for_database(asker, settings, database)
    if options.target_group:
        group.fill_from_group(there, options.target_group)
        if options.path_probe or path.is_asked_for(settings):
            path.fill_listener(there, options.target_group)
    network.fill_vpc(there)
    questions.ask_for_vpc(asker, there)
    if options.link:
        fill_on_link(settings, there, asker)
    elif not options.target_group:
        fill_new_link(settings, there, asker)
    access.fill_targets(there, options.strict)
    # The load balancer of a group that exists has its way already.
    if not options.target_group or probe.is_asked_for(settings):
        access.fill_way_to_database(there)
        questions.ask_for_access(asker, there)
    probe.fill(there)
    if probe.is_asked_for(settings):
        questions.ask_for_function(asker, there)
        path.fill_rules(there)
    questions.ask_for_people(asker, settings)
    settings.take_saved()
    databases.warn(settings, database)


def fill_new_link(settings, there, asker):
    answers, _ = settings.saved
    network.fill_subnets(there, kept=answers.get("SubnetIds", "").split(","))
    questions.ask_for_subnets(asker, there)
    network.fill_family(there)
    access.warn_of_load_balancers(there)


def fill_on_link(settings, there, asker):
    link.warn_of_zones(there)
    if (port := link.free_port(there)) and not settings.has("ListenerPort"):
        questions.ask_for_port(asker, settings, port)
    if link.is_let_in(there):
        there.is_let_in = True
        settings.say("DatabaseSecurityGroupId", "", "another stack has the rule")
