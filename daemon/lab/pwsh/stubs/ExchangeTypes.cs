// Rows of Exchange's cmdlets as instances of real classes: how they arrive in a session is then PowerShell's own doing.
#pragma warning disable
using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text.Json.Nodes;
using Exmedic.Lab;

namespace Microsoft.Exchange.Configuration.Tasks
{
    public class ManagementObjectNotFoundException : Exception { public ManagementObjectNotFoundException(string message) : base(message) { } }
}

namespace Microsoft.Exchange.Data.Directory
{
    public class ADTransientException : Exception { public ADTransientException(string message) : base(message) { } }
    public class DataValidationException : Exception { public DataValidationException(string message) : base(message) { } }

    public class ADObjectId
    {
        readonly string path;
        public ADObjectId(string path) { this.path = path; }
        public string Name => path.Split('/').Last();
        public string DistinguishedName => string.Join(",", path.Split('/').Reverse().Select(part => "CN=" + part));
        public Guid ObjectGuid => Guid.Empty;
        public int Depth => path.Split('/').Length;
        public override string ToString() => path;
    }

    public class MultiValuedProperty<T> : ArrayList { }
}

namespace Exmedic.Lab
{
    using Microsoft.Exchange.Data.Directory;

    // Words that Exchange says in the language of the session.
    public static class Words
    {
        static readonly Dictionary<string, string[]> known = new Dictionary<string, string[]>
        {
            ["en"] = new[] { "Passed", "*FAILED*", "*WARNING*", "Enabled", "Configured" },
            ["fr"] = new[] { "R\u00e9ussite", "*\u00c9CHEC*", "*AVERTISSEMENT*", "Activ\u00e9", "Configur\u00e9" },
            ["de"] = new[] { "Erfolgreich", "*FEHLER*", "*WARNUNG*", "Aktiviert", "Konfiguriert" },
            ["tr"] = new[] { "Ge\u00e7ti", "*BA\u015eARISIZ*", "*UYARI*", "Etkin", "Yap\u0131land\u0131r\u0131ld\u0131" },
            ["th"] = new[] { "\u0e1c\u0e48\u0e32\u0e19", "*\u0e25\u0e49\u0e21\u0e40\u0e2b\u0e25\u0e27*", "*\u0e40\u0e15\u0e37\u0e2d\u0e19*", "\u0e40\u0e1b\u0e34\u0e14", "\u0e15\u0e31\u0e49\u0e07\u0e04\u0e48\u0e32" },
            ["ar"] = new[] { "\u0646\u062c\u062d", "*\u0641\u0634\u0644*", "*\u062a\u062d\u0630\u064a\u0631*", "\u0645\u0645\u0643\u0651\u0646", "\u0645\u0643\u0648\u0651\u0646" },
        };

        static string Say(int number) => known.TryGetValue(Organisation.UICulture.TwoLetterISOLanguageName, out var words) ? words[number] : known["en"][number];

        public static string Result(string value) =>
            value == "Passed" ? Say(0) : value == "Failed" ? Say(1) : value == "Warning" ? Say(2) : value;

        public static string Lag(string configured, bool enabled) => string.Format(CultureInfo.InvariantCulture,
            "{0}:{1}; PlayDownReason:None; Percentage:0; {2}:{3}; Actual:00:00:00", Say(3), enabled, Say(4), configured);
    }

    public class ReplicationCheckResult
    {
        readonly string text;
        public ReplicationCheckResult(string value) { Value = value; text = Words.Result(value); }
        public string Value { get; }
        public override string ToString() => text;
    }

    public class ReplayLagStatus
    {
        readonly string text;
        public ReplayLagStatus(string configured, bool enabled) { text = Words.Lag(configured, enabled); ConfiguredLagTime = configured; Enabled = enabled; }
        public string ConfiguredLagTime { get; }
        public bool Enabled { get; }
        public override string ToString() => text;
    }

    // Has no text of its own, as Exchange's: in a session only the name of its class arrives.
    public class ServerComponentStateEntry
    {
        public string Component { get; set; }
        public string Requester { get; set; }
        public ServiceState? State { get; set; }
        public DateTime? Timestamp { get; set; }
    }

    public class ServerVersion
    {
        readonly string text;
        public ServerVersion(string text) { this.text = text; }
        public int Major => 15;
        public override string ToString() => text;
    }

