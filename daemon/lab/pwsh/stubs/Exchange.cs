// The cmdlets of Exchange that scripts may call, as the session's process has them.
#pragma warning disable
using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Management.Automation;
using System.Text.Json.Nodes;
using System.Threading;
using Exmedic.Lab;

namespace Exmedic.Lab
{
    public static class Organisation
    {
        public static CultureInfo Culture = CultureInfo.InvariantCulture;
        public static CultureInfo UICulture = CultureInfo.InvariantCulture;
        // What a Set- changed, for what is read afterwards in the same session: server, property, value.
        public static readonly Dictionary<(string, string), JsonNode> Changed = new Dictionary<(string, string), JsonNode>();

        public static JsonNode Exchange => World.Get(World.Root, "exchange");

        public static void Begin(EngineIntrinsics engine, string culture, string uiCulture)
        {
            Culture = new CultureInfo(culture);
            UICulture = new CultureInfo(uiCulture);
            foreach (var pair in World.Get(Exchange, "without") as JsonObject ?? new JsonObject()) Hide(engine, pair.Key, pair.Value.AsArray());
            engine.SessionState.Applications.Clear();
            engine.SessionState.Scripts.Clear();
            engine.InvokeCommand.InvokeScript(
                "$PSModuleAutoLoadingPreference = 'None'\n" +
                "$ours = [Exmedic.Lab.Organisation].Assembly\n" +
                "foreach ($one in @(Get-Command -ListImported -CommandType Alias, Function, Cmdlet, Filter)) {" +
                "  if ($one.CommandType -ne 'Cmdlet' -or $one.ImplementingType.Assembly -ne $ours) { $one.Visibility = 'Private' } }\n");
            engine.SessionState.LanguageMode = PSLanguageMode.NoLanguage;
        }

        // Another version's rows lack a property.
        static void Hide(EngineIntrinsics engine, string name, JsonArray missing)
        {
            var type = typeof(Organisation).Assembly.GetType("Exmedic.Lab." + name);
            var left = type.GetProperties().Select(one => one.Name).Except(missing.Select(one => (string)one)).ToArray();
            engine.InvokeCommand.InvokeScript(
                "param($type, $names) Update-TypeData -TypeName $type -SerializationMethod SpecificProperties " +
                "-PropertySerializationSet $names -Force", type.FullName, left);
        }
    }

    public abstract class ExchangeCmdlet : PSCmdlet
    {
        [Parameter] public string DomainController { get; set; }

        string Command => ((CmdletAttribute)GetType().GetCustomAttributes(typeof(CmdletAttribute), false)[0]) is var named
            ? named.VerbName + "-" + named.NounName : "";

        protected abstract void Answer();

        protected override void ProcessRecord()
        {
            Thread.CurrentThread.CurrentCulture = Organisation.Culture;
            Thread.CurrentThread.CurrentUICulture = Organisation.UICulture;
            var fault = World.Fault(World.Get(Organisation.Exchange, "faults"), Command);
            if (World.Text(fault, "warning") is string warning) WriteWarning(warning);
            World.KillIf(fault, "before");
            var after = World.Text(fault, "when") == "after";
            if (!after && Fails(fault)) return;
            rows = World.Get(fault, "rows") as JsonArray;
            Answer();
            World.KillIf(fault, "after");
            if (after) Fails(fault);
        }

        bool Fails(JsonNode fault)
        {
            var error = World.Get(fault, "error");
            if (error == null) return false;
            var record = Problem.Record(error);
            if (World.Flag(error, "terminating")) ThrowTerminatingError(record);
            WriteError(record);
            return true;
        }

        protected JsonArray rows;

        protected IEnumerable<JsonObject> Table(string name) =>
            (rows ?? World.Get(Organisation.Exchange, name) as JsonArray ?? new JsonArray()).Select(one => one.AsObject());

        // A planned answer is given as it is, whatever was asked for.
        protected bool Asked(string value, params string[] given) =>
            rows != null || string.IsNullOrEmpty(value) || given.Any(one => one != null && World.Same(one.Split('/').Last(), value));

        protected void NotFound(string identity) => WriteError(new ErrorRecord(
            new Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException(
                $"The operation couldn't be performed because object '{identity}' couldn't be found."),
            "FailureCategory=Cmdlet-ManagementObjectNotFoundException", ErrorCategory.NotSpecified, null));

        protected void Give<T>(IEnumerable<JsonObject> found, string identity = null) where T : new()
        {
            var list = found.ToList();
            if (list.Count == 0 && rows == null && !string.IsNullOrEmpty(identity)) NotFound(identity);
            foreach (var row in list) WriteObject(Row.Of<T>(row));
        }

        protected JsonObject With(JsonObject row, string server, string property)
        {
            if (rows != null || !Organisation.Changed.TryGetValue((World.Short(server).ToLowerInvariant(), property), out var value)) return row;
            var copy = JsonNode.Parse(row.ToJsonString()).AsObject();
            copy[property] = value.DeepClone();
            return copy;
        }

