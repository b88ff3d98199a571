// Services, event logs and the registry of the server that runs the script.
#pragma warning disable
using System;
using System.Collections;
using System.Collections.Generic;
using System.ComponentModel;
using System.Linq;
using System.Management.Automation;
using System.Text.Json.Nodes;
using Exmedic.Lab;

namespace System.ServiceProcess
{
    public enum ServiceControllerStatus
    {
        Stopped = 1, StartPending = 2, StopPending = 3, Running = 4, ContinuePending = 5, PausePending = 6, Paused = 7,
    }

    [Flags]
    public enum ServiceType { KernelDriver = 1, Win32OwnProcess = 16, Win32ShareProcess = 32 }

    public class TimeoutException : SystemException
    {
        public TimeoutException(string message) : base(message) { }
    }

    public class Entry
    {
        public string Name, Display, Status, StartMode, Started;
        public int Pid;
        public bool ProcessGone;
        public string[] DependsOn;
        public JsonNode Plan;
        // What a pending service will become, and after how many seconds; below 0: never.
        public string Becomes;
        public double Takes;
        public int Stops, Starts;
    }

    public static class ServiceTable
    {
        public static int Begun;
        static readonly Dictionary<JsonObject, Dictionary<string, Entry>> known = new Dictionary<JsonObject, Dictionary<string, Entry>>();

        public static Dictionary<string, Entry> Of(JsonObject host)
        {
            if (known.TryGetValue(host, out var found)) return found;
            found = new Dictionary<string, Entry>(StringComparer.OrdinalIgnoreCase);
            foreach (var pair in World.Get(host, "services") as JsonObject ?? new JsonObject())
            {
                var plan = pair.Value;
                var status = World.Text(plan, "status") ?? "Running";
                found[pair.Key] = new Entry
                {
                    Name = pair.Key, Display = World.Text(plan, "display") ?? pair.Key, Status = status,
                    StartMode = World.Text(plan, "start_mode") ?? "Auto", Plan = plan,
                    Pid = status == "Stopped" ? 0 : World.Number(plan, 2000 + 4 * found.Count, "pid"),
                    Started = World.Text(plan, "started") ?? "2026-01-01T00:00:00Z",
                    ProcessGone = World.Flag(plan, "process_gone"),
                    DependsOn = (World.Get(plan, "depends_on") as JsonArray ?? new JsonArray()).Select(one => (string)one).ToArray(),
                    Becomes = World.Text(plan, "pending", "becomes"), Takes = World.Number(plan, -1, "pending", "takes"),
                };
            }
            return known[host] = found;
        }
    }

    public class ServiceController : IDisposable
    {
        string name;
        ServiceControllerStatus? seen;

        public ServiceController() { name = ""; }
        public ServiceController(string name) : this(name, ".") { }
        public ServiceController(string name, string machine) { this.name = name; MachineName = machine; }

        public string MachineName { get; set; } = ".";
        public bool CanStop => Status == ServiceControllerStatus.Running;
        public ServiceType ServiceType => ServiceType.Win32OwnProcess;

        Exception Refusal(string what, int code) => new InvalidOperationException(
            $"Cannot {what} {name} on computer '{MachineName}'.", new Win32Exception(code, Words(code)));

        static string Words(int code)
        {
            switch (code)
            {
                case 5: return "Access is denied";
                case 1051: return "A stop control has been sent to a service that other running services are dependent on";
                case 1053: return "The service did not respond to the start or control request in a timely fashion";
                case 1056: return "An instance of the service is already running";
                case 1058: return "The service cannot be started, either because it is disabled or because it has no enabled devices associated with it";
                case 1060: return "The specified service does not exist as an installed service";
                case 1061: return "The service cannot accept control messages at this time";
                case 1062: return "The service has not been started";
                case 1069: return "The service did not start due to a logon failure";
                default: return "Error " + code;
            }
        }

        Entry Found(string what)
        {
            if (!ServiceTable.Of(World.Host()).TryGetValue(name, out var found))
                throw new InvalidOperationException($"Service {name} was not found on computer '{MachineName}'.", new Win32Exception(1060, Words(1060)));
            var refused = World.Number(found.Plan, 0, "on_" + what, "open_error");
            if (refused != 0)
            {
                World.Refused(what, "service", found.Name, "code", refused);
                throw new InvalidOperationException($"Cannot open {name} service on computer '{MachineName}'.", new Win32Exception(refused, Words(refused)));
            }
            return found;
        }

        public string ServiceName { get => Found("query").Name; set { name = value; seen = null; } }
        public string DisplayName => Found("query").Display;

        public ServiceControllerStatus Status
        {
            get
            {
                if (seen == null) seen = (ServiceControllerStatus)Enum.Parse(typeof(ServiceControllerStatus), Found("query").Status);
                return seen.Value;
            }
        }

