// CIM: sessions, instances, and the two methods that scripts call. Classes are named as Windows names them, so that an
// error's FullyQualifiedErrorId is the real one.
#pragma warning disable
using System;
using System.Collections;
using System.Collections.Generic;
using System.Linq;
using System.Management.Automation;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Exmedic.Lab;

namespace Microsoft.Management.Infrastructure
{
    public enum NativeErrorCode : uint
    {
        Ok = 0, Failed = 1, AccessDenied = 2, InvalidNamespace = 3, InvalidParameter = 4, InvalidClass = 5, NotFound = 6,
        NotSupported = 7, InvalidQuery = 15, MethodNotAvailable = 16, MethodNotFound = 17, NamespaceNotEmpty = 20,
        ServerLimitsExceeded = 27, ServerIsShuttingDown = 28,
    }

    // Its HResult is that of any exception: access denied cannot be told by it.
    public class CimException : Exception
    {
        public CimException(string message, string native, string id) : base(message)
        {
            NativeErrorCode = (NativeErrorCode)Enum.Parse(typeof(NativeErrorCode), native);
            MessageId = id;
            if (id.StartsWith("HRESULT 0x")) StatusCode = Convert.ToUInt32(id.Substring(10), 16);
        }
        public NativeErrorCode NativeErrorCode { get; }
        public string MessageId { get; }
        public uint StatusCode { get; }
        public ushort ErrorType { get; }
        public string ErrorSource { get; } = "";
        public object ErrorData { get; }
    }

    public class CimInstance : IDisposable
    {
        public string ClassNameText;
        public string ComputerText;
        public override string ToString() => ClassNameText;
        public void Dispose() { }
    }

    public class CimSession : IDisposable
    {
        static int last;
        public uint Id { get; } = (uint)++last;
        public string ComputerName { get; set; }
        public string Protocol { get; set; } = "WSMAN";
        public bool Closed;
        public void Close() { Closed = true; }
        public void Dispose() { Closed = true; }
    }
}

namespace Microsoft.Management.Infrastructure.Options
{
    public class CimSessionOptions { public string Protocol = "WSMAN"; public string Culture; public string UICulture; }
}

namespace Microsoft.Management.Infrastructure.CimCmdlets
{
    using Microsoft.Management.Infrastructure;
    using Microsoft.Management.Infrastructure.Options;

    public static class Rows
    {
        // The state of a service in the words of WMI.
        static string Words(string status) => Regex.Replace(status, "(?<=[a-z])(?=[A-Z])", " ");

        public static IEnumerable<PSObject> Of(JsonObject host, string name)
        {
            var given = World.Get(host, "cim", name) as JsonArray;
            if (given != null) return given.Select(row => Make(name, row.AsObject()));
            var services = System.ServiceProcess.ServiceTable.Of(host).Select(pair => pair.Value);
            switch (name.ToLowerInvariant())
            {
                case "win32_service":
                    return services.Select(one => Make(name, new JsonObject
                    {
                        ["Name"] = one.Name, ["DisplayName"] = one.Display, ["State"] = Words(one.Status),
                        ["StartMode"] = one.StartMode, ["ProcessId"] = one.Pid, ["Started"] = one.Status == "Running",
                        ["Status"] = "OK", ["ExitCode"] = 0, ["PathName"] = "C:\\Exchange\\" + one.Name + ".exe",
                        ["StartName"] = "LocalSystem", ["SystemName"] = World.Here,
                    }));
                case "win32_process":
                    var own = services.Where(one => one.Pid != 0 && !one.ProcessGone).Select(one => new JsonObject
                    {
                        ["ProcessId"] = one.Pid, ["Name"] = one.Name + ".exe",
                        ["CommandLine"] = "\"C:\\Exchange\\" + one.Name + ".exe\"", ["ParentProcessId"] = 600,
                        ["CreationDate"] = new JsonObject { ["$date"] = one.Started },
                    });
                    var others = (World.Get(host, "processes") as JsonArray ?? new JsonArray()).Select(row => row.AsObject());
                    return own.Concat(others).Select(row => Make(name, row));
            }
            return null;
        }