        protected void Change(string server, string property, object value)
        {
            World.Effect("set", "command", Command, "server", server, "property", property, "value", value);
            if (World.Flag(Organisation.Exchange, "writes_are_lost")) return;
            Organisation.Changed[(World.Short(server).ToLowerInvariant(), property)] = value is bool flag ? JsonValue.Create(flag) : JsonValue.Create(value.ToString());
        }

        protected static string Of(JsonObject row, string name) => World.Text(row, name);
    }

    [Cmdlet("Get", "ExchangeServer")]
    public class GetExchangeServer : ExchangeCmdlet
    {
        [Parameter(Position = 0, ValueFromPipeline = true)] public string Identity { get; set; }
        [Parameter] public string Domain { get; set; }
        [Parameter] public SwitchParameter Status { get; set; }
        protected override void Answer() => Give<ExchangeServer>(Table("ExchangeServer").Where(row => Asked(Identity, Of(row, "Name"), Of(row, "Fqdn"))), Identity);
    }

    [Cmdlet("Get", "MailboxServer")]
    public class GetMailboxServer : ExchangeCmdlet
    {
        [Parameter(Position = 0, ValueFromPipeline = true)] public string Identity { get; set; }
        [Parameter] public SwitchParameter Status { get; set; }
        protected override void Answer() => Give<MailboxServer>(Table("MailboxServer").Where(row => Asked(Identity, Of(row, "Name")))
            .Select(row => With(row, Of(row, "Name") ?? "", "DatabaseCopyActivationDisabledAndMoveNow")), Identity);
    }

