"""postmulti -e: instances made, taken in, taken out, switched on and off, and removed.

What is removed is only what an instance makes itself, by name; whatever else lies in its folders stays, and a
warning says so.
"""

import os
import shutil

from posthouse.commands.postmulti_instances import Instance, read_instance, read_instances, require_apart
from posthouse.commands.postmulti_options import Fatal, Options, say
from posthouse.config.edit_main import edit_main
from posthouse.config.error import ConfigError
from posthouse.config.read import read_configuration
from posthouse.config.rewrite import rewrite_file

SCRIPT = "postfix/postmulti-script"

WRAPPER = "${command_directory}/postmulti -p --"

FOLDERS = ("config_directory", "queue_directory", "data_directory")

SHARED = (
    *("command_directory", "daemon_directory", "meta_directory", "shlib_directory", "mail_owner", "setgid_group"),
    *("sendmail_path", "mailq_path", "newaliases_path", "html_directory", "manpage_directory", "readme_directory"),
    "sample_directory",
)
"""What a new instance has from the primary one, where that sets it."""

STOCK_MAIN = """\
# An instance of its own. postconf -d shows the defaults, postconf -n what is set here.
"""


def edit(options: Options, primary: str) -> int:
    """Carry the action out; the exit status. Raises Fatal, ConfigError."""
    _require_fitting(options)
    if options.action == "init":
        _set(primary, {"multi_instance_enable": "yes", "multi_instance_wrapper": WRAPPER})
        return 0
    parameters = _parameters(options)
    instances = read_instances(primary)
    if options.action in ("create", "import"):
        _add(options, instances, parameters)
        return 0
    found = [one for one in instances if one.is_called(options.name)]
    if not found:
        raise Fatal(f"No instance named {options.name}")
    _require_managed(instances)
    _change(options, instances, found[0])
    return 0


def _require_fitting(options: Options) -> None:
    action = options.action
    naming = options.new_name is not None or options.new_group is not None
    if naming and action not in ("create", "import", "assign"):
        raise Fatal(f"Cannot assign instance name or group with '-e {action}'")
    if action not in ("create", "import") and options.words:
        raise Fatal(f"Parameter overrides not valid with '-e {action}'")
    if action == "assign" and not naming:
        raise Fatal("Specify new instance name or group with '-e assign'")
    if action not in ("create", "import", "init") and not options.name:
        raise Fatal("Select an instance via '-i name'")
    if options.new_name not in (None, "-") and not str(options.new_name).startswith("postfix-"):
        raise Fatal("New instance name must start with 'postfix-'")


def _parameters(options: Options) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in options.words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Fatal(f"Malformed parameter setting '{word}'")
        known = FOLDERS if options.action == "create" else FOLDERS[:1]
        if name.strip() not in known:
            raise Fatal(f"Parameter '{name.strip()}' not valid with action {options.action}")
        if not value.strip().startswith("/"):
            raise Fatal(f"Parameter setting '{name.strip()}' is not an absolute path")
        found[name.strip()] = value.strip()
    return found


def _require_managed(instances: list[Instance]) -> None:
    if not instances[0].settings.multi_instance_wrapper:
        say("fatal: multi_instance_wrapper is empty, run 'postmulti -e init' first.", SCRIPT)
        raise Fatal


def _set(directory: str, values: dict[str, str]) -> None:
    rewrite_file(f"{directory}/main.cf", lambda text: edit_main(text, values, (), remove=False)[0])


def _set_list(instances: list[Instance], directories: list[str]) -> None:
    _set(instances[0].directory, {"multi_instance_directories": " ".join(directories)})


# Adding


def _add(options: Options, instances: list[Instance], parameters: dict[str, str]) -> None:
    primary = instances[0]
    name = "" if options.new_name in (None, "-") else str(options.new_name)
    mine = {
        "config_directory": primary.directory,
        "queue_directory": primary.settings.queue_directory,
        "data_directory": primary.settings.data_directory,
    }
    if name:
        for folder, of_primary in mine.items():
            parameters.setdefault(folder, f"{os.path.dirname(of_primary.rstrip('/'))}/{name}")
    directory = parameters.get("config_directory")
    if directory is None:
        raise Fatal("Missing config_directory parameter value")
    for other in instances:
        if os.path.normpath(other.directory) == os.path.normpath(directory):
            raise Fatal(
                f"new config_directory={directory} is already in use by"
                f" instance {other.directory}, config_directory={directory}"
            )
    place = _place(options, instances)
    exists = all(os.path.exists(f"{directory}/{file}") for file in ("main.cf", "master.cf"))
    naming = _naming(options)
    if options.action == "import" or exists:
        new = read_instance(directory)
        require_apart(new, instances)
        _require_managed(instances)
        if naming:
            _set(directory, naming)
    else:
        for folder in FOLDERS:
            if folder not in parameters:
                raise Fatal(f"Missing {folder} parameter value")
        _require_unused(parameters, instances)
        _require_managed(instances)
        _make(primary, parameters, naming)
    others = [one.directory for one in instances[1:]]
    _set_list(instances, [*others[:place], directory, *others[place:]])


def _naming(options: Options) -> dict[str, str]:
    given = {"multi_instance_group": options.new_group, "multi_instance_name": options.new_name}
    return {name: "" if value == "-" else value for name, value in given.items() if value is not None}


