"""postmulti: several instances on one machine. Manual: postmulti(1) of Postfix 3.7.

    postmulti -l [-aRv] [-g group] [-i name]                       list them
    postmulti -p [-av] [-g group] [-i name] postfix-command…       postfix(1) for each
    postmulti -x [-aRv] [-g group] [-i name] unix-command…         any command for each
    postmulti -e init|create|import|destroy|deport|enable|disable|assign …   (postmulti_edit.py)

The primary instance is that of /etc/postfix. The exit status is 1 when anything failed for any of them.
"""

import os
import sys
from collections.abc import Sequence

from posthouse.commands.postmulti_instances import Instance, read_instances
from posthouse.commands.postmulti_options import Fatal, Options, parse_options, say
from posthouse.config.error import ConfigError
from posthouse.config.read import DEFAULT_DIRECTORY


def main(arguments: list[str], primary: str = DEFAULT_DIRECTORY) -> int:
    """Run the command; returns its exit status."""
    try:
        return _run(parse_options(arguments), primary)
    except Fatal as error:
        if str(error):
            say(f"fatal: {error}")
    except ConfigError as error:
        for text in error.warnings:
            say(f"warning: {text}")
        say(f"fatal: {error.text}")
    return 1


def _run(options: Options, primary: str) -> int:
    named = os.environ.get("MAIL_CONFIG", "")
    if named and os.path.realpath(named) != os.path.realpath(primary):
        raise Fatal(f"Non-default configuration directory: MAIL_CONFIG={named}")
    if options.mode == "e":
        from posthouse.commands.postmulti_edit import edit

        return edit(options, primary)
    instances = [one for one in read_instances(primary) if _is_meant(one, options)]
    if options.mode == "l":
        for one in reversed(instances) if options.reverse else instances:
            print(one.listing())
        return 0
    if options.mode == "p":
        steps = _postfix_steps(instances, options.words, primary)
    else:
        steps = [(one, options.words) for one in (reversed(instances) if options.reverse else instances)]
    if not steps:
        raise Fatal("No matching instances")
    failed = False
    for one, words in steps:
        if options.verbose:
            say(f"{'postfix ' if options.mode == 'p' else ''}{' '.join(words)} for {one.directory}")
        failed = run_for(one, words, postfix=options.mode == "p", verbose=options.verbose) != 0 or failed
    return 1 if failed else 0


def _is_meant(instance: Instance, options: Options) -> bool:
    if options.name:
        return instance.is_called(options.name)
    return not options.group or instance.group == options.group


def _postfix_steps(
    instances: Sequence[Instance], words: tuple[str, ...], primary: str
) -> list[tuple[Instance, tuple[str, ...]]]:
    """What postfix is to do for which instance, in which order."""
    settings = read_instances(primary)[0].settings
    command = words[0]
    if command in settings.postmulti_start_commands:
        return [(one, words if one.enabled else ("check",)) for one in instances]
    if command in settings.postmulti_stop_commands:
        return [(one, words) for one in reversed(instances) if one.enabled]
    if command in settings.postmulti_control_commands:
        return [(one, words) for one in instances if one.enabled]
    return [(one, words) for one in instances]


def run_for(instance: Instance, words: Sequence[str], *, postfix: bool, verbose: bool = False) -> int:
    """Run a command in a child with the instance's environment; its exit status, 1 when a signal ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.environ.update(instance.environment())
            if verbose:
                os.environ["MAIL_VERBOSE"] = ""
            if postfix:
                from posthouse.commands.postfix import main as run_postfix

                status = run_postfix(list(words))
                sys.stdout.flush()
            else:
                os.execvp(words[0], list(words))
        except OSError as error:
            say(f"fatal: execvp {words[0]}: {error.strerror}")
        finally:
            os._exit(status)
    _, waited = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(waited)
    return code if code >= 0 else 1