    [Cmdlet("Set", "MailboxServer", SupportsShouldProcess = true)]
    public class SetMailboxServer : ExchangeCmdlet
    {
        [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)] public string Identity { get; set; }
        [Parameter] public bool DatabaseCopyActivationDisabledAndMoveNow { get; set; }
        [Parameter] public AutoActivation DatabaseCopyAutoActivationPolicy { get; set; }
        [Parameter] public int? MaximumActiveDatabases { get; set; }
        [Parameter] public string AutoDatabaseMountDial { get; set; }
        protected override void Answer()
        {
            if (!Table("MailboxServer").Any(row => Asked(Identity, Of(row, "Name")))) { NotFound(Identity); return; }
            Change(Identity, "DatabaseCopyActivationDisabledAndMoveNow", DatabaseCopyActivationDisabledAndMoveNow);
        }
    }

    [Cmdlet("Get", "MailboxDatabase", DefaultParameterSetName = "Identity")]
    public class GetMailboxDatabase : ExchangeCmdlet
    {
        [Parameter(Position = 0, ParameterSetName = "Identity")] public string Identity { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "Server")] public string Server { get; set; }
        [Parameter] public SwitchParameter Status { get; set; }
        [Parameter] public SwitchParameter IncludePreExchange2013 { get; set; }
        protected override void Answer()
        {
            bool Holds(JsonObject row) => (World.Get(row, "Servers") as JsonArray ?? new JsonArray()).Any(one => Asked(Server, one?.ToString()));
            Give<MailboxDatabase>(Table("MailboxDatabase").Where(row => Server == null ? Asked(Identity, Of(row, "Name")) : Asked(Server) || Holds(row)), Identity);
        }
    }

    [Cmdlet("Get", "MailboxDatabaseCopyStatus", DefaultParameterSetName = "Identity")]
    public class GetMailboxDatabaseCopyStatus : ExchangeCmdlet
    {
        [Parameter(Position = 0, ParameterSetName = "Identity")] public string Identity { get; set; }
        [Parameter(ParameterSetName = "Identity")] public SwitchParameter Local { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "Server")] public string Server { get; set; }
        [Parameter] public SwitchParameter Active { get; set; }
        [Parameter] public SwitchParameter ConnectionStatus { get; set; }
        [Parameter] public SwitchParameter ExtendedErrorInfo { get; set; }
        protected override void Answer()
        {
            var parts = (Identity ?? "").Split('\\');
            Give<DatabaseCopyStatusEntry>(Table("DatabaseCopyStatusEntry").Where(row => Server != null ? Asked(Server, Of(row, "MailboxServer"))
                : Asked(parts[0], Of(row, "DatabaseName")) && (parts.Length < 2 || Asked(parts[1], Of(row, "MailboxServer")))), Identity);
        }
    }

    [Cmdlet("Get", "DatabaseAvailabilityGroup")]
    public class GetDatabaseAvailabilityGroup : ExchangeCmdlet
    {
        [Parameter(Position = 0, ValueFromPipeline = true)] public string Identity { get; set; }
        [Parameter] public SwitchParameter Status { get; set; }
        protected override void Answer()
        {
            var found = Table("DatabaseAvailabilityGroup").Where(row => Asked(Identity, Of(row, "Name"))).Select(row =>
            {
                var copy = JsonNode.Parse(row.ToJsonString()).AsObject();
                if (!Status) foreach (var only in new[] { "OperationalServers", "ServersInMaintenance", "PrimaryActiveManager", "WitnessShareInUse" }) copy.Remove(only);
                return copy;
            });
            Give<DatabaseAvailabilityGroup>(found, Identity);
        }
    }

    [Cmdlet("Test", "ReplicationHealth", SupportsShouldProcess = true)]
    public class TestReplicationHealth : ExchangeCmdlet
    {
        [Parameter(Position = 0, ValueFromPipeline = true)] public string Identity { get; set; }
        [Parameter] public int ActiveDirectoryTimeout { get; set; }
        [Parameter] public bool MonitoringContext { get; set; }
        [Parameter] public SwitchParameter OutputObjects { get; set; }
        [Parameter] public uint TransientEventSuppressionWindow { get; set; }
        protected override void Answer() => Give<ReplicationCheckOutcome>(Table("ReplicationCheckOutcome").Where(row => Asked(Identity, Of(row, "Server"))));
    }

    [Cmdlet("Get", "ServerHealth")]
    public class GetServerHealth : ExchangeCmdlet
    {
        [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)] [Alias("Server")] public string Identity { get; set; }
        [Parameter] public string HealthSet { get; set; }
        [Parameter] public SwitchParameter HaImpactingOnly { get; set; }
        protected override void Answer() => Give<MonitorHealthEntry>(Table("MonitorHealthEntry")
            .Where(row => Asked(Identity, Of(row, "Server")) && OfHealthSet(row)));

        // POP is not POP.Protocol: what stands before the point is no short name here.
        bool OfHealthSet(JsonObject row) => rows != null || string.IsNullOrEmpty(HealthSet) || World.Eq(HealthSet, Of(row, "HealthSetName"));
    }

    [Cmdlet("Invoke", "MonitoringProbe", SupportsShouldProcess = true)]
    public class InvokeMonitoringProbe : ExchangeCmdlet
    {
        [Parameter(Mandatory = true, Position = 0)] public string Identity { get; set; }
        [Parameter(Mandatory = true)] public string Server { get; set; }
        [Parameter] public string Account { get; set; }
        [Parameter] public string Password { get; set; }
        [Parameter] public string Endpoint { get; set; }
        [Parameter] public string SecondaryAccount { get; set; }
        [Parameter] public string SecondaryEndpoint { get; set; }
        [Parameter] public string SecondaryPassword { get; set; }
        [Parameter] public string ItemTargetExtension { get; set; }
        [Parameter] public string PropertyOverride { get; set; }
        [Parameter] public string TimeOutSeconds { get; set; }
        protected override void Answer()
        {
            var found = Table("MonitoringProbeResult").Where(row => Asked(Server, Of(row, "Server")) && Asked(Identity, Of(row, "MonitorIdentity"))).ToList();
            if (found.Count == 0) WriteWarning($"Could not find assembly or object definition of the monitor identity '{Identity}' on {Server}.");
            Give<MonitoringProbeResult>(found);
        }
    }

    [Cmdlet("Get", "ServerComponentState")]
    public class GetServerComponentState : ExchangeCmdlet
    {
        [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)] public string Identity { get; set; }
        [Parameter] public string Component { get; set; }
        protected override void Answer() => Give<ServerComponentState>(Table("ServerComponentState")
            .Where(row => Asked(Identity, Of(row, "ServerFqdn")) && Asked(Component, Of(row, "Component"))), Component == null ? Identity : null);
    }

    [Cmdlet("Get", "PopSettings")]
    public class GetPopSettings : ExchangeCmdlet
    {
        [Parameter(Position = 0)] public string Server { get; set; }
        protected override void Answer() => Give<PopSettings>(Table("PopSettings").Where(row => Asked(Server, Of(row, "Server")))
            .Select(row => With(row, (Of(row, "Server") ?? "").Split('/').Last(), "ProtocolLogEnabled")), Server);
    }

    [Cmdlet("Set", "PopSettings", SupportsShouldProcess = true)]
    public class SetPopSettings : ExchangeCmdlet
    {
        [Parameter(Position = 0)] public string Server { get; set; }
        [Parameter] public bool ProtocolLogEnabled { get; set; }
        [Parameter] public string LogFileLocation { get; set; }
        [Parameter] public string X509CertificateName { get; set; }
        [Parameter] public string LoginType { get; set; }
        protected override void Answer()
        {
            if (!Table("PopSettings").Any(row => Asked(Server, Of(row, "Server")))) { NotFound(Server); return; }
            Change(Server, "ProtocolLogEnabled", ProtocolLogEnabled);
        }
    }

    [Cmdlet("Get", "ExchangeCertificate", DefaultParameterSetName = "Thumbprint")]
    public class GetExchangeCertificate : ExchangeCmdlet
    {
        [Parameter(Position = 0, ParameterSetName = "Identity")] public string Identity { get; set; }
        [Parameter(Position = 0, ParameterSetName = "Thumbprint")] public string Thumbprint { get; set; }
        [Parameter] public string Server { get; set; }
        [Parameter] public string[] DomainName { get; set; }
        protected override void Answer() => Give<ExchangeCertificate>(Table("ExchangeCertificate")
            .Where(row => Asked(Server, Of(row, "Server")) && Asked(Thumbprint, Of(row, "Thumbprint"))));
    }
}