        public ServiceController[] DependentServices
        {
            get
            {
                Found("dependents");
                return ServiceTable.Of(World.Host()).Values.Where(one => one.DependsOn.Contains(name, StringComparer.OrdinalIgnoreCase))
                    .Select(one => new ServiceController(one.Name)).ToArray();
            }
        }

        public ServiceController[] ServicesDependedOn => Found("query").DependsOn.Select(one => new ServiceController(one)).ToArray();

        public void Refresh() { World.Look(); seen = null; }
        public void Close() { seen = null; }
        public void Dispose() { seen = null; }

        static readonly int[] NotDone = { 5, 1051, 1056, 1058, 1060, 1061, 1062 };

        // True: it was refused or failed, as planned for this time.
        int Planned(Entry found, string what, int count)
        {
            var on = World.Get(found.Plan, "on_" + what);
            return count > World.Number(on, int.MaxValue, "times") ? 0 : World.Number(on, 0, "error");
        }

        void Fail(Entry found, string what, int code)
        {
            if (NotDone.Contains(code)) World.Refused(what, "service", found.Name, "code", code);
            else World.Effect(what, "service", found.Name, "code", code);
            if (code == 1053) World.Note("waited", "seconds", 30);
            throw Refusal(what, code);
        }

        public void Stop()
        {
            var found = Found("stop");
            if (found.Status == "StartPending" || found.Status == "StopPending") Fail(found, "stop", 1061);
            if (found.Status == "Stopped") Fail(found, "stop", 1062);
            foreach (var dependent in DependentServices)
            {
                if (dependent.Status == ServiceControllerStatus.Stopped) continue;
                dependent.Stop();
                dependent.WaitForStatus(ServiceControllerStatus.Stopped, TimeSpan.FromSeconds(30));
            }
            var code = Planned(found, "stop", ++found.Stops);
            if (code != 0) Fail(found, "stop", code);
            World.Effect("stop", "service", found.Name);
            Change(found, World.Get(found.Plan, "on_stop"), "StopPending", "Stopped");
        }

        public void Start() { Start(new string[0]); }

        public void Start(string[] arguments)
        {
            var found = Found("start");
            if (found.StartMode == "Disabled") Fail(found, "start", 1058);
            if (found.Status != "Stopped") Fail(found, "start", 1056);
            var code = Planned(found, "start", ++found.Starts);
            if (code != 0) Fail(found, "start", code);
            World.Effect("start", "service", found.Name);
            found.Pid = 9000 + 4 * ++ServiceTable.Begun;
            found.Started = DateTime.UtcNow.ToString("o");
            found.ProcessGone = World.Flag(found.Plan, "on_start", "process_gone");
            Change(found, World.Get(found.Plan, "on_start"), "StartPending", "Running");
        }

        void Change(Entry found, JsonNode on, string pending, string end)
        {
            found.Status = pending;
            if (World.Lives) return;
            found.Becomes = World.Text(on, "ends") ?? end;
            found.Takes = World.Flag(on, "hangs") ? -1 : World.Number(on, 0, "takes");
            if (found.Takes == 0) Arrive(found);
        }

        static void Arrive(Entry found)
        {
            found.Status = found.Becomes;
            found.Becomes = null;
            if (found.Status == "Stopped") found.Pid = 0;
        }

        // In a world that lives the status is another's doing.
        void Await(ServiceControllerStatus wanted, TimeSpan limit)
        {
            for (var end = DateTime.UtcNow + limit; ; System.Threading.Thread.Sleep(100))
            {
                Refresh();
                if (Status == wanted) return;
                if (DateTime.UtcNow >= end) throw new TimeoutException("Time out has expired and the operation has not been completed.");
            }
        }

        // Time that would pass is told, and passes by itself.
        public void WaitForStatus(ServiceControllerStatus wanted, TimeSpan limit)
        {
            if (World.Lives) { Await(wanted, limit); return; }
            var found = Found("query");
            seen = null;
            if (found.Status == wanted.ToString()) return;
            var arrives = found.Becomes != null && found.Takes >= 0 && found.Takes <= limit.TotalSeconds;
            World.Note("waited", "service", found.Name, "seconds", (int)(arrives ? found.Takes : limit.TotalSeconds));
            if (arrives) Arrive(found);
            else if (found.Takes > 0) found.Takes -= limit.TotalSeconds;
            if (found.Status != wanted.ToString())
                throw new TimeoutException("Time out has expired and the operation has not been completed.");
        }

        public void WaitForStatus(ServiceControllerStatus wanted) => WaitForStatus(wanted, TimeSpan.FromDays(1));
    }
}

namespace Microsoft.PowerShell.Commands
{
    using System.ServiceProcess;