        static PSObject Make(string name, JsonObject row)
        {
            var made = World.Record(row, new CimInstance { ClassNameText = name });
            made.TypeNames.Insert(0, "Microsoft.Management.Infrastructure.CimInstance#root/cimv2/" + name);
            return made;
        }

        const string Test = @"^\s*\(*\s*(\w+)\s*(=|<>|!=|LIKE)\s*(?:'((?:[^'\\]|\\.)*)'|""([^""]*)""|(-?\d+)|(TRUE|FALSE|NULL))\s*\)*\s*$";

        // WQL of comparisons joined by AND and OR.
        public static bool Fits(PSObject row, string filter)
        {
            if (string.IsNullOrEmpty(filter)) return true;
            return Regex.Split(filter, @"\s+OR\s+", RegexOptions.IgnoreCase).Any(some =>
                Regex.Split(some, @"\s+AND\s+", RegexOptions.IgnoreCase).All(one => Compares(row, one)));
        }

        static bool Compares(PSObject row, string text)
        {
            var match = Regex.Match(text, Test, RegexOptions.IgnoreCase);
            if (!match.Success) throw new CimException("Invalid query ", "InvalidQuery", "HRESULT 0x80041017");
            var found = row.Properties[match.Groups[1].Value]?.Value?.ToString();
            var wanted = Enumerable.Range(3, 4).Select(n => match.Groups[n]).First(group => group.Success).Value;
            wanted = wanted.Replace(@"\\", @"\").Replace(@"\'", "'");
            if (match.Groups[6].Success && World.Eq(wanted, "NULL")) found = found ?? "NULL";
            var same = match.Groups[2].Value.ToUpperInvariant() == "LIKE"
                ? found != null && Regex.IsMatch(found, "^" + Regex.Escape(wanted).Replace("%", ".*").Replace("_", ".") + "$", RegexOptions.IgnoreCase)
                : World.Eq(found, wanted);
            return match.Groups[2].Value.StartsWith("!") || match.Groups[2].Value == "<>" ? !same : same;
        }
    }

    public abstract class CimCmdlet : WindowsCmdlet
    {
        protected JsonObject target;
        protected override JsonObject Target => target ?? World.Host();

        protected JsonObject Find(string[] names, CimSession[] sessions)
        {
            var name = sessions != null && sessions.Length > 0 ? sessions[0].ComputerName : names?.FirstOrDefault();
            if (name == null) return target = World.Host();
            if (sessions != null && sessions[0].Closed) throw new ObjectDisposedException("CimSession");
            target = World.Host(name);
            return target;
        }

        // A server that cannot be reached, or that refuses: nothing was sent.
        protected bool Reaches(string name, string way = "winrm")
        {
            var host = World.Host(name);
            var error = host == null
                ? JsonNode.Parse("{\"type\":\"CimException\",\"native\":\"Failed\",\"message_id\":\"HRESULT 0x80338126\",\"message\":\"WinRM cannot complete the operation.\",\"category\":\"ConnectionError\"}")
                : World.Get(host, way, "error");
            if (error == null) return true;
            WriteError(Problem.Record(error));
            return false;
        }
    }