    public enum ServiceState { Inactive, Active, Draining }
    [Flags] public enum ServerRole { None = 0, Mailbox = 2, ClientAccess = 4, UnifiedMessaging = 16, HubTransport = 32, Edge = 64 }
    public enum AutoActivation { Unrestricted, IntrasiteOnly, Blocked }
    public enum CopyStatus
    {
        Unknown, Healthy, Failed, FailedAndSuspended, Suspended, Seeding, SeedingSource, Mounted, Mounting, Dismounting, Dismounted,
        Initializing, Resynchronizing, DisconnectedAndHealthy, DisconnectedAndResynchronizing, ServiceDown, SinglePageRestore,
        Misconfigured, NonExchangeReplication,
    }
    public enum IndexState { Unknown, Healthy, Crawling, Failed, Seeding, FailedAndSuspended, Suspended, Disabled, AutoSuspended, NotApplicable }
    public enum WitnessShare { None, Primary, Alternate, InvalidConfiguration }
    public enum MonitorAlertState { Unknown, Healthy, Degraded, Unhealthy, Repairing, Disabled, Unavailable, UnInitialized }
    public enum MonitorHealth { Unknown, NotApplicable, Online, PartiallyOnline, Offline, Functional, Sidelined }
    public enum ProbeResultType { Timeout = 1, Poisoned, Succeeded, Failed, Quarantined, Rejected }

    public class ExchangeServer
    {
        public string Name { get; set; }
        public string Fqdn { get; set; }
        public ADObjectId Identity { get; set; }
        public ADObjectId Site { get; set; }
        public ServerRole? ServerRole { get; set; }
        public ServerVersion AdminDisplayVersion { get; set; }
        public bool? IsMailboxServer { get; set; }
        public bool? IsClientAccessServer { get; set; }
        public bool? IsEdgeServer { get; set; }
        public string Edition { get; set; }
        public DateTime? WhenCreated { get; set; }
    }

    public class MailboxServer
    {
        public string Name { get; set; }
        public ADObjectId Identity { get; set; }
        public ADObjectId DatabaseAvailabilityGroup { get; set; }
        public bool? DatabaseCopyActivationDisabledAndMoveNow { get; set; }
        public AutoActivation? DatabaseCopyAutoActivationPolicy { get; set; }
        public int? MaximumActiveDatabases { get; set; }
        public ServerVersion AdminDisplayVersion { get; set; }
    }

    public class MailboxDatabase
    {
        public string Name { get; set; }
        public ADObjectId Identity { get; set; }
        public ADObjectId Server { get; set; }
        public ADObjectId MasterServerOrAvailabilityGroup { get; set; }
        public MultiValuedProperty<ADObjectId> Servers { get; set; }
        public KeyValuePair<ADObjectId, TimeSpan>[] ReplayLagTimes { get; set; }
        public bool? Recovery { get; set; }
        public string ReplicationType { get; set; }
        public bool? Mounted { get; set; }
    }

    public class DatabaseCopyStatusEntry
    {
        public string Name { get; set; }
        public string Identity { get; set; }
        public string DatabaseName { get; set; }
        public string MailboxServer { get; set; }
        public string ActiveDatabaseCopy { get; set; }
        public CopyStatus? Status { get; set; }
        public bool? ActiveCopy { get; set; }
        public bool? ActivationSuspended { get; set; }
        public bool? ActivationDisabledAndMoveNow { get; set; }
        public AutoActivation? AutoActivationPolicy { get; set; }
        public long? CopyQueueLength { get; set; }
        public long? ReplayQueueLength { get; set; }
        public bool? LastLogInfoIsStale { get; set; }
        public bool? ReplaySuspended { get; set; }
        public int? ActivationPreference { get; set; }
        public IndexState? ContentIndexState { get; set; }
        public ReplayLagStatus ReplayLagStatus { get; set; }
        public DateTime? LastInspectedLogTime { get; set; }
        public string ErrorMessage { get; set; }
    }

    public class DatabaseAvailabilityGroup
    {
        public string Name { get; set; }
        public ADObjectId Identity { get; set; }
        public MultiValuedProperty<ADObjectId> Servers { get; set; }
        public MultiValuedProperty<ADObjectId> OperationalServers { get; set; }
        public MultiValuedProperty<ADObjectId> ServersInMaintenance { get; set; }
        public ADObjectId PrimaryActiveManager { get; set; }
        public string WitnessServer { get; set; }
        public WitnessShare? WitnessShareInUse { get; set; }
    }

    public class ReplicationCheckOutcome
    {
        public string Server { get; set; }
        public string Check { get; set; }
        public string CheckId { get; set; }
        public ReplicationCheckResult Result { get; set; }
        public string Error { get; set; }
    }