def _place(options: Options, instances: list[Instance]) -> int:
    """Before which of the secondary instances the new one comes."""
    secondary = instances[1:]
    if options.first:
        return 0
    if not options.name and not options.group:
        return len(secondary)
    for index, one in enumerate(secondary):
        if one.is_called(options.name) if options.name else one.group == options.group:
            return index
    raise Fatal("No matching secondary instances")


def _require_unused(parameters: dict[str, str], instances: list[Instance]) -> None:
    for folder in FOLDERS[1:]:
        for other in instances:
            value = str(getattr(other.settings, folder))
            if os.path.normpath(value) == os.path.normpath(parameters[folder]):
                raise Fatal(f"new {folder}={value} is already in use by instance {other.directory}, {folder}={value}")


def _make(primary: Instance, parameters: dict[str, str], naming: dict[str, str]) -> None:
    """The new instance's files and folders. It takes no mail from the network or from users until told to."""
    from posthouse.host.users import own_identity, user_identity
    from posthouse.service import spool

    configuration = read_configuration(primary.directory)
    directory = parameters["config_directory"]
    os.makedirs(directory, 0o755, exist_ok=True)
    meta = configuration.value("meta_directory")
    values = {name: configuration.raw(name) for name in SHARED if configuration.is_set(name)}
    stock = [name for name in SHARED if not configuration.is_set(name)]
    if os.path.exists(f"{meta}/main.cf.proto"):
        shutil.copyfile(f"{meta}/main.cf.proto", f"{directory}/main.cf")
    else:
        values["compatibility_level"] = configuration.raw("compatibility_level")
        with open(f"{directory}/main.cf", "x", encoding="utf-8") as file:
            file.write(STOCK_MAIN)
    values |= {name: parameters[name] for name in FOLDERS[1:]}
    values |= {"authorized_submit_users": "", "master_service_disable": "inet", **naming}
    rewrite_file(f"{directory}/main.cf", lambda text: edit_main(text, None, stock, remove=False)[0])
    _set(directory, values)
    source = f"{meta}/master.cf.proto"
    shutil.copy2(source if os.path.exists(source) else f"{primary.directory}/master.cf", f"{directory}/master.cf")
    owner = configuration.value("mail_owner")
    identity = user_identity(owner) if os.geteuid() == 0 else own_identity()
    spool.prepare(parameters["queue_directory"], parameters["data_directory"], identity)


# Changing


def _change(options: Options, instances: list[Instance], one: Instance) -> None:
    others = [other.directory for other in instances[1:] if other is not one]
    match options.action:
        case "enable" | "disable":
            _set(one.directory, {"multi_instance_enable": "yes" if options.action == "enable" else "no"})
        case "assign":
            _assign(one, instances, _naming(options))
        case _:
            if one.primary:
                raise Fatal("Cannot remove the primary instance")
            if one.enabled:
                raise Fatal("Cannot remove enabled instances")
            if options.action == "destroy":
                _destroy(one)
            _set_list(instances, others)


def _assign(one: Instance, instances: list[Instance], naming: dict[str, str]) -> None:
    name = naming.get("multi_instance_name", "")
    for other in instances:
        if name and other is not one and other.name == name:
            raise ConfigError(
                f"instance {one.directory}, multi_instance_name={name}"
                f" conflicts with instance {other.directory}, multi_instance_name={name}"
            )
    _set(one.directory, naming)


def _destroy(one: Instance) -> None:
    from posthouse.service.instance import left_by_postfix, running_pid

    queue, data = one.settings.queue_directory, one.settings.data_directory
    if running_pid(queue) is not None:
        raise Fatal("Instance is not stopped")
    if any(left_by_postfix(queue)) or _has_mail(queue):
        raise Fatal("Instance queue contains messages")
    house = f"{queue}/posthouse"
    for folder in ("queue", "maildrop", "private"):
        _remove_all(f"{house}/{folder}")
    for name in _names(house):
        if name in ("intake", "mailbox") or name.startswith("control"):
            os.unlink(f"{house}/{name}")
    _remove_all(f"{data}/journal")
    _remove_files(f"{queue}/pid", ("master.pid", "master.reload"))
    _remove_files(data, ("master.lock",))
    _remove_files(one.directory, ("main.cf", "master.cf"))
    postfix_folders = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop")
    for name in (*postfix_folders, "private", "public", "saved", "trace"):
        if os.path.isdir(f"{queue}/{name}"):
            _remove_folder(f"{queue}/{name}")
    for folder in (house, f"{queue}/pid", queue, data, one.directory):
        _remove_folder(folder)


def _has_mail(queue_directory: str) -> bool:
    root = f"{queue_directory}/posthouse/queue"
    if _names(f"{queue_directory}/posthouse/maildrop"):
        return True
    if not _names(root):
        return False
    from posthouse.queue.offline import OfflineQueue

    queue = OfflineQueue(root)
    try:
        return bool(queue.locked) or any(True for _ in queue.messages())
    finally:
        queue.close()


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _remove_all(folder: str) -> None:
    if os.path.isdir(folder):
        shutil.rmtree(folder)


def _remove_files(folder: str, names: tuple[str, ...]) -> None:
    for name in names:
        path = f"{folder}/{name}"
        if os.path.lexists(path):
            os.unlink(path)


def _remove_folder(folder: str) -> None:
    if not os.path.isdir(folder):
        return
    try:
        os.rmdir(folder)
    except OSError:
        say(f"warning: {folder}: please verify contents and remove by hand", SCRIPT)