    [Cmdlet("Get", "Service", DefaultParameterSetName = "default")]
    public class GetServiceCommand : WindowsCmdlet
    {
        protected override string Command => "Get-Service";
        [Parameter(Position = 0, ParameterSetName = "default")] public string[] Name { get; set; }
        [Parameter] public string[] ComputerName { get; set; }
        [Parameter] public SwitchParameter DependentServices { get; set; }
        [Parameter] public SwitchParameter RequiredServices { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "display")] public string[] DisplayName { get; set; }
        [Parameter] public string[] Include { get; set; }
        [Parameter] public string[] Exclude { get; set; }
        [Parameter(ValueFromPipeline = true, ParameterSetName = "input")] public ServiceController[] InputObject { get; set; }

        protected override void ProcessRecord()
        {
            if (!Begin()) return;
            foreach (var found in ServiceTable.Of(World.Host()).Values.Where(one => Name == null || Name.Contains(one.Name, StringComparer.OrdinalIgnoreCase)))
                WriteObject(new ServiceController(found.Name));
        }
    }

    [Cmdlet("Get", "WinEvent", DefaultParameterSetName = "log")]
    public class GetWinEventCommand : WindowsCmdlet
    {
        protected override string Command => "Get-WinEvent";
        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "hash")] public Hashtable[] FilterHashtable { get; set; }
        [Parameter(Position = 0, ParameterSetName = "log")] public string[] LogName { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "listLog")] public string[] ListLog { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "listProvider")] public string[] ListProvider { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "provider")] public string[] ProviderName { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "file")] public string[] Path { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "xml")] public System.Xml.XmlDocument FilterXml { get; set; }
        [Parameter(ParameterSetName = "log")] public string FilterXPath { get; set; }
        [Parameter] public long MaxEvents { get; set; } = -1;
        [Parameter] public string ComputerName { get; set; }
        [Parameter] public PSCredential Credential { get; set; }
        [Parameter] public SwitchParameter Force { get; set; }
        [Parameter] public SwitchParameter Oldest { get; set; }

        static object Bare(object value) => value is PSObject wrapped ? wrapped.BaseObject : value;

        protected override void ProcessRecord()
        {
            var filter = new Dictionary<string, object>(StringComparer.OrdinalIgnoreCase);
            foreach (DictionaryEntry entry in FilterHashtable?[0] ?? new Hashtable()) filter[entry.Key.ToString()] = Bare(entry.Value);
            foreach (var key in filter.Keys)
                if (!new[] { "LogName", "ProviderName", "Path", "Keywords", "ID", "Level", "StartTime", "EndTime", "UserID", "Data" }.Contains(key, StringComparer.OrdinalIgnoreCase))
                    throw new PSArgumentException("The parameter " + key + " is not known.");
            if (LogName != null) filter["LogName"] = LogName[0];
            var log = (filter.GetValueOrDefault("LogName") as string) ?? (filter.GetValueOrDefault("LogName") as object[])?[0]?.ToString() ?? "";
            if (!Begin(log)) return;
            if (filter.TryGetValue("ProviderName", out var provider) && World.Get(Target, "providers", provider.ToString()) is JsonNode broken)
            {
                WriteError(Problem.Record(broken));
                return;
            }
            var events = (World.Get(Target, "events") as JsonArray ?? new JsonArray()).Select(one => new System.Diagnostics.Eventing.Reader.EventLogRecord(one))
                .Where(one => World.Eq(one.LogName, log)).Where(one => Fits(one, filter)).OrderByDescending(one => one.TimeCreated).ToList();
            if (Oldest) events.Reverse();
            if (MaxEvents >= 0) events = events.Take((int)MaxEvents).ToList();
            if (events.Count == 0)
                WriteError(new ErrorRecord(new Exception("No events were found that match the specified selection criteria."),
                    "NoMatchingEventsFound", ErrorCategory.ObjectNotFound, null));
            foreach (var one in events) WriteObject(one);
        }

        static bool Fits(System.Diagnostics.Eventing.Reader.EventLogRecord one, Dictionary<string, object> filter)
        {
            if (filter.TryGetValue("ProviderName", out var provider) && !World.Eq(provider.ToString(), one.ProviderName)) return false;
            if (filter.TryGetValue("Id", out var id) && !(id is IEnumerable ids && !(id is string) ? ids.Cast<object>() : new[] { id }).Any(each => each.ToString() == one.Id.ToString())) return false;
            if (filter.TryGetValue("StartTime", out var start) && one.TimeCreated.Value.ToUniversalTime() < ((DateTime)start).ToUniversalTime()) return false;
            if (filter.TryGetValue("EndTime", out var end) && one.TimeCreated.Value.ToUniversalTime() > ((DateTime)end).ToUniversalTime()) return false;
            return true;
        }
    }
}

namespace System.Diagnostics.Eventing.Reader
{
    public class EventLogException : Exception
    {
        public EventLogException(string message) : base(message) { HResult = unchecked((int)0x80073A9D); }
    }