    public class MonitorHealthEntry
    {
        public string Server { get; set; }
        public MonitorHealth? CurrentHealthSetState { get; set; }
        public string Name { get; set; }
        public string TargetResource { get; set; }
        public string HealthSetName { get; set; }
        public string HealthGroupName { get; set; }
        public MonitorAlertState? AlertValue { get; set; }
        public string ServerComponentName { get; set; }
        public DateTime? FirstAlertObservedTime { get; set; }
        public DateTime? LastTransitionTime { get; set; }
        public DateTime? LastExecutionTime { get; set; }
        public string LastExecutionResult { get; set; }
        public bool? IsHaImpacting { get; set; }
        public bool? IsStale { get; set; }
        public string Error { get; set; }
        public string Exception { get; set; }
    }

    public class MonitoringProbeResult
    {
        public string Server { get; set; }
        public string MonitorIdentity { get; set; }
        public string RequestId { get; set; }
        public DateTime? ExecutionStartTime { get; set; }
        public DateTime? ExecutionEndTime { get; set; }
        public string Error { get; set; }
        public string Exception { get; set; }
        public ProbeResultType? ResultType { get; set; }
        public string ResultName { get; set; }
        public int? RetryCount { get; set; }
        public string FailureContext { get; set; }
        public string ExecutionContext { get; set; }
        public string StateAttribute1 { get; set; }
        public string StateAttribute2 { get; set; }
        public string StateAttribute3 { get; set; }
    }

    public class ServerComponentState
    {
        public string Component { get; set; }
        public string ServerFqdn { get; set; }
        public ServiceState? State { get; set; }
        public List<ServerComponentStateEntry> LocalStates { get; set; }
        public List<ServerComponentStateEntry> RemoteStates { get; set; }
    }

    public class PopSettings
    {
        public ADObjectId Server { get; set; }
        public ADObjectId Identity { get; set; }
        public bool? ProtocolLogEnabled { get; set; }
        public string LogFileLocation { get; set; }
        public string X509CertificateName { get; set; }
        public string LoginType { get; set; }
    }

    public class ExchangeCertificate
    {
        public string Thumbprint { get; set; }
        public string Subject { get; set; }
        public string[] CertificateDomains { get; set; }
        public string Services { get; set; }
        public string Status { get; set; }
        public DateTime? NotBefore { get; set; }
        public DateTime? NotAfter { get; set; }
        public bool? HasPrivateKey { get; set; }
        public string Server;
    }

    // A row of the world becomes an instance; what the world does not say is null.
    public static class Row
    {
        public static T Of<T>(JsonObject row) where T : new()
        {
            object made = new T();
            foreach (var property in typeof(T).GetProperties())
                if (property.CanWrite && World.Get(row, property.Name) is JsonNode value)
                    property.SetValue(made, Convert(value, Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType));
            return (T)made;
        }

        static object Convert(JsonNode value, Type type)
        {
            var text = value.ToString();
            if (type == typeof(string)) return text;
            if (type == typeof(bool)) return bool.Parse(text);
            if (type == typeof(int)) return int.Parse(text);
            if (type == typeof(long)) return long.Parse(text);
            if (type == typeof(DateTime)) return World.When(text);
            if (type.IsEnum) return Enum.Parse(type, text, true);
            if (type == typeof(ADObjectId)) return new ADObjectId(text);
            if (type == typeof(ServerVersion)) return new ServerVersion(text);
            if (type == typeof(ReplicationCheckResult)) return new ReplicationCheckResult(text);
            if (type == typeof(ReplayLagStatus)) return new ReplayLagStatus(World.Text(value, "configured") ?? "00:00:00", World.Flag(value, "enabled"));
            if (type == typeof(string[])) return value.AsArray().Select(one => (string)one).ToArray();
            if (type == typeof(MultiValuedProperty<ADObjectId>))
            {
                var list = new MultiValuedProperty<ADObjectId>();
                foreach (var one in value.AsArray()) list.Add(new ADObjectId((string)one));
                return list;
            }
            if (type == typeof(List<ServerComponentStateEntry>))
                return value.AsArray().Select(one => Of<ServerComponentStateEntry>(one.AsObject())).ToList();
            if (type == typeof(KeyValuePair<ADObjectId, TimeSpan>[]))
                return value.AsObject().Select(pair => new KeyValuePair<ADObjectId, TimeSpan>(new ADObjectId(pair.Key), TimeSpan.Parse((string)pair.Value))).ToArray();
            throw new InvalidOperationException("The world has no value of " + type);
        }
    }
}