    [Cmdlet("Get", "CimInstance", DefaultParameterSetName = "class")]
    public class GetCimInstanceCommand : CimCmdlet
    {
        protected override string Command => "Get-CimInstance";
        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "class")]
        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "classSession")] public string ClassName { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "query")]
        [Parameter(Mandatory = true, ParameterSetName = "querySession")] public string Query { get; set; }
        [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ParameterSetName = "instance")] public CimInstance InputObject { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "classSession")]
        [Parameter(Mandatory = true, ParameterSetName = "querySession")] public CimSession[] CimSession { get; set; }
        [Parameter(ParameterSetName = "class")]
        [Parameter(ParameterSetName = "query")] public string[] ComputerName { get; set; }
        [Parameter] public string Namespace { get; set; }
        [Parameter] public uint OperationTimeoutSec { get; set; }
        [Parameter] public string QueryDialect { get; set; }
        [Parameter] public string Filter { get; set; }
        [Parameter] public string[] Property { get; set; }
        [Parameter] public SwitchParameter KeyOnly { get; set; }
        [Parameter] public SwitchParameter Shallow { get; set; }
        [Parameter] public Uri ResourceUri { get; set; }

        protected override void ProcessRecord()
        {
            if (Query != null)
            {
                var match = Regex.Match(Query, @"^\s*SELECT\s+.+?\s+FROM\s+(\w+)(?:\s+WHERE\s+(.+))?\s*$", RegexOptions.IgnoreCase);
                ClassName = match.Groups[1].Value;
                Filter = match.Groups[2].Value;
            }
            if (CimSession == null && ComputerName != null && !Reaches(ComputerName[0])) return;
            Find(ComputerName, CimSession);
            if (!Begin(ClassName)) return;
            var rows = Rows.Of(Target, ClassName);
            if (rows == null)
            {
                WriteError(Problem.Record(JsonNode.Parse("{\"type\":\"CimException\",\"native\":\"InvalidClass\",\"message_id\":\"HRESULT 0x80041010\",\"message\":\"Invalid class \",\"category\":\"MetadataError\"}")));
                return;
            }
            try
            {
                foreach (var row in rows.Where(one => Rows.Fits(one, Filter)).ToList())
                {
                    ((CimInstance)row.BaseObject).ComputerText = CimSession?[0].ComputerName ?? ComputerName?[0] ?? World.Here;
                    if (Property != null)
                        foreach (var property in row.Properties.ToList())
                            if (!Property.Contains(property.Name, StringComparer.OrdinalIgnoreCase)) property.Value = null;
                    WriteObject(row);
                }
            }
            catch (CimException error)
            {
                WriteError(new ErrorRecord(error, error.MessageId, ErrorCategory.InvalidArgument, null));
            }
        }
    }

    [Cmdlet("New", "CimSession", DefaultParameterSetName = "credential")]
    public class NewCimSessionCommand : CimCmdlet
    {
        protected override string Command => "New-CimSession";
        [Parameter(Position = 0)] public string[] ComputerName { get; set; }
        [Parameter(Position = 1, ParameterSetName = "credential")] [Credential] public PSCredential Credential { get; set; }
        [Parameter(ParameterSetName = "credential")] public string Authentication { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "certificate")] public string CertificateThumbprint { get; set; }
        [Parameter] public string Name { get; set; }
        [Parameter] public uint OperationTimeoutSec { get; set; }
        [Parameter] public uint Port { get; set; }
        [Parameter] public CimSessionOptions SessionOption { get; set; }
        [Parameter] public SwitchParameter SkipTestConnection { get; set; }

        protected override void ProcessRecord()
        {
            var name = ComputerName?[0] ?? World.Here;
            World.Note("cim session", "computer", name, "user", Credential?.UserName, "seconds", OperationTimeoutSec,
                "protocol", SessionOption?.Protocol ?? "WSMAN");
            if (!Reaches(name, SessionOption?.Protocol == "DCOM" ? "dcom" : "winrm")) return;
            target = World.Host(name);
            if (!Begin()) return;
            WriteObject(new CimSession { ComputerName = name, Protocol = SessionOption?.Protocol ?? "WSMAN" });
        }
    }

    [Cmdlet("New", "CimSessionOption", DefaultParameterSetName = "wsman")]
    public class NewCimSessionOptionCommand : WindowsCmdlet
    {
        protected override string Command => "New-CimSessionOption";
        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "protocol")] [ValidateSet("Dcom", "Default", "Wsman")] public string Protocol { get; set; }
        [Parameter(ParameterSetName = "wsman")] public SwitchParameter NoEncryption { get; set; }
        [Parameter(ParameterSetName = "wsman")] public SwitchParameter SkipCACheck { get; set; }
        [Parameter(ParameterSetName = "wsman")] public SwitchParameter SkipCNCheck { get; set; }
        [Parameter(ParameterSetName = "wsman")] public SwitchParameter SkipRevocationCheck { get; set; }
        [Parameter(ParameterSetName = "wsman")] public SwitchParameter EncodePortInServicePrincipalName { get; set; }
        [Parameter(ParameterSetName = "wsman")] public SwitchParameter UseSsl { get; set; }
        [Parameter(ParameterSetName = "wsman")] public string Encoding { get; set; }
        [Parameter(ParameterSetName = "wsman")] public Uri HttpPrefix { get; set; }
        [Parameter(ParameterSetName = "wsman")] public uint MaxEnvelopeSizeKB { get; set; }
        [Parameter(ParameterSetName = "wsman")] public string ProxyAuthentication { get; set; }
        [Parameter(ParameterSetName = "wsman")] public string ProxyCertificateThumbprint { get; set; }
        [Parameter(ParameterSetName = "wsman")] public PSCredential ProxyCredential { get; set; }
        [Parameter(ParameterSetName = "wsman")] public string ProxyType { get; set; }
        [Parameter(ParameterSetName = "dcom")] public string Impersonation { get; set; }
        [Parameter(ParameterSetName = "dcom")] public SwitchParameter PacketIntegrity { get; set; }
        [Parameter(ParameterSetName = "dcom")] public SwitchParameter PacketPrivacy { get; set; }
        [Parameter] public System.Globalization.CultureInfo Culture { get; set; }
        [Parameter] public System.Globalization.CultureInfo UICulture { get; set; }

        protected override void ProcessRecord()
        {
            if (!Begin()) return;
            WriteObject(new CimSessionOptions
            {
                Protocol = World.Eq(Protocol, "Dcom") ? "DCOM" : "WSMAN", Culture = Culture?.Name, UICulture = UICulture?.Name,
            });
        }
    }

    [Cmdlet("Remove", "CimSession", DefaultParameterSetName = "session")]
    public class RemoveCimSessionCommand : WindowsCmdlet
    {
        protected override string Command => "Remove-CimSession";
        [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ParameterSetName = "session")] public CimSession[] CimSession { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "computer")] public string[] ComputerName { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "id")] public uint[] Id { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "instance")] public Guid[] InstanceId { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "name")] public string[] Name { get; set; }

        protected override void ProcessRecord()
        {
            if (!Begin()) return;
            foreach (var session in CimSession ?? new CimSession[0]) session.Close();
        }
    }

    [Cmdlet("Invoke", "CimMethod", DefaultParameterSetName = "instance", SupportsShouldProcess = true)]
    public class InvokeCimMethodCommand : CimCmdlet
    {
        protected override string Command => "Invoke-CimMethod";
        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "class")] public string ClassName { get; set; }
        [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ParameterSetName = "instance")] public CimInstance InputObject { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "query")] public string Query { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "cimclass")] public object CimClass { get; set; }
        [Parameter] public string QueryDialect { get; set; }
        [Parameter(Mandatory = true, Position = 2)] [Alias("Name")] public string MethodName { get; set; }
        [Parameter(Position = 1)] public IDictionary Arguments { get; set; }
        [Parameter] public CimSession[] CimSession { get; set; }
        [Parameter] public string[] ComputerName { get; set; }
        [Parameter] public string Namespace { get; set; }
        [Parameter] public uint OperationTimeoutSec { get; set; }
        [Parameter] public Uri ResourceUri { get; set; }

        object Argument(string name) => Arguments == null ? null : Arguments.Keys.Cast<object>()
            .Where(key => World.Eq(key.ToString(), name)).Select(key => (object)PSObject.AsPSObject(Arguments[key]).BaseObject).FirstOrDefault();

        void Invalid(string id, string native, string message) =>
            ThrowTerminatingError(new ErrorRecord(new CimException(message, native, id), id, ErrorCategory.InvalidArgument, null));

        protected override void ProcessRecord()
        {
            if (CimSession == null && ComputerName != null && !Reaches(ComputerName[0])) return;
            var name = CimSession?[0].ComputerName ?? ComputerName?[0] ?? InputObject?.ComputerText ?? World.Here;
            Find(new[] { name }, CimSession);
            if (!World.Eq(MethodName, "Win32ShutdownTracker") && !World.Eq(MethodName, "Win32Shutdown") && !World.Eq(MethodName, "Reboot"))
                Invalid("HRESULT 0x80041055", "MethodNotFound", "This method is not implemented in any class ");
            if (ClassName != null)
                Invalid("HRESULT 0x8004102f", "InvalidParameter", "Invalid method Parameter(s) ");
            foreach (var key in Arguments?.Keys.Cast<object>() ?? new object[0])
                if (!new[] { "flags", "timeout", "comment", "reasoncode", "reserved" }.Contains(key.ToString().ToLowerInvariant()))
                    Invalid("HRESULT 0x8004102f", "InvalidParameter", "Invalid method Parameter(s) ");
            var flags = Argument("Flags");
            var reboots = World.Eq(MethodName, "Reboot") || flags != null && (Convert.ToInt32(flags) & 2) != 0;
            if (!Begin(MethodName)) return;
            var returned = World.Number(Target, 0, "shutdown", "return");
            if (returned == 0 || World.Flag(Target, "shutdown", "all_the_same"))
                World.Effect(reboots ? "reboot" : "shutdown", "server", name, "how", MethodName, "flags", flags,
                    "timeout", Argument("Timeout"), "comment", Argument("Comment"), "reason", Argument("ReasonCode"));
            else World.Refused("reboot", "server", name, "code", returned);
            var error = World.Get(Target, "shutdown", "error");
            if (error != null) { WriteError(Problem.Record(error)); return; }
            WriteObject(World.Record(new JsonObject { ["ReturnValue"] = returned, ["PSComputerName"] = name }));
        }
    }
}

