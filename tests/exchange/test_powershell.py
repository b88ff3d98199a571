"""The shipped PowerShell cannot run on the machines that test it, so its syntax and its manners are checked as text."""

import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
import tree_sitter_pwsh
from tree_sitter import Language, Node, Parser

from daemon.exchange import launch

PARSER = Parser(Language(tree_sitter_pwsh.language()))
FOLDER = files("daemon.exchange") / "scripts"
PRELUDE = (FOLDER / "_prelude.ps1").read_text("utf-8")
CHANGING = ("set_activation", "restart_service", "reboot", "set_protocol_log")


def own_text(name: str) -> str:
    return (FOLDER / f"{name}.ps1").read_text("utf-8")


def code(text: str) -> str:
    """The text without its comments."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def faults(text: str) -> list[str]:
    """Where the grammar does not accept a text: line and what stands there."""
    return [f"{node.start_point.row + 1}: {text_of(node)}" for node in _wrong(PARSER.parse(text.encode()).root_node)]


def text_of(node: Node) -> str:
    return (node.text or b"").decode()[:60]


def _wrong(node: Node) -> Iterator[Node]:
    if node.type == "ERROR" or node.is_missing:
        yield node
    for child in node.children:
        yield from _wrong(child)


def _commands(node: Node) -> Iterator[str]:
    if node.type == "command_name":
        yield text_of(node)
    for child in node.children:
        yield from _commands(child)


@pytest.mark.parametrize("name", launch.NAMES)
def test_every_script_is_powershell_with_and_without_its_prelude(name: str) -> None:
    assert faults(own_text(name)) == []
    assert faults(launch.load(name).text) == []


def test_the_prelude_and_the_bootstrap_are_powershell() -> None:
    assert faults(PRELUDE) == []
    assert faults(launch.arguments("i1.1")[-1].strip('"')) == []


@pytest.mark.parametrize(
    ("find", "put"),
    [
        ("return @{", "return {{"),
        ("Complete-Call 'reboot' {", "Complete-Call 'reboot' "),
        ("if ((Test-SameServer", "if (Test-SameServer"),
        ("'broken'", "'broken"),
    ],
)
def test_the_syntax_check_catches_a_broken_script(find: str, put: str) -> None:
    text = own_text("reboot")
    assert find in text
    assert faults(text.replace(find, put, 1))


@pytest.mark.parametrize("name", launch.NAMES)
def test_every_script_ends_by_exactly_one_envelope_path(name: str) -> None:
    text = code(own_text(name))
    assert text.count("Complete-Call") == 1
    assert f"Complete-Call '{name}' {{" in text
    root = PARSER.parse(text.encode()).root_node
    last = [node for node in _statements(root) if text_of(node).strip()][-1]
    assert text_of(last).startswith("Complete-Call"), "something comes after the answer"
    assert "Write-Envelope" not in text
    assert not re.search(r"\bexit\b", text), "only Complete-Call ends a script"


def _statements(root: Node) -> list[Node]:
    lists = [child for child in root.children if child.type == "statement_list"]
    return [child for each in lists for child in each.children] if lists else list(root.children)


def test_only_the_prelude_writes_and_it_writes_one_envelope() -> None:
    assert code(PRELUDE).count("Write-Envelope $result $problem") == 1
    assert code(PRELUDE).count("OpenStandardOutput") == 1


@pytest.mark.parametrize("name", ["_prelude", *launch.NAMES])
def test_no_script_builds_commands_from_text_or_writes_to_the_host(name: str) -> None:
    text = code(own_text(name))
    called = {command.lower() for command in _commands(PARSER.parse(text.encode()).root_node)}
    forbidden = {"invoke-expression", "iex", "write-host", "write-output", "echo", "start-process", "cmd", "powershell"}
    assert not called & forbidden
    assert "[scriptblock]::create" not in text.lower()
    assert "addscript" not in text.lower(), "the Exchange session runs cmdlets, never text"
    assert "add-pssnapin" not in text.lower(), "loading the Exchange snap-in directly is unsupported"


@pytest.mark.parametrize("name", launch.NAMES)
def test_no_script_uses_what_windows_powershell_does_not_have(name: str) -> None:
    text = code(launch.load(name).text)
    for newer in ("??", "?.", "&&", "||", "-AsUTC", "-AsArray", "ForEach-Object -Parallel"):
        assert newer not in text


@pytest.mark.parametrize("name", CHANGING)
def test_the_last_thing_before_an_effect_is_the_look_at_the_clock(name: str) -> None:
    effect = {
        "set_activation": "Invoke-Exchange 'Set-MailboxServer'",
        "restart_service": "Stop-Within $dependent",
        "reboot": "Restart-Windows $system",
        "set_protocol_log": "Invoke-Exchange 'Set-PopSettings'",
    }[name]
    body = own_text(name).partition("Complete-Call")[2]
    before, found, _ = body.partition(effect)
    assert found
    gap = before.rpartition("Assert-InTime")[2]
    assert before.count("Assert-InTime") == 1
    assert "Invoke-Exchange" not in gap
    assert "Get-CimInstance" not in gap
    assert "Read-Windows" not in gap


#: What changes something, by how a statement begins that does nothing else.
EFFECTS = re.compile(r"\$Service\.(?:Stop|Start)\(\)|Restart-Windows \$|Invoke-Exchange 'Set-")


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def whole(node: Node) -> str:
    return (node.text or b"").decode()


def _effects(root: Node) -> list[Node]:
    """Every statement that changes something, or contains one that does, innermost last."""
    return [node for node in _walk(root) if node.type == "pipeline" and EFFECTS.match(whole(node))]


def _doors(root: Node) -> list[str]:
    """What stands behind each call of Invoke-Effect."""
    calls = [node for node in _walk(root) if node.type == "command" and whole(node).startswith("Invoke-Effect ")]
    return [whole(call).removeprefix("Invoke-Effect").strip() for call in calls]


@pytest.mark.parametrize("name", CHANGING)
def test_whatever_changes_something_stands_alone_behind_the_one_door(name: str) -> None:
    text = code(own_text(name))
    root = PARSER.parse(text.encode()).root_node
    effects = _effects(root)
    assert effects
    assert _doors(root) == [f"{{ {whole(effect)} }}" for effect in effects]
    assert len(EFFECTS.findall(text)) == len(effects), "an effect hides in a longer statement"


def test_the_flag_is_set_directly_before_what_is_behind_the_door() -> None:
    root = PARSER.parse(code(PRELUDE).encode()).root_node
    (door,) = [n for n in _walk(root) if n.type == "function_statement" and "Invoke-Effect" in whole(n).split("\n")[0]]
    (trying,) = [node for node in _walk(door) if node.type == "try_statement"]
    assert trying.prev_sibling is not None
    assert whole(trying.prev_sibling) == "$context.acted = $true"
    assert whole(trying).replace("\n", " ").split()[:5] == ["try", "{", "[void]", "@(&", "$Effect)"]
    assert code(PRELUDE).count("& $Effect") == 1


def test_nothing_sets_the_flag_but_the_door_and_only_a_refusal_of_the_first_change_takes_it_back() -> None:
    for name in launch.NAMES:
        told = code(own_text(name)).replace("if (-not $context.acted) {", "", 1 if name == "restart_service" else 0)
        assert "acted" not in told
    touched = [line.strip() for line in code(PRELUDE).splitlines() if "acted" in line]
    assert touched == [
        "acted      = $false",
        "$first = -not $context.acted",
        "$context.acted = $true",
        "$context.acted = $false",
        "if ($null -ne $problem -and $context.acted -and 'hung', 'failed' -cnotcontains $problem.kind) {",
    ]
    taken_back = code(PRELUDE).partition("$context.acted = $false")[0].splitlines()[-2].strip()
    assert taken_back == "if ($first -and (Find-Kind $_.Exception) -eq 'denied') {"


@pytest.mark.parametrize("name", CHANGING)
def test_it_is_asked_whether_it_is_not_too_late_before_the_first_effect(name: str) -> None:
    helpers, _, body = code(own_text(name)).partition("Complete-Call")
    acting = {"Invoke-Effect"}
    acting |= {text.split()[0] for text in helpers.split("function ")[1:] if "Invoke-Effect" in text}
    first = min(body.find(each) for each in acting if each in body)
    assert 0 < body.find("Assert-InTime") < first


@pytest.mark.parametrize("name", [name for name in launch.NAMES if name not in CHANGING])
def test_a_reading_script_has_no_door(name: str) -> None:
    assert "Invoke-Effect" not in own_text(name)


@pytest.mark.parametrize("name", ["_prelude", *launch.NAMES])
def test_only_a_real_attempt_has_failed_or_hung(name: str) -> None:
    said = re.findall(r"Stop-(?:Call|Restart) '(failed|hung|lost)'", code(own_text(name)))
    assert sorted(said) == (["failed", "failed", *["hung"] * 4] if name == "restart_service" else [])


def test_a_reboot_looks_for_active_copies_last_of_all() -> None:
    helpers, _, body = code(own_text("reboot")).partition("Complete-Call 'reboot'")
    assert body.index("Assert-NothingActive $server") < body.index("New-CimSession") < body.index("Assert-InTime")
    assert "Invoke-Exchange" not in body
    for cmdlet in ("Get-MailboxServer", "Get-MailboxDatabase'", "Get-MailboxDatabaseCopyStatus", "Get-ExchangeServer"):
        assert cmdlet in helpers


@pytest.mark.parametrize("name", [name for name in launch.NAMES if name not in CHANGING])
def test_a_reading_script_runs_reading_cmdlets_only(name: str) -> None:
    text = code(own_text(name))
    called = set(_commands(PARSER.parse(text.encode()).root_node))
    exchange = set(re.findall(r"(?:Invoke-Exchange|Get-One) '([\w-]+)'", text))
    tests = {"Invoke-MonitoringProbe", "Test-ReplicationHealth"}  # they look, and change nothing
    assert {command for command in exchange if not command.startswith("Get-")} <= tests
    verbs = {command.partition("-")[0] for command in called if command != "Set-StrictMode"}
    assert not verbs & {"Set", "Restart", "Move", "Remove", "Suspend", "Resume", "Start", "Enable", "Disable"}


def test_logons_of_services_batches_and_the_network_are_not_those_of_people() -> None:
    text = own_text("server_state")
    assert "$how = @{ 2 = 'console'; 10 = 'remote'; 11 = 'console'; 12 = 'remote' }" in text
    assert r"'\\(DWM|UMFD)-[0-9]+\z'" in text, "what draws windows and fonts is logged on interactively"


def test_no_script_changes_a_start_type() -> None:
    for name in launch.NAMES:
        assert "Set-Service" not in own_text(name)
        assert "ChangeStartMode" not in own_text(name)


def test_every_script_about_another_server_checks_the_name_first() -> None:
    about_itself = {"server_state", "restart_service", "step_running", "recovery_log", "protocol_log"}
    about_itself |= {"organisation"}  # it is about all of them, and takes no name
    for name in set(launch.NAMES) - about_itself:
        first = own_text(name).partition("Complete-Call")[2].splitlines()[1]
        assert first.strip() == "$server = Get-ServerArgument", name


@pytest.mark.parametrize("name", ["_prelude", *launch.NAMES])
def test_no_command_is_given_the_text_of_the_password(name: str) -> None:
    # Module logging (event 4103) writes down what a cmdlet is given; methods of .NET it does not.
    text = code(own_text(name))
    assert "ConvertTo-SecureString" not in text
    touched = [line.strip() for line in text.splitlines() if re.search(r"password|\$secret\b", line, re.IGNORECASE)]
    expected = [
        "param($Call, $Secret)",
        "if ($null -ne $context.credential -and $Secret.Length -gt 0) {",
        "$characters = $context.credential.GetNetworkCredential().Password.ToCharArray()",
        "$arguments = @([string] $Call.username, $Secret)",
    ]
    assert touched == (expected if name == "_prelude" else [])


def test_nothing_is_taken_whole_that_holds_the_password_of_a_probes_mailbox() -> None:
    text = code(own_text("invoke_probe"))
    assert "ExecutionContext'" not in text
    assert re.findall(r"StateAttribute\w*", text) == ["StateAttribute1"], "the first says in a word what failed"
    assert "(Hide-Secret (Get-OptionalText $Row 'StateAttribute1')).Split" in text


def test_line_ends_travel_since_they_show_where_a_password_ends() -> None:
    hide = PRELUDE.partition("function Hide-Secret")[2].partition("\n}")[0]
    assert "-replace" not in hide


def test_the_bootstrap_gives_the_password_to_no_cmdlet_and_clears_what_it_decoded() -> None:
    text = launch.arguments("i1.1")[-1].strip('"')
    root = PARSER.parse(text.encode()).root_node
    assert set(_commands(root)) - {"$block"} == {"ConvertFrom-Json", "New-Object"}
    given = [part for part in text.split(";") if "ConvertFrom-Json" in part or "New-Object" in part or "& " in part]
    assert len(given) == 4
    for part in given:
        assert not re.search(r"\$(lines(?!\[0\])|bytes|chars|char|input)\b", part), part
    for decoded in ("chars", "bytes"):
        assert f"[Array]::Clear(${decoded},0,${decoded}.Length)" in text


def test_scripts_are_ascii_so_that_no_code_page_can_change_them() -> None:
    for name in launch.NAMES:
        assert launch.load(name).text.isascii()


#: Every command that the scripts may run, with the parameters that they may give it. All are in PowerShell 3.0.
ALLOWED: dict[str, set[str]] = {
    "ConvertTo-Json": {"InputObject", "Compress", "Depth"},
    "ForEach-Object": {"Process"},
    "Get-CimInstance": {"ClassName", "OperationTimeoutSec"},
    "Get-ClusterNode": set(),
    "Get-Command": {"ErrorAction"},
    "Get-WinEvent": {"FilterHashtable", "MaxEvents"},
    "Invoke-CimMethod": {"InputObject", "Arguments"},
    "New-CimSession": set(),
    "New-Object": {"ArgumentList"},
    "New-PSSession": set(),
    "New-PSSessionOption": {"Culture", "UICulture"},
    "Remove-CimSession": {"CimSession"},
    "Remove-PSSession": {"Session"},
    "Remove-TypeData": {"TypeName", "ErrorAction"},
    "Select-Object": {"First"},
    "Set-StrictMode": {"Version"},
    "Sort-Object": {"Property", "Descending"},
    "Where-Object": {"Property", "EQ", "NE", "Value"},
}
#: Parameters that are given by a hashtable of that name.
SPLATTED = {
    "@More": {"CimSession", "Namespace"},
    "@asked": {"CimSession", "OperationTimeoutSec", "MethodName"},
    "@limits": {"OpenTimeout", "OperationTimeout", "CancelTimeout", "IdleTimeout"},
    "@parameters": {  # of New-PSSession and New-CimSession
        "ConfigurationName",
        "ConnectionUri",
        "Authentication",
        "SessionOption",
        "Credential",
        "ComputerName",
        "OperationTimeoutSec",
    },
}
#: Every type of .NET that they may name. All are in .NET 4.5, which Windows 2012 came with.
TYPES = {
    "bool",
    "cultureinfo",
    "datetime",
    "double",
    "hashtable",
    "int",
    "int32",
    "System.Convert",
    "char",
    "char[]",
    "int64",
    "Microsoft.Win32.Registry",
    "ref",
    "regex",
    "scriptblock",
    "string",
    "string[]",
    "switch",
    "System.ComponentModel.Win32Exception",
    "System.Console",
    "System.DateTimeKind",
    "System.DateTimeOffset",
    "System.Globalization.CultureInfo",
    "System.Globalization.DateTimeStyles",
    "System.IO.Directory",
    "System.IO.File",
    "System.IO.FileAccess",
    "System.IO.FileAttributes",
    "System.IO.FileMode",
    "System.IO.FileShare",
    "System.IO.Path",
    "System.IO.SeekOrigin",
    "System.Management.Automation.PowerShell",
    "System.Math",
    "System.Net.NetworkInformation.IPGlobalProperties",
    "System.Reflection.Assembly",
    "System.ServiceProcess.TimeoutException",
    "System.StringComparison",
    "System.StringSplitOptions",
    "System.Text.Encoding",
    "System.Text.RegularExpressions.RegexOptions",
    "System.Threading.Thread",
    "System.UnauthorizedAccessException",
    "timespan",
    "uint32",
    "void",
    "xml",
}
OWN = {
    name
    for text in [PRELUDE, *map(own_text, launch.NAMES)]
    for name in re.findall(r"^function ([\w-]+)", text, re.MULTILINE)
}
EACH = pytest.mark.parametrize("name", ["_prelude", *launch.NAMES])


def _tree(name: str) -> Node:
    return PARSER.parse(own_text(name).encode()).root_node


@EACH
def test_only_commands_and_parameters_that_powershell_3_has_are_run(name: str) -> None:
    for command in [node for node in _walk(_tree(name)) if node.type == "command"]:
        called = next((whole(part) for part in command.children if part.type.startswith("command_name")), "")
        if called in OWN or not re.fullmatch(r"[A-Z]\w+-\w+", called):
            assert called in OWN or whole(command)[0] in "&.", whole(command)
            continue
        assert called in ALLOWED, whole(command)
        given = {
            whole(part)[1:] for part in _walk(command) if part.type == "command_parameter" and _of(part) == command
        }
        assert given <= ALLOWED[called], whole(command)
        splatted = set(re.findall(r"@\w+", whole(command).partition("{")[0]))
        assert splatted <= set(SPLATTED), whole(command)


def _of(node: Node) -> Node | None:
    """The command that a node belongs to."""
    above = node.parent
    while above is not None and above.type != "command":
        above = above.parent
    return above


def test_what_is_given_by_a_table_is_what_is_known() -> None:
    for name in ["_prelude", *launch.NAMES]:
        text = code(own_text(name))
        for table, known in {**SPLATTED, "@query": SPLATTED["@More"]}.items():
            if table == "@parameters" and "New-PSSession @" not in text and "New-CimSession @" not in text:
                continue  # those of a cmdlet of Exchange's
            for written in re.findall(rf"\{'$'}{table[1:]} = @\{{(.*?)\}}", text, re.DOTALL):
                assert set(re.findall(r"(\w+)\s*=", written)) <= known
            assert set(re.findall(rf"\{'$'}{table[1:]}\['(\w+)'\]", text)) <= known


@EACH
def test_only_types_that_windows_2012_has_are_named(name: str) -> None:
    named = {whole(node) for node in _walk(_tree(name)) if node.type == "type_spec"}
    assert named <= TYPES, named - TYPES


@EACH
def test_no_comparison_follows_a_culture(name: str) -> None:
    # With [A-Za-z] and without regard to case even the sign of Kelvin is a k.
    operators = {whole(node).lower() for node in _walk(_tree(name)) if "operator" in node.type}
    assert not operators & {"-match", "-notmatch", "-imatch", "-like", "-notlike", "-clike", "-replace", "-split"}
    assert not re.search(r" -(match|notmatch|like|notlike|replace|split) ", code(own_text(name)))


@EACH
def test_errors_are_judged_by_id_type_or_number_and_never_by_their_text(name: str) -> None:
    judged = r"Message(\)|\.| )*-c?(match|like|eq|contains)|Message\.(Contains|StartsWith)\("
    assert not re.search(judged, code(own_text(name)))


@EACH
def test_a_length_is_asked_of_an_array_and_a_count_of_a_list(name: str) -> None:
    # Without the type data of System.Array, which the prelude takes away, an array of 5.1 has no Count.
    text = code(own_text(name))
    lists = set(re.findall(r"\$(\w+) = New-Object 'System\.Collections", text))
    lists |= {"people", "Parts", "parts", "databases"}
    counted = set(re.findall(r"\$(\w+)\.Count\b", text)) | set(re.findall(r"(\))\.Count\b", text))
    assert counted <= lists, counted - lists


@EACH
def test_events_are_read_without_the_name_of_their_provider(name: str) -> None:
    # It would load that provider's texts in the server's language, and can fail for the whole call.
    assert "ProviderName =" not in code(own_text(name))


def test_sessions_speak_english_and_every_question_by_cim_has_a_time_limit() -> None:
    assert "New-PSSessionOption -Culture 'en-US' -UICulture 'en-US' @limits" in PRELUDE
    for name in ["_prelude", *launch.NAMES]:
        for line in code(own_text(name)).splitlines():
            if "Get-CimInstance" in line:
                assert "-OperationTimeoutSec $cimSeconds" in line, name
            if re.search(r"\$parameters = @\{ ComputerName", line):
                assert "OperationTimeoutSec = $cimSeconds" in line, name


@pytest.mark.parametrize("name", CHANGING)
def test_the_clock_is_looked_at_once_and_never_after_the_first_effect(name: str) -> None:
    body = code(own_text(name)).partition("Complete-Call")[2]
    assert code(own_text(name)).count("Assert-InTime") == 1
    assert body.count("Assert-InTime") == 1