    public class EventProperty { public object Value { get; set; } }

    public class EventLogRecord : IDisposable
    {
        readonly string xml;

        public EventLogRecord(JsonNode one)
        {
            LogName = World.Text(one, "log");
            ProviderName = World.Text(one, "provider");
            Id = World.Number(one, 0, "id");
            TimeCreated = World.When(World.Text(one, "time")).ToLocalTime();
            xml = World.Text(one, "xml") ?? "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'/>";
            Properties = (World.Get(one, "properties") as JsonArray ?? new JsonArray()).Select(each => new EventProperty { Value = World.Value(each) }).ToList();
        }

        public string LogName { get; }
        public string ProviderName { get; }
        public int Id { get; }
        public long? RecordId { get; } = 1;
        public DateTime? TimeCreated { get; }
        public IList<EventProperty> Properties { get; }
        public string ToXml() => xml;
        public string FormatDescription() => "";
        public void Dispose() { }
    }
}

namespace Exmedic.Lab
{
    public static class Registry
    {
        public static readonly RegistryKey LocalMachine = new RegistryKey("");
    }

    public class RegistryKey : IDisposable
    {
        readonly string path;
        public RegistryKey(string path) { this.path = path; }
        public string Name => "HKEY_LOCAL_MACHINE" + (path == "" ? "" : "\\" + path);

        public static RegistryKey OpenBaseKey(Microsoft.Win32.RegistryHive hive, Microsoft.Win32.RegistryView view) => Registry.LocalMachine;

        static JsonObject All => World.Get(World.Host(), "registry") as JsonObject ?? new JsonObject();

        public RegistryKey OpenSubKey(string name) => OpenSubKey(name, false);

        public RegistryKey OpenSubKey(string name, bool writable)
        {
            var full = (path == "" ? name : path + "\\" + name).TrimEnd('\\');
            if (writable) throw new System.Security.SecurityException("Requested registry access is not allowed.");
            var error = World.Get(All, full, "error");
            if (error != null) throw Problem.Of(error);
            return All.Any(pair => World.Eq(pair.Key, full) || pair.Key.StartsWith(full + "\\", StringComparison.OrdinalIgnoreCase)) ? new RegistryKey(full) : null;
        }

        JsonObject Values => World.Get(All, path, "values") as JsonObject ?? new JsonObject();

        public object GetValue(string name) => GetValue(name, null);

        public object GetValue(string name, object otherwise)
        {
            var found = World.Get(Values, name);
            if (found is JsonArray list) return list.Select(one => (string)one).ToArray();
            if (found == null) return otherwise;
            return found.AsValue().TryGetValue<int>(out var number) ? number : (object)found.ToString();
        }

        public string[] GetValueNames() => Values.Select(pair => pair.Key).ToArray();

        public string[] GetSubKeyNames() => All.Select(pair => pair.Key)
            .Where(key => key.StartsWith(path + "\\", StringComparison.OrdinalIgnoreCase))
            .Select(key => key.Substring(path.Length + 1).Split('\\')[0]).Distinct(StringComparer.OrdinalIgnoreCase).ToArray();

        public void Close() { }
        public void Dispose() { }
    }

    // The name that the server has in its network.
    public class IPGlobalProperties
    {
        public static IPGlobalProperties GetIPGlobalProperties() => new IPGlobalProperties();
        public string HostName => World.Short(World.Here).ToUpperInvariant();
        public string DomainName => World.Here.Contains('.') ? World.Here.Substring(World.Here.IndexOf('.') + 1) : "";
    }

    // Types that only Windows has, or that would tell of the machine the test runs on, are named as they are there.
    public class Accelerators : IModuleAssemblyInitializer
    {
        public void OnImport()
        {
            var add = typeof(PSObject).Assembly.GetType("System.Management.Automation.TypeAccelerators").GetMethod("Add");
            void Name(string name, Type type) => add.Invoke(null, new object[] { name, type });
            Name("Microsoft.Win32.Registry", typeof(Registry));
            Name("Microsoft.Win32.RegistryKey", typeof(RegistryKey));
            Name("System.Net.NetworkInformation.IPGlobalProperties", typeof(IPGlobalProperties));
            foreach (var type in new[]
            {
                typeof(System.ServiceProcess.ServiceController), typeof(System.ServiceProcess.ServiceControllerStatus),
                typeof(System.ServiceProcess.TimeoutException), typeof(Microsoft.Management.Infrastructure.CimException),
                typeof(Microsoft.Management.Infrastructure.CimInstance), typeof(Microsoft.Management.Infrastructure.CimSession),
                typeof(Microsoft.Management.Infrastructure.NativeErrorCode),
                typeof(System.Diagnostics.Eventing.Reader.EventLogException),
            }) Name(type.FullName, type);
        }
    }
}