namespace Microsoft.PowerShell.Commands
{
    [Cmdlet("Restart", "Computer", DefaultParameterSetName = "default", SupportsShouldProcess = true)]
    public class RestartComputerCommand : WindowsCmdlet
    {
        protected override string Command => "Restart-Computer";
        [Parameter(Position = 0)] public string[] ComputerName { get; set; }
        [Parameter(Position = 1)] [Credential] public PSCredential Credential { get; set; }
        [Parameter] public string Protocol { get; set; }
        [Parameter] public string DcomAuthentication { get; set; }
        [Parameter] public string WsmanAuthentication { get; set; }
        [Parameter] public string Impersonation { get; set; }
        [Parameter] public SwitchParameter Force { get; set; }
        [Parameter] public int ThrottleLimit { get; set; }
        [Parameter] public SwitchParameter AsJob { get; set; }
        [Parameter] public SwitchParameter Wait { get; set; }
        [Parameter] public int Timeout { get; set; }
        [Parameter] public string For { get; set; }
        [Parameter] public short Delay { get; set; }

        protected override void ProcessRecord()
        {
            if (!Begin()) return;
            var way = World.Eq(Protocol, "WSMan") ? "winrm" : "dcom";
            var error = World.Get(World.Host(ComputerName[0]), way, "error");
            if (error != null) { World.Refused("reboot", "server", ComputerName[0]); WriteError(Problem.Record(error)); return; }
            World.Effect("reboot", "server", ComputerName[0], "how", "Restart-Computer");
        }
    }
}

namespace Microsoft.FailoverClusters.PowerShell
{
    [Cmdlet("Get", "ClusterNode")]
    public class GetNodeCmdlet : WindowsCmdlet
    {
        protected override string Command => "Get-ClusterNode";
        [Parameter(Position = 0)] public string[] Name { get; set; }
        [Parameter] public string Cluster { get; set; }
        [Parameter(ValueFromPipeline = true)] public PSObject InputObject { get; set; }

        protected override void ProcessRecord()
        {
            if (!Begin()) return;
            foreach (var row in World.Get(Target, "nodes") as JsonArray ?? new JsonArray()) WriteObject(World.Value(row));
        }
    }
}
